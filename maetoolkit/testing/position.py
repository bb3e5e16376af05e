"""The law that a token's place is told by its coordinates. Axes: B samples, N tokens, T chosen ones, D width."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from maetoolkit.modalities.grid import GridModality
from maetoolkit.testing.case import SUBJECT, WIDTH, ModalityCase
from maetoolkit.testing.law import law, require
from maetoolkit.testing.outcome import present_rows
from maetoolkit.tokens import Patches


@law(
    "position",
    why="A mask token knows nothing but its position: where two tokens share one, or it is that of another token, the "
    "decoder is asked for something that cannot be known.",
    see="patches = case.patches()\n"
    "patches.positions[0], patches.grid, case.model().positions[case.entry](patches.positions[0], patches.grid)",
)
def position(case: ModalityCase) -> None:
    """Every token of a sample has coordinates of its own, on a grid those of its cell, and they alone decide its
    position embedding, whatever other tokens are embedded beside it and in whatever order."""
    patches = case.patches()
    _coordinates_tell_tokens_apart(patches)
    if isinstance(case.data, GridModality) and case.modality.of is None:
        _coordinates_are_those_of_the_content(case, patches)
    for side, module in _modules(case):
        _embeddings_follow_coordinates(case, side, module, patches)


def _coordinates_tell_tokens_apart(patches: Patches) -> None:
    for sample, flags in enumerate(patches.present):
        places, num = patches.positions[sample][flags], int(flags.sum())
        different = len(places.unique(dim=0))
        require(different == num, f"{num} tokens of sample {sample} have {different} different positions")
    if patches.grid is None:
        return
    axes, num = patches.positions.shape[2], math.prod(patches.grid)
    require(len(patches.grid) == axes, f"positions have {axes} axes, the grid {patches.grid} has {len(patches.grid)}")
    require(not patches.positions.is_floating_point(), "positions on a grid must be whole numbers")
    require(patches.num_tokens <= num, f"{patches.num_tokens} tokens on a grid of {patches.grid}")
    size = torch.tensor(patches.grid, device=patches.positions.device)
    places = patches.positions[patches.present]
    outside = (places < 0) | (places >= size)
    found = f"positions reach from {places.amin(0).tolist()} to {places.amax(0).tolist()} on a grid of {patches.grid}"
    require(not outside.any(), found)


def _coordinates_are_those_of_the_content(case: ModalityCase, patches: Patches) -> None:
    """One element of a regular array belongs to the token whose cell it lies in."""
    assert isinstance(case.data, GridModality)
    field, grid, num_axes = case.prepared(), patches.grid, case.data.num_axes
    if grid is None or len(grid) != num_axes or case.elements(patches.present, patches, field.values) is None:
        return
    spatial, draw = field.values.shape[-num_axes:], case.random("cell")
    for sample, token in zip(*torch.nonzero(patches.present, as_tuple=True), strict=True):
        if draw.random() * int(patches.present.sum()) > 12:  # about a dozen will do
            continue
        flags = torch.zeros_like(patches.present)
        flags[sample, token] = True
        where = case.elements(flags, patches, field.values)
        assert where is not None
        inside = torch.nonzero(where[sample])[:, -num_axes:]
        cell = [int(inside[0, a]) * grid[a] // spatial[a] for a in range(num_axes)]
        said = patches.positions[sample, token].tolist()
        require(said == cell, f"token {int(token)} holds what lies in cell {cell} of {grid}, its position says {said}")


def _modules(case: ModalityCase) -> Iterator[tuple[str, nn.Module]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        if case.data.role != "target":
            yield "encoder", case.data.build_position(WIDTH, "encoder")
        if SUBJECT in case.modalities.outputs:
            yield "decoder", case.data.build_position(WIDTH, "decoder")


def _embeddings_follow_coordinates(case: ModalityCase, side: str, module: nn.Module, patches: Patches) -> None:
    draw = case.random("weights", side)
    with torch.no_grad():
        for weight in module.parameters():  # tables that begin at zero tell nothing apart yet
            weight.add_(torch.as_tensor(draw.standard_normal(tuple(weight.shape), "float32")))
        rows = present_rows(patches)
        places = patches.positions.flatten(0, 1)[rows]
        whole: Tensor = module.eval()(places, patches.grid)
        order = torch.as_tensor(draw.permutation(len(rows))[: (len(rows) + 1) // 2])
        part = module(places[order], patches.grid)
    torch.testing.assert_close(
        part,
        whole[order],
        rtol=1e-4,
        atol=1e-5,
        msg=lambda text: f"position embeddings ({side}) do not go by the coordinates of their tokens: {text}",
    )
    for sample, flags in enumerate(patches.present):
        own = whole[rows // patches.num_tokens == sample]
        different = len(own.unique(dim=0))
        found = f"{int(flags.sum())} tokens of a sample have {different} different position embeddings ({side})"
        require(different == len(own), found)
