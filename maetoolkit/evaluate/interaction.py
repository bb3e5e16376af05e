"""Interaction between modalities: one visible patch of colour in another hue, and where the prediction follows.

MultiMAE, section 4.5 and figure 4. Axes: B samples, N tokens of a field, H hues, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.v2.functional import adjust_hue

from maetoolkit.evaluate.pictures import cover, draw, enlarge, pixels_of
from maetoolkit.evaluate.plans import given_and_patches
from maetoolkit.masking.plan import Layout
from maetoolkit.modalities.palette import colour_map
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field

if TYPE_CHECKING:
    from torch import Tensor

    from maetoolkit.evaluate.pictures import Picture
    from maetoolkit.modality import Modality, ModalitySet
    from maetoolkit.model.autoencoder import MaskedAutoencoder

TURNS = (0.0, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Change:
    """Mean absolute change of predicted colours (the full range is 1) at hidden pixels in and out of a region.

    matched: the two means at equal distance from the edited patch (rings of patches that have both, weighted as the
    region's pixels), which tells what belongs together from what is merely near; None where no ring has both.
    """

    inside: float
    outside: float
    matched: tuple[float, float] | None


@dataclass(frozen=True)
class Interaction:
    """What one sample's prediction makes of its edited patch; one picture per turn of the hue.

    name: the colour entry; others: inputs given in full; turns: of the hue, in full turns, the first one 0.
    given: the two visible patches; predicted: the whole, with these pasted in; truth; changed: where the prediction
    follows, blue where most. edited, kept: tokens. change: against the first turn, in and out of the region with the
    edited patch's label; None without labels.
    """

    key: str
    name: str
    others: tuple[str, ...]
    turns: tuple[float, ...]
    given: tuple[Picture, ...]
    predicted: tuple[Picture, ...]
    truth: Picture
    changed: Picture
    edited: int
    kept: int
    change: Change | None


def rotate_hue(colours: Tensor, turn: float) -> Tensor:
    """Colours (..., 3, h, w) in [0, 1] with their hue turned (1: all the way round), saturation and value kept."""
    turn -= round(turn)
    return colours if turn == 0 else adjust_hue(colours.clamp(0, 1), turn)


def with_hue(entry: Modality, values: Tensor, token: int, turn: float) -> Tensor:
    """Raw values (1, 3, h, w) of a colour entry with the hue of one patch turned; every other patch keeps its bits."""
    patches = entry.patchify(Field.of(values))
    scale = getattr(entry, "scale", None)
    if scale is None:
        scale = 1.0 if values.is_floating_point() else float(torch.iinfo(values.dtype).max)
    patch = rotate_hue(patches.values[:, token].double() / scale, turn) * scale
    patch = patch if values.is_floating_point() else patch.round()
    edited = patches.values.clone()
    edited[:, token] = patch.to(values.dtype)
    return entry.unpatchify(edited, patches.grid)


def colour_entry(modalities: ModalitySet) -> str | None:
    """The first entry that is given and predicted in three bands of known mean and std, on a grid of two axes."""
    for name in modalities.inputs:
        entry = modalities[name]
        if name in modalities.outputs and hasattr(entry, "statistics"):
            content, grid = entry.content, entry.layout(None)[0]
            if len(content) == 3 and content[0] == 3 and grid is not None and len(grid) == 2:
                return name
    return None


def label_map(modalities: ModalitySet, batch: Batch, sample: int) -> Tensor | None:
    """Labels (h, w) of a sample's first present entry of integer patches on a grid of two axes, -1 where invalid."""
    for name in modalities.fields:
        if name not in batch.fields or not bool(batch.fields[name].present[sample].all()):
            continue
        entry = modalities[name]
        ready = entry.prepare(_only(batch.fields[name], [sample]))
        patches = entry.patchify(ready)
        discrete = not patches.values.is_floating_point() and patches.values.dtype != torch.bool
        if discrete and patches.values.ndim == 4 and patches.grid is not None and len(patches.grid) == 2:
            labels = ready.values if ready.valid is None else ready.values.where(ready.valid, -1)
            return labels[0].long().cpu()
    return None


def choose_patches(colours: Tensor, labels: Tensor | None, grid: tuple[int, ...]) -> tuple[int, int]:
    """Which patch to edit, and which other one to show: colours (N, 3, h, w) in [0, 1], labels (N, h, w) or None.

    Edited: the patch most purely of one label that is not the sample's most common one, the most colourful of equals;
    without such a label, the centre. Kept: the one most purely of the most common label, of equals the farthest.
    """
    num_tokens, common = len(colours), torch.zeros(len(colours))
    edited = grid[0] // 2 * grid[1] + grid[1] // 2
    if labels is not None and bool((labels >= 0).any()):
        kinds = labels[labels >= 0].unique()
        shares = torch.stack([(labels == kind).double().flatten(1).mean(1) for kind in kinds], 1)
        most = int(shares.sum(0).argmax())
        common = shares[:, most]
        rare = shares.clone()
        rare[:, most] = 0
        if bool((rare > 0).any()):
            vivid = (colours.amax(1) - colours.amin(1)).flatten(1).mean(1)
            edited = int(np.lexsort((vivid.numpy(), rare.amax(1).numpy()))[-1])
    rows, columns = np.divmod(np.arange(num_tokens), grid[1])
    distance = np.hypot(rows - rows[edited], columns - columns[edited])
    ranked = np.lexsort((distance, common.numpy()))
    return edited, int(ranked[ranked != edited][-1])


def interaction(
    model: MaskedAutoencoder, batch: Batch, sample: int, turns: Sequence[float] = TURNS
) -> Interaction | None:
    """Show a sample's other inputs in full and two patches of colour, one of them in several hues; predict the rest.

    turns: of the hue; the first, 0, is what the others are compared with. None where the model neither is given nor
    predicts colour, or the sample has no colour, fewer than three patches of it, or nothing else to give.
    """
    modalities = model.modalities
    name = colour_entry(modalities)
    if name is None or name not in batch.fields or not bool(batch.fields[name].present[sample].all()):
        return None
    entry, repeated = modalities[name], [sample] * len(turns)
    fields = {other: _only(field, repeated) for other, field in batch.fields.items()}
    layout = Layout.of(modalities, fields)
    others = tuple(other for other in layout.inputs if other != name and layout.present[other].any())
    grid = layout.grids[name]
    if grid is None or layout.present[name].shape[1] < 3 or not others:
        return None

    one = _only(batch.fields[name], [sample])
    prepared = entry.patchify(entry.prepare(one)).values[0].cpu()
    labels = _labels_of(entry, label_map(modalities, batch, sample), one)
    edited, kept = choose_patches(_displayed(entry, prepared), labels, grid)
    hued = torch.cat([with_hue(entry, one.values, edited, turn) for turn in turns])
    fields[name] = Field(hued, fields[name].present, fields[name].valid)
    keys = (batch.keys[sample],) * len(turns)
    plan = given_and_patches(layout, name, [edited, kept])
    done = model.reconstruct(Batch(fields, keys, Draw.of(0, keys)), plan)

    hidden = torch.ones(len(prepared), dtype=torch.bool).index_fill(0, torch.tensor([edited, kept]), False)
    given = done.patches[name].values.cpu()
    whole = done.predicted[name].cpu().float().where(hidden.view(-1, 1, 1, 1), given)
    colours = _displayed(entry, whole)
    change = (colours[1:] - colours[:1]).abs().mean((0, 2)).where(hidden.view(-1, 1, 1), 0.0)
    regions = _regions(labels, hidden, edited)
    seen = [draw(entry, values, grid, prepared, hidden=hidden) for values in given]
    predicted = [draw(entry, values, grid, prepared) for values in whole]
    truth = draw(entry, prepared, grid, prepared)
    assert truth is not None, "an entry with statistics draws itself"
    picture = entry.unpatchify(change[None, :, None].expand(-1, -1, 3, -1, -1), grid)[0, 0]
    mapped = enlarge(colour_map((picture / picture.amax().clamp(min=1e-6)).numpy()))
    shown = pixels_of(~hidden.numpy(), grid, *mapped.shape[:2])
    return Interaction(
        key=batch.keys[sample],
        name=name,
        others=others,
        turns=tuple(turns),
        given=tuple(part for part in seen if part is not None),
        predicted=tuple(part for part in predicted if part is not None),
        truth=truth,
        changed=mapped if shown is None else cover(mapped, shown),
        edited=edited,
        kept=kept,
        change=None if regions is None else _means(change, *regions, grid, edited),
    )


def _only(field: Field, samples: list[int]) -> Field:
    return Field(field.values[samples], field.present[samples], None if field.valid is None else field.valid[samples])


def _displayed(entry: Modality, values: Tensor) -> Tensor:
    """Prepared colours (..., 3, h, w) as they are displayed, in [0, 1]."""
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in entry.statistics())  # type: ignore[attr-defined]
    return (values * std + mean).clamp(0, 1)


def _labels_of(entry: Modality, labels: Tensor | None, field: Field) -> Tensor | None:
    """A label map (h, w) at the resolution of a colour field, in its patches (N, h, w)."""
    if labels is None:
        return None
    scaled = F.interpolate(labels[None, None].double(), field.values.shape[-2:], mode="nearest").long()
    return entry.patchify(Field.of(scaled.expand(-1, 3, -1, -1))).values[0, :, 0]


def _means(change: Tensor, region: Tensor, beside: Tensor, grid: tuple[int, ...], edited: int) -> Change | None:
    """Means of the change (N, h, w) over two sets of pixels, bool (N, h, w); None where one of them is empty."""
    if not bool(region.any()) or not bool(beside.any()):
        return None
    rows, columns = torch.arange(len(change)) // grid[1], torch.arange(len(change)) % grid[1]
    rings = torch.maximum((rows - rows[edited]).abs(), (columns - columns[edited]).abs())
    near = [0.0, 0.0]
    weights = 0
    for ring in rings.unique():
        at = (rings == ring).view(-1, 1, 1)
        within, without = region & at, beside & at
        if bool(within.any()) and bool(without.any()):
            weight = int(within.sum())
            weights += weight
            near = [near[0] + weight * float(change[within].mean()), near[1] + weight * float(change[without].mean())]
    matched = (near[0] / weights, near[1] / weights) if weights else None
    return Change(float(change[region].mean()), float(change[beside].mean()), matched)


def _regions(labels: Tensor | None, hidden: Tensor, edited: int) -> tuple[Tensor, Tensor] | None:
    """Hidden pixels of the edited patch's label, and those of other labels, bool (N, h, w); None without a label."""
    if labels is None or not bool((labels[edited] >= 0).any()):
        return None
    kind = labels[edited][labels[edited] >= 0].mode().values
    known = hidden.view(-1, 1, 1) & (labels >= 0)
    return known & (labels == kind), known & (labels != kind)
