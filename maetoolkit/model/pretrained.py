"""Starting an encoder from weights that exist: our own, timm's, MAE's and MultiMAE's layouts, by name or file."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from maetoolkit.errors import ConfigError
from maetoolkit.layers.position import GridPosition, resize_table
from maetoolkit.layers.projection import PatchProjection

if TYPE_CHECKING:
    from maetoolkit.model.autoencoder import MaskedAutoencoder

Grid = tuple[int, ...]
logger = logging.getLogger("maetoolkit")


def initialise_from(model: MaskedAutoencoder, source: str) -> list[str]:
    """Load what `source` has of an encoder: blocks, norm, global tokens, projections and learned positions that fit.

    `source` is a safetensors file or the name of a timm model with weights. Returns the names of what was loaded.
    Raises ConfigError where the file cannot be read or does not fit.
    """
    return load_encoder(model, read_state(source), source)


def load_encoder(
    model: MaskedAutoencoder, published: Mapping[str, Tensor], source: str = "the state dict"
) -> list[str]:
    """`initialise_from` for tensors at hand; positions of class and register tokens go into the global tokens.

    Logs in one line what was loaded and what was not. Nothing is written to the model where something does not fit.
    """
    state, left = as_timm(published), []
    wanted = _trunk(model, state, source)
    prefix, cells = _prefix_and_cells(model, state, source)
    missing = sorted(name for name in _names(model) if name.startswith("encoder.norm.") and name not in wanted)
    spare = sorted(name for name in state if name.startswith(("norm.", "fc_norm.")) and f"encoder.{name}" not in wanted)
    left += [*missing, *(f"{name} of the source" for name in spare)]
    found, expected = prefix.shape[1], model.encoder.global_tokens.shape[1]
    if found == expected:
        wanted |= {"encoder.global_tokens": prefix} if found else {}
    elif found and expected:
        raise ConfigError(
            f"encoder.init: {source!r}: expected {expected} global tokens, found {found}; set "
            f"encoder.num_global_tokens={found}, or 0 to leave them out"
        )
    else:
        left.append(f"{found or expected} global token(s) that only {'the source' if found else 'this encoder'} has")
    for name in model.tokenizers:
        wanted |= _input(model, name, state, cells, source, left)
    own = _names(model)
    with torch.no_grad():
        for name, value in wanted.items():
            own[name].copy_(value)
    loaded = _parts(wanted)
    blocks = len({name.split(".")[2] for name in wanted if name.startswith("encoder.blocks.")})
    others = [part for part in loaded if not part.startswith("encoder.blocks.")]
    said = ", ".join([f"{blocks} blocks", *others])
    logger.info("encoder.init: from %s: loaded %s; not loaded: %s", source, said, ", ".join(left) or "nothing")
    return loaded


def read_state(source: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a timm model's own weights."""
    if Path(source).suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not Path(source).is_file():
            raise ConfigError(f"encoder.init: expected a safetensors file, found nothing at {source}")
        try:
            return load_file(source)
        except (SafetensorError, OSError) as error:
            raise ConfigError(
                f"encoder.init: {source} cannot be read as a safetensors file ({error}); copy or export it again"
            ) from error
    import timm

    if not timm.is_model(source.split(".")[0]):
        raise ConfigError(
            f"encoder.init: {source!r} is neither a .safetensors file nor a timm model; see timm.list_models()"
        )
    try:
        return dict(timm.create_model(source, pretrained=True, num_classes=0).state_dict())
    except Exception as error:
        raise ConfigError(
            f"encoder.init: the weights of timm model {source!r} cannot be had ({error}); use a file"
        ) from error


def as_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as timm has them, whichever of the known layouts the state dict is in; inputs keep their names."""
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"^encoder\.(\d+)\.", r"blocks.\1.", name.removeprefix("module."))
        name = re.sub(r"^encoder\.(?=blocks\.|norm\.|norm_pre\.|global_tokens$)", "", name)
        if name == "global_tokens":
            name = "cls_token"
        renamed[name] = value
    return renamed


def _names(model: MaskedAutoencoder) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())


def _trunk(model: MaskedAutoencoder, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Blocks and norms by our names; the blocks and the pre-norm of the two must be the same."""
    own = {name: value for name, value in model.encoder.named_parameters() if name != "global_tokens"}
    wanted = {name: state[name] for name in own if name in state}
    stem = ("blocks.", "norm_pre.")
    missing = [name for name in own if name not in wanted and name.startswith(stem)]
    wrong = [name for name, value in wanted.items() if value.shape != own[name].shape]
    spare = [name for name in state if name not in own and name.startswith(stem)]
    problem = None
    if missing:
        problem = f"expected {missing[0]}"
    elif wrong:
        name = wrong[0]
        problem = f"expected {name} {tuple(own[name].shape)}, found {tuple(wanted[name].shape)}"
    elif spare:
        problem = f"found {spare[0]}, which it has not"
    if problem:
        raise ConfigError(
            f"encoder.init: {source!r} does not fit this encoder: {problem}; use its dim, depth and heads, or its name"
        )
    return {f"encoder.{name}": value for name, value in wanted.items()}


def _prefix_and_cells(
    model: MaskedAutoencoder, state: Mapping[str, Tensor], source: str
) -> tuple[Tensor, Tensor | None]:
    """Class and register tokens (1, P, D) with their positions added, and the positions of the patches (N, D).

    Positions have a row for each such token or for none (timm's no_embed_class): what is left must be a grid.
    """
    width = model.encoder.dim
    tokens = [state[name] for name in ("cls_token", "dist_token", "reg_token") if name in state]
    prefix = torch.cat(tokens, 1) if tokens else torch.zeros(1, 0, width)
    positions = state.get("pos_embed")
    if positions is None:
        return prefix, None
    rows, num = positions.shape[1], prefix.shape[1]
    found = {name: p.grid for name, p in model.positions.items() if isinstance(p, GridPosition)}
    grids = [grid for name, grid in found.items() if _published_projection(model, name, state)] or [*found.values()]
    counts = dict.fromkeys((num, 0))
    fitting = [n for n in counts if any(rows - n == math.prod(grid) for grid in grids)]
    fitting = fitting or [n for n in counts if _square(rows - n)]
    if not fitting:
        _refuse_grid(source, "pos_embed", rows, num, grids)
    if fitting[0]:
        prefix = prefix + positions[:, :num]
    return prefix, positions[0, fitting[0] :]


def _input(
    model: MaskedAutoencoder,
    name: str,
    state: Mapping[str, Tensor],
    cells: Tensor | None,
    source: str,
    left: list[str],
) -> dict[str, Tensor]:
    """Projection and learned positions of one input, by our names; what is missing or of another kind joins `left`."""
    own = {n: p for n, p in model.named_parameters() if n.startswith(f"tokenizers.{name}.")}
    wanted, position, grid = {n: state[n] for n in own if n in state}, cells, None
    if wanted:
        position = state.get(f"positions.{name}.table")
    else:
        wanted = _published_projection(model, name, state)
        image = state.get(f"input_adapters.{name}.pos_emb")
        if image is not None:
            position, grid = image.flatten(2)[0].T, tuple(image.shape[2:])
    if set(wanted) != set(own) or any(value.shape != own[n].shape for n, value in wanted.items()):
        left.append(f"tokenizers.{name}")
        return {}
    module = model.positions[name]
    if position is None or not isinstance(module, GridPosition):
        return wanted
    if not isinstance(module.table, nn.Parameter):
        left.append(f"positions.{name} (fixed)")
        return wanted
    grid = grid or _grid(position.shape[0], module.grid)
    if grid is None:
        _refuse_grid(source, f"the table of {name}", position.shape[0], 0, [module.grid])
    return wanted | {f"positions.{name}.table": resize_table(position.float(), grid, module.grid, "bicubic")}


def _published_projection(model: MaskedAutoencoder, name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A convolution over whole patches as our linear map, where the patches are of one size; no bias is a bias of 0."""
    theirs = f"input_adapters.{name}.proj" if f"input_adapters.{name}.proj.weight" in state else "patch_embed.proj"
    weight = state.get(f"{theirs}.weight")
    fits = isinstance(model.tokenizers[name], PatchProjection) and weight is not None
    if not fits or weight is None or weight.shape[1:] != model.modalities[name].content:
        return {}
    bias = state.get(f"{theirs}.bias", weight.new_zeros(weight.shape[0]))
    return {f"tokenizers.{name}.proj.weight": weight.flatten(1), f"tokenizers.{name}.proj.bias": bias}


def _grid(rows: int, own: Grid) -> Grid | None:
    """The grid of a table with so many rows: this model's own, or a square one."""
    if rows == math.prod(own):
        return own
    return (math.isqrt(rows),) * 2 if _square(rows) and len(own) == 2 else None


def _square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _refuse_grid(source: str, what: str, rows: int, num_prefix: int, grids: Iterable[Grid]) -> NoReturn:
    shown = " or ".join(sorted({"x".join(map(str, grid)) for grid in grids}))
    raise ConfigError(
        f"encoder.init: {source!r}: {what} has {rows} rows for {num_prefix} class and register tokens and the patches; "
        f"expected the grid of this model ({shown}) or a square one; set the size of the input to the source's"
    )


def _parts(names: Iterable[str]) -> list[str]:
    """Parameters of the encoder, and whole modules of the inputs."""
    parts = (name if name.startswith("encoder.") else ".".join(name.split(".")[:2]) for name in names)
    return list(dict.fromkeys(parts))
