"""The page: findings, curves and facts as one self-contained HTML document."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from maetoolkit.evaluate import facts
from maetoolkit.evaluate.curves import colours_of, error_curves, number, series, training_curves
from maetoolkit.evaluate.legend import legend_of
from maetoolkit.evaluate.mask_figure import masks_svg, shares_svg
from maetoolkit.evaluate.reconstruct import View, views

if TYPE_CHECKING:
    from maetoolkit.evaluate.findings import Findings
    from maetoolkit.evaluate.interaction import Interaction
    from maetoolkit.evaluate.pictures import Picture
    from maetoolkit.model.autoencoder import MaskedAutoencoder
    from maetoolkit.train.recipe import Recipe

LOSSY_ABOVE = 40_000
MOST_TRANSFERS = 4
MOST_INTERACTIONS = 2


def render(
    recipe: Recipe,
    model: MaskedAutoencoder,
    found: Findings,
    records: Sequence[Mapping[str, Any]],
    *,
    step: int,
    num_steps: int,
    now: datetime | None = None,
) -> str:
    """The whole document. records: of the run's log; step: what the model was trained for, of num_steps."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    colours = colours_of(list(model.modalities))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(picture=data_uri, svg=Markup, number=number, large=facts.large)
    trained_at = _num_trained_at(found)
    return environment.get_template("report.html.j2").render(
        recipe=recipe,
        now=now or datetime.now(),
        step=step,
        num_steps=num_steps,
        headlines=headlines(recipe, model, found, records, step, num_steps),
        curves=training_curves(records, colours),
        samples=[sample_rows(model, found, at) for at in range(len(found.batch))],
        num_masks=len(found.masks),
        transfers=[transfer_rows(model, found, at) for at in range(min(MOST_TRANSFERS, len(found.batch)))],
        outputs=model.modalities.reconstructed,
        interactions=[interaction_rows(one) for one in found.interactions[:MOST_INTERACTIONS]],
        hues=hue_rows(found),
        comparisons=comparison_rows(found),
        errors=error_curves(found.errors, found.num_visible, trained_at, colours),
        legends=legends(model, found),
        masks=None if found.draws is None else masks_svg(found.draws, found.layout, colours),
        shares=None if found.draws is None else shares_svg(found.draws, colours),
        colours=colours,
        found=found,
        parameters=facts.parameters(model),
        tokens=_tokens(model, found),
        hardware=facts.hardware(),
        device=str(model.device),
        versions=facts.versions_of(recipe),
    )


def headlines(
    recipe: Recipe,
    model: MaskedAutoencoder,
    found: Findings,
    records: Sequence[Mapping[str, Any]],
    step: int,
    num_steps: int,
) -> list[tuple[str, str, str]]:
    """The numbers at the top: (value, what it is, small print)."""
    num_parameters = sum(p.numel() for p in model.parameters())
    seen = step * recipe.batch
    rows = [(f"{step:,}", "steps", f"of {num_steps:,}" if step < num_steps else "all of them")]
    rows.append((facts.large(seen), "samples seen", f"batch {recipe.batch:,}"))
    if (time := facts.training_time(records, recipe.batch)) is not None:
        rows.append((facts.duration(time[1]), "training", f"{number(time[0])} samples/s"))
    rows.append((facts.large(num_parameters), "parameters", f"{recipe.precision}, on {model.device}"))
    losses = [value for value in series(records, "loss")[1] if math.isfinite(value)]
    if losses:
        rows.append((number(losses[-1]), "training loss", f"from {number(losses[0])}"))
    gains = {pair: comparison.gain() for pair, comparison in found.comparisons.items() if pair[0]}
    gains = {pair: gain for pair, gain in gains.items() if math.isfinite(gain)}
    if gains:
        (given, name), gain = max(gains.items(), key=lambda item: item[1])
        words = "below" if gain >= 0 else "above"
        rows.append((f"{abs(gain):.0%} {words}", "the mean predictor", f"{name} from {given} alone"))
    return rows


def sample_rows(model: MaskedAutoencoder, found: Findings, sample: int) -> dict[str, Any]:
    """One sample under every mask: rows of (name, present, input, [(masked, predicted, loss, seen)], truth)."""
    looks = [views(model.modalities, done, sample) for done in found.masks]
    rows = []
    for name, first in looks[0].items():
        pairs = [(look[name].masked, look[name].predicted, look[name].loss, _seen(look[name])) for look in looks]
        rows.append(
            {"name": name, "present": first.present, "input": first.given, "pairs": pairs, "truth": first.truth}
        )
    return {"key": found.batch.keys[sample], "rows": rows}


def transfer_rows(model: MaskedAutoencoder, found: Findings, sample: int) -> dict[str, Any]:
    """One sample through each input alone: rows of (given, its picture, [(picture, loss) per output]); and truths."""
    looks = {given: views(model.modalities, done, sample) for given, done in found.transfers.items()}
    looks = {given: look for given, look in looks.items() if look[given].present}
    rows = []
    truths: dict[str, Picture | None] = {}
    for given, look in looks.items():
        cells = [
            (look[n].predicted, look[n].loss) if n in look else (None, None) for n in model.modalities.reconstructed
        ]
        rows.append({"given": given, "picture": look[given].given, "cells": cells})
        truths = {name: look[name].truth if name in look else None for name in model.modalities.reconstructed}
    return {"key": found.batch.keys[sample], "rows": rows, "truths": list(truths.values())}


def interaction_rows(one: Interaction) -> dict[str, Any]:
    """One sample with a patch in several hues: its pictures and the heads of their columns."""
    heads = [f"hue + {round(360 * turn)}°" if turn else "as it is" for turn in one.turns]
    return {"of": one, "heads": heads}


def hue_rows(found: Findings) -> list[dict[str, Any]]:
    """Mean change inside and outside of the regions over the samples that know theirs; everywhere, then matched."""
    changes = [one.change for one in found.interactions if one.change is not None]
    kinds = {
        "anywhere": [(change.inside, change.outside) for change in changes],
        "at the same distance": [change.matched for change in changes if change.matched is not None],
    }
    rows = []
    for where, pairs in kinds.items():
        if pairs:
            inside, outside = (sum(part) / len(pairs) for part in zip(*pairs, strict=True))
            ratio = inside / outside if outside else math.nan
            rows.append({"where": where, "inside": inside, "outside": outside, "ratio": ratio, "num": len(pairs)})
    return rows


def comparison_rows(found: Findings) -> list[dict[str, Any]]:
    """The model's losses beside the baselines'; gain is a share, or None where there is nothing to compare with."""
    rows = []
    for (given, name), result in found.comparisons.items():
        gain = result.gain()
        rows.append(
            {
                "given": given,
                "name": name,
                "model": result.model.mean,
                "mean_image": result.mean_image.mean,
                "mean_map": math.nan if result.mean_map is None else result.mean_map.mean,
                "gain": gain if math.isfinite(gain) else None,
            }
        )
    return rows


def legends(model: MaskedAutoencoder, found: Findings) -> dict[str, Any]:
    """What the pictures' colours mean, per entry that says so."""
    looks = [views(model.modalities, found.masks[0], sample) for sample in range(len(found.batch))]
    entries = {}
    for name in model.modalities.fields:
        pictures = [part for look in looks if name in look for part in (look[name].truth, look[name].predicted)]
        legend = legend_of(model.modalities[name], pictures)
        if legend is not None:
            entries[name] = legend
    return entries


def data_uri(picture: Picture) -> str:
    """A picture as a data URI: lossless, unless that is large (photographs)."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    image.save(buffer, "WEBP", lossless=True, quality=60, method=3)
    if buffer.tell() > LOSSY_ABOVE:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=88, method=3)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _seen(view: View) -> str:
    return f"{view.visible} of {view.total}"


def _tokens(model: MaskedAutoencoder, found: Findings) -> str:
    return ", ".join(f"{name} {found.layout.present[name].shape[1]}" for name in model.modalities.fields)


def _num_trained_at(found: Findings) -> float | None:
    """Visible patches per sample under the sampler's own masks."""
    plan = found.draws or found.masks[0].plan
    per_sample = sum(flags.sum(1).float().mean() for flags in plan.visible.values())
    return float(per_sample)
