"""Laws that can be run: what everything a plugin can add must keep, to be called from its tests.

`check_modality(MyModality(...))`, and likewise `check_sampler`, `check_decoder`, `check_source` and `check_target`, try
all laws and name every broken one, with what it asks for, why, what was found and how to see it. `check_plugin(name)`
tries everything an installed plugin offers. `MODALITY_LAWS` and so on are the same laws one by one, for parametrised
tests: `law(ModalityCase(...))`. A law that fails by design is declared with the reason: `expected={"no leak": ...}`.
"""

from maetoolkit.testing.case import ModalityCase
from maetoolkit.testing.check import (
    DECODER_LAWS,
    LAWS,
    MODALITY_LAWS,
    SAMPLER_LAWS,
    SOURCE_LAWS,
    TARGET_LAWS,
    check_decoder,
    check_modality,
    check_sampler,
    check_source,
    check_target,
)
from maetoolkit.testing.decoder_case import DecoderCase
from maetoolkit.testing.law import Inapplicable, Law, LawError, Verdict
from maetoolkit.testing.plugin import check_plugin
from maetoolkit.testing.sampler_case import SamplerCase
from maetoolkit.testing.source_case import SourceCase
from maetoolkit.testing.targets import TargetCase

__all__ = [
    "DECODER_LAWS",
    "LAWS",
    "MODALITY_LAWS",
    "SAMPLER_LAWS",
    "SOURCE_LAWS",
    "TARGET_LAWS",
    "DecoderCase",
    "Inapplicable",
    "Law",
    "LawError",
    "ModalityCase",
    "SamplerCase",
    "SourceCase",
    "TargetCase",
    "Verdict",
    "check_decoder",
    "check_modality",
    "check_plugin",
    "check_sampler",
    "check_source",
    "check_target",
]
