"""All weights of a model as one safetensors file, under our own names."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from maetoolkit.errors import ConfigError
from maetoolkit.model.autoencoder import MaskedAutoencoder


def export_weights(model: MaskedAutoencoder, path: Path | str) -> Path:
    """Write the state dict, sorted by name, so that equal weights give equal bytes.

    Raises ConfigError where weights are not finite.
    """
    state = {name: value.contiguous() for name, value in sorted(model.state_dict().items())}
    broken = [name for name, value in state.items() if not value.isfinite().all()]
    if broken:
        raise ConfigError(f"export: {broken[0]} holds NaN or infinity; export an earlier checkpoint of the run")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, {"format": "pt"})
    return path
