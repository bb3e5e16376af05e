"""Trying every part of a recipe on its first samples before training, where a contract that is broken has an owner.

Nothing of this is in the hot path. Axes: B samples, N tokens of a field, T of them, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maetoolkit.data import transform
from maetoolkit.errors import DataError
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.modality import Geometry
from maetoolkit.model.positions import gather
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field, Patches, map_tensors
from maetoolkit.train.first_pass import check_pass
from maetoolkit.train.trial import Said, Subject, looks

if TYPE_CHECKING:
    from maetoolkit.train.run import Run

NUM_SAMPLES = 4


def check_first_batch(run: Run) -> None:
    """Take the first samples of a run through everything that a plugin may have made; nothing of the run changes.

    Raises ConfigError that names entry, method, owner, what was expected and what was found; DataError where a sample
    cannot be used.
    """
    model = run.model
    training = model.training
    try:
        with torch.random.fork_rng(devices=[]):
            _check(run, model.eval())
    finally:
        model.train(training)


def _check(run: Run, model: Any) -> None:
    modalities, device = model.modalities, model.device
    keys, rows, epochs = _samples(run)
    subjects = {name: Subject(f"modalities.{name}", "modalities", modalities[name]) for name in modalities}
    fields = {name: _collated(subjects[name], [row.get(name) for row in rows]) for name in modalities.fields}
    layouts = {name: _laid_out(subjects[name], field) for name, field in fields.items()}
    layout = Layout.of(modalities, fields)
    try:
        layout.require_something(keys)
    except ValueError as error:
        raise DataError(str(error)) from None
    patches = {}
    for name, field in fields.items():
        there = map_tensors(field, lambda tensor: tensor.to(device))
        patches[name] = _cut(subjects[name], there, layouts[name], layout)
    for name in modalities.inputs:
        _check_input(subjects[name], patches[name], model, name)
    batch = Batch(fields, tuple(keys), Draw.of(run.recipe.seed, keys, epochs, 0)).to(device)
    plan = _planned(run, layout, batch, patches)
    for name in modalities.outputs:
        source = patches[modalities.source(name)]
        _check_output(subjects[name], _truth(run, subjects[name], name, batch, source), source, model, name)
    check_pass(run, replace(batch, plan=plan, targets=run.teachers(batch).targets))


def _samples(run: Run) -> tuple[list[str], list[dict[str, Any]], list[int]]:
    """Keys, transformed values and epochs of the first samples."""
    recipe, modalities = run.recipe, run.model.modalities
    source = Subject("data", "sources", recipe.data)
    aspect = transform.declared_aspect(modalities)
    keys, rows, epochs = [], [], []
    for epoch, index in run.samples.places(recipe.seed, 0)[:NUM_SAMPLES].tolist():
        key = source.call("key", run.samples.key, index)
        source.expect("key", isinstance(key, str), "the name of a sample", key)
        values = source.call("read", run.samples.read, index)
        expected = f"values by entry ({', '.join(modalities.fields)}), None where one is absent"
        known = isinstance(values, Mapping) and set(values) <= set(modalities.fields)
        source.expect("read", known, expected, _names(values))
        values = recipe.data.kept(dict(values), key)
        for name, value in values.items():
            _check_frame(Subject(f"modalities.{name}", "modalities", modalities[name]), value)
        frame = transform.sample_frame(values, modalities)
        path = (recipe.seed, "crop", epoch, key)
        geometry = Geometry() if frame is None else transform.random_crop(recipe.data, frame, aspect, *path)
        geometry = replace(geometry, path=(recipe.seed, epoch, key))
        row = {name: _transformed(modalities[name], name, value, geometry, key) for name, value in values.items()}
        keys.append(key)
        rows.append(row)
        epochs.append(epoch)
    return keys, rows, epochs


def _check_frame(subject: Subject, value: Any) -> None:
    modality: Any = subject.description
    if value is not None:
        found = subject.call("frame", modality.frame, value)
        good = found is None or (isinstance(found, tuple) and len(found) == 2)
        subject.expect("frame", good, "(height, width), or None where values have no frame", found)


def _transformed(modality: Any, name: str, value: Any, geometry: Geometry, key: str) -> Any:
    if value is None:
        return None
    subject = Subject(f"modalities.{name}", "modalities", modality)
    found = subject.call("transform", modality.transform, value, geometry, data=f"sample {key!r}, {name}")
    subject.expect("transform", found is not None, "the value at its declared size", found)
    return found


def _collated(subject: Subject, values: list[Any]) -> Field:
    modality: Any = subject.description
    field = subject.call("collate", modality.collate, values, data=subject.place.removeprefix("modalities."))
    _check_field(subject, "collate", field, len(values))
    absent = torch.tensor([value is None for value in values])
    wrong = field.present[absent].any() or (field.present.ndim == 1 and not field.present[~absent].all())
    expected = f"`present` True for what is given and False for None, {(~absent).tolist()}"
    subject.expect("collate", not wrong, expected, Said(f"`present` {field.present.tolist()}"))
    return field


def _check_field(subject: Subject, method: str, field: Any, num: int) -> None:
    good = isinstance(field, Field) and isinstance(field.values, Tensor) and isinstance(field.present, Tensor)
    subject.expect(method, good, "a Field of tensors", field)
    shaped = field.values.ndim > 0 and len(field.values) == num
    subject.expect(method, shaped, f"a Field whose `values` begin with the {num} samples", field.values)
    flags = field.present.dtype == torch.bool and field.present.ndim in (1, 2) and len(field.present) == num
    subject.expect(method, flags, f"a Field whose `present` is bool ({num},) or ({num}, tokens)", field.present)
    if field.valid is not None:
        _check_valid(subject, method, "Field", field.valid, field.values)


def _check_valid(subject: Subject, method: str, what: str, valid: Any, values: Tensor) -> None:
    good = isinstance(valid, Tensor) and valid.dtype == torch.bool and _broadcasts(valid, values)
    subject.expect(method, good, f"a {what} whose `valid` is None or bool that broadcasts to {looks(values)}", valid)


def _broadcasts(small: Tensor, large: Tensor) -> bool:
    try:
        return torch.broadcast_shapes(small.shape, large.shape) == large.shape
    except RuntimeError:
        return False


def _laid_out(subject: Subject, field: Field) -> tuple[tuple[int, ...] | None, int]:
    modality: Any = subject.description
    found = subject.call("layout", modality.layout, field)
    good = isinstance(found, tuple) and len(found) == 2 and (found[0] is None or isinstance(found[0], tuple))
    subject.expect("layout", good and isinstance(found[1], int), "(grid or None, number of tokens)", found)
    grid, num_tokens = found
    return grid, num_tokens


def _cut(subject: Subject, field: Field, laid_out: tuple[Any, int], layout: Layout) -> Patches:
    modality: Any = subject.description
    prepared = subject.call("prepare", modality.prepare, field)
    _check_field(subject, "prepare", prepared, len(field))
    found = subject.call("patchify", modality.patchify, prepared)
    good = isinstance(found, Patches) and all(isinstance(each, Tensor) for each in (found.values, found.positions))
    subject.expect("patchify", good and isinstance(found.present, Tensor), "Patches of tensors", found)
    (grid, num_tokens), num = laid_out, len(field)
    shape = (num, num_tokens, *modality.content)
    expected = f"Patches whose `values` are {shape}: samples, tokens as `layout` says, `content`"
    subject.expect("patchify", tuple(found.values.shape) == shape, expected, found.values)
    placed = found.positions.ndim == 3 and tuple(found.positions.shape[:2]) == (num, num_tokens)
    subject.expect("patchify", placed, f"Patches whose `positions` are ({num}, {num_tokens}, axes)", found.positions)
    flags = found.present.dtype == torch.bool and tuple(found.present.shape) == (num, num_tokens)
    subject.expect("patchify", flags, f"Patches whose `present` is bool ({num}, {num_tokens})", found.present)
    name = subject.place.removeprefix("modalities.")
    same = torch.equal(found.present.cpu(), torch.from_numpy(layout.present[name]))
    subject.expect("patchify", same, "Patches with the same tokens `present` as in the field", Said("others"))
    subject.expect("patchify", found.grid == grid, f"Patches whose `grid` is that of `layout`, {grid}", found.grid)
    if found.valid is not None:
        _check_valid(subject, "patchify", "Patches", found.valid, found.values)
    return found


def _check_input(subject: Subject, patches: Patches, model: Any, name: str) -> None:
    rows, dim = _rows(patches), model.encoder.dim
    for method, module, given in (
        ("the module of build_tokenizer", model.tokenizers[name], (gather(patches.values, rows),)),
        ("the module of build_position", model.positions[name], (gather(patches.positions, rows), patches.grid)),
    ):
        subject.expect(method.split()[-1], isinstance(module, nn.Module), "a torch module", module)
        found = subject.call(method, module, *given)
        good = isinstance(found, Tensor) and found.is_floating_point() and tuple(found.shape) == (len(rows), dim)
        subject.expect(method, good, f"floats ({len(rows)}, {dim}): tokens, width of the encoder", found)


def _truth(run: Run, subject: Subject, name: str, batch: Batch, source: Patches) -> Tensor:
    """What an output's `target` is given, (B, N, ...): patch values, or what its teacher makes of the batch."""
    description = run.model.modalities[name].taught_by()
    if description is None:
        return source.values
    taught = Subject(f"{subject.place}.teacher", "targets", description)
    with torch.no_grad():
        found = taught.call("the teacher", run.teachers[name], batch)
    modalities = run.model.modalities
    width = description.width(run.model.encoder.dim, modalities[modalities.source(name)])
    shape = (*source.present.shape, width)
    good = isinstance(found, Tensor) and found.is_floating_point() and tuple(found.shape) == shape
    taught.expect("the teacher", good, f"floats {shape}: samples, tokens, `width`", found)
    return found


def _check_output(subject: Subject, truth: Tensor, patches: Patches, model: Any, name: str) -> None:
    modality: Any = subject.description
    rows, width = _rows(patches), int(model.decoder.dim)
    num, device = len(rows), model.device
    features = torch.linspace(-1, 1, num * width, device=device).view(num, width).requires_grad_()
    subject.expect("build_head", isinstance(model.heads[name], nn.Module), "a torch module", model.heads[name])
    prediction = subject.call("the module of build_head", model.heads[name], features)
    good = isinstance(prediction, Tensor) and prediction.is_floating_point() and prediction.shape[:1] == (num,)
    subject.expect("the module of build_head", good, f"floats that begin with the {num} tokens", prediction)
    exists = gather(patches.present, rows)
    values = gather(truth, rows)
    values = values.where(exists.view(-1, *[1] * (values.ndim - 1)), torch.zeros_like(values[:1]))
    target = subject.call("target", modality.target, values)
    good = isinstance(target, Tensor) and target.shape[:1] == (num,)
    subject.expect("target", good, f"a tensor that begins with the {num} tokens", target)
    target = target.detach()
    valid = None if patches.valid is None or truth is not patches.values else gather(patches.valid, rows)
    found = subject.call("token_loss", modality.token_loss, prediction, target, valid)
    expected = f"(sum, count), both float32 ({num},): one of each per token"
    pair = isinstance(found, tuple) and len(found) == 2 and all(_per_token(each, num) for each in found)
    subject.expect("token_loss", pair, expected, found)
    subject.expect(
        "token_loss", found[0].requires_grad, "one that depends on the prediction", Said("a sum without gradient")
    )
    count = subject.call("token_count", modality.token_count, target, valid)
    subject.expect("token_count", _per_token(count, num), f"float32 ({num},): the count of token_loss", count)
    same = torch.equal(count, found[1].detach())
    subject.expect("token_count", same, "the count that token_loss returns", Said("another one"))


def _per_token(value: Any, num: int) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32 and tuple(value.shape) == (num,)


def _planned(run: Run, layout: Layout, batch: Batch, patches: Mapping[str, Patches]) -> MaskPlan:
    sampler = run.model.sampler
    subject = Subject("masking", "samplers", run.recipe.masking)
    content = patches if sampler.needs_content else None
    plan = subject.call("the sampler", sampler, layout, batch.draw, 0.0, content)
    subject.expect("the sampler", isinstance(plan, MaskPlan), "a MaskPlan", plan)
    for what, names in (("visible", layout.inputs), ("target", layout.sources)):
        flags = getattr(plan, what)
        subject.expect(
            "the sampler", set(flags) >= set(names), f"flags in `{what}` for {', '.join(names)}", _names(flags)
        )
    try:
        plan.among(layout)
    except ValueError as error:
        subject.expect("the sampler", False, "a plan that fits the batch", Said(f"one that does not ({error})"))
    return plan


def _rows(patches: Patches) -> Tensor:
    """Flat indices of all tokens, or of the first few where there are many."""
    return torch.arange(min(patches.present.numel(), 256), device=patches.values.device)


def _names(value: Any) -> Any:
    return Said(f"{', '.join(map(str, value)) or 'nothing'}") if isinstance(value, Mapping) else value
