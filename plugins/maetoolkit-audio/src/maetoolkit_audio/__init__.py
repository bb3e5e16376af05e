"""Sound for maetoolkit: recordings in, log-mel spectrogram patches, and what BEATs-like models predict of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maetoolkit.plugins import hookimpl
from maetoolkit_audio.audio import Audio
from maetoolkit_audio.codes import AudioCodes
from maetoolkit_audio.time_frequency import TimeFrequency

if TYPE_CHECKING:
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality

__all__ = ["Audio", "AudioCodes", "TimeFrequency"]

MAETOOLKIT_API = 1


@hookimpl
def maetoolkit_modalities() -> Mapping[str, type[Modality]]:
    """Recordings, and the codes of their patches."""
    return {"audio": Audio, "audio_codes": AudioCodes}


@hookimpl
def maetoolkit_samplers() -> Mapping[str, type[Masking]]:
    """Whole stretches of time and bands of frequency."""
    return {"time_frequency": TimeFrequency}


@hookimpl
def maetoolkit_recipes() -> Mapping[str, Path]:
    """The YAML files beside this one, by stem."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


@hookimpl
def maetoolkit_cases() -> Mapping[str, Callable[[], Any]]:
    """What the laws are tried on."""
    from maetoolkit_audio import cases

    return {
        "audio": cases.audio,
        "stereo": cases.stereo,
        "codes": cases.codes,
        "time_frequency": cases.time_frequency,
    }
