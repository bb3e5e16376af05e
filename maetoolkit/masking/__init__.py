"""Which tokens the encoder sees and which are predicted."""

from maetoolkit.masking.bert import Bert
from maetoolkit.masking.block import Block
from maetoolkit.masking.compose import Conditional, Each, Phase, Restrict, Schedule, Union
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.ratio import EntrySampler, RatioMasking
from maetoolkit.masking.sampler import Masking, MaskSampler, complete
from maetoolkit.masking.share import Share
from maetoolkit.masking.span import Span
from maetoolkit.masking.tube import Tube

__all__ = [
    "Bert",
    "Block",
    "Conditional",
    "Dirichlet",
    "Each",
    "EntrySampler",
    "Layout",
    "MaskPlan",
    "MaskSampler",
    "Masking",
    "Phase",
    "RatioMasking",
    "Restrict",
    "Schedule",
    "Share",
    "Span",
    "Tube",
    "Union",
    "complete",
]
