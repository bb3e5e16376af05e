"""What only a CUDA device can show; run by `benchmarks/gpu.sh`."""

from __future__ import annotations

import pytest
import torch

from maetoolkit import RGB, CrossDecoder, Depth, Dirichlet, JointDecoder, MaskedAutoencoder, ModalitySet, Semantic, ViT
from maetoolkit.layers.attention import attend, xformers_ops
from maetoolkit.modalities.features import Features
from maetoolkit.model.teacher import Teachers
from maetoolkit.tokens import Batch, Field, Segments, map_tensors

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(autouse=True)
def _full_precision_products() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.mark.parametrize("backend", ["xformers", "varlen", "sdpa", "softmax", "auto"])
@pytest.mark.parametrize("lengths", [(99, 99, 99), (99, 1, 50, 128), (99, 0, 50)])
@pytest.mark.parametrize("crossed", [False, True])
def test_backends_agree_with_plain_softmax(backend: str, lengths: tuple[int, ...], crossed: bool) -> None:
    if backend == "xformers" and xformers_ops() is None:
        pytest.skip("xformers is not installed")
    keys = Segments(lengths)
    queries = Segments((64,) * len(lengths)) if crossed else keys
    q, k, v = (torch.randn(n.total, 6, 64, device="cuda", requires_grad=True) for n in (queries, keys, keys))
    expected = attend(q, k, v, queries, keys, "softmax")
    found = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), queries, keys, backend)
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)
    found.float().square().sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in (q, k, v))


@pytest.mark.parametrize("decoder", [CrossDecoder(dim=64, heads=4), JointDecoder(dim=64, depth=2, heads=4)])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_step_on_the_device_agrees_with_the_host(
    decoder: CrossDecoder | JointDecoder, bf16: bool, in_place: bool
) -> None:
    entries = ModalitySet(rgb=RGB(size=64), depth=Depth(size=64), semantic=Semantic(size=64, num_classes=9))
    masking = Dirichlet(num_visible=16, in_place=in_place)
    model = MaskedAutoencoder(entries, ViT(dim=64, depth=2, heads=4), decoder, masking)
    values = {
        "rgb": torch.rand(4, 3, 64, 64),
        "depth": torch.rand(4, 1, 64, 64),
        "semantic": torch.randint(0, 9, (4, 16, 16)),
    }
    present = {"depth": torch.tensor([True, False, True, True])}
    fields = {n: Field(v, present.get(n, torch.ones(4, dtype=torch.bool))) for n, v in values.items()}
    output = model(fields)
    on_host = output.loss.item()
    model.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
        on_device = model(fields, output.plan).loss
    on_device.backward()
    assert abs(on_device.item() - on_host) < (3e-2 if bf16 else 1e-4) * abs(on_host)
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_mixture_of_presence_gives_every_sample_what_it_gets_alone() -> None:
    entries = ModalitySet(rgb=RGB(size=64), depth=Depth(size=64))
    model = MaskedAutoencoder(
        entries, ViT(dim=64, depth=2, heads=4), CrossDecoder(dim=64, heads=4), Dirichlet(num_visible=16)
    ).cuda()
    values = {"rgb": torch.rand(4, 3, 64, 64), "depth": torch.rand(4, 1, 64, 64)}
    present = {"rgb": torch.tensor([True, False, True, True]), "depth": torch.tensor([True, True, False, True])}
    fields = {name: Field(value, present[name]) for name, value in values.items()}
    together = model(fields)
    for sample in range(4):
        own = {name: Field(field.values[[sample]], field.present[[sample]]) for name, field in fields.items()}
        plan = map_tensors(together.plan, lambda flags, sample=sample: flags[[sample]])
        alone = model(own, plan)
        for name, prediction in alone.predictions.items():
            mine = together.predictions[name][together.route.sample[name] == sample]
            torch.testing.assert_close(mine, prediction, atol=1e-4, rtol=1e-4)


def test_an_average_of_the_student_teaches_on_the_device() -> None:
    taught = Features.model_validate({"of": "rgb", "teacher": {"type": "ema"}})
    entries = ModalitySet(rgb=RGB(size=64), own=taught)
    model = MaskedAutoencoder(
        entries, ViT(dim=64, depth=2, heads=4), CrossDecoder(dim=64, heads=4), Dirichlet(num_visible=8)
    ).cuda()
    teachers = Teachers(model)
    batch = Batch({"rgb": Field.of(torch.rand(2, 3, 64, 64))}, ("a", "b")).to("cuda")
    model(teachers(model.planned(batch))).loss.backward()
    teachers.update(model, 0.5)
    assert all(value.isfinite().all() for value in teachers.state().values())
