"""Laws that can be run: what every modality and every mask sampler must keep, to be called from a plugin's tests.

`check_modality(MyModality(...))` and `check_sampler(MyMasking(...))` try all laws and name every broken one;
`MODALITY_LAWS` and `SAMPLER_LAWS` are the same laws one by one, for parametrised tests.
"""

from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.check import MODALITY_LAWS, SAMPLER_LAWS, check_modality, check_sampler
from maetoolkit.testing.law import Inapplicable, Law, LawError, Verdict
from maetoolkit.testing.samplers import SamplerCase

__all__ = [
    "MODALITY_LAWS",
    "SAMPLER_LAWS",
    "Inapplicable",
    "Law",
    "LawError",
    "ModalityCase",
    "SamplerCase",
    "Verdict",
    "check_modality",
    "check_sampler",
]
