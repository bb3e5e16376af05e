"""Which tokens the encoder sees and which are predicted."""

from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.sampler import Masking, MaskSampler, complete
from maetoolkit.masking.share import Share

__all__ = ["Dirichlet", "Layout", "MaskPlan", "MaskSampler", "Masking", "Share", "complete"]
