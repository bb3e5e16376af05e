"""What only a CUDA device can show; run by `benchmarks/gpu.sh`."""

from __future__ import annotations

import pytest
import torch

from maetoolkit import RGB, CrossDecoder, Depth, Dirichlet, JointDecoder, MaskedAutoencoder, ModalitySet, Semantic, ViT
from maetoolkit.layers.attention import attend, xformers_ops
from maetoolkit.tokens import Field, Segments

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(autouse=True)
def _full_precision_products() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.mark.parametrize("backend", ["xformers", "varlen", "sdpa", "softmax", "auto"])
@pytest.mark.parametrize("lengths", [(99, 99, 99), (99, 1, 50, 128)])
def test_backends_agree_with_plain_softmax(backend: str, lengths: tuple[int, ...]) -> None:
    if backend == "xformers" and xformers_ops() is None:
        pytest.skip("xformers is not installed")
    segments = Segments(lengths)
    q, k, v = (torch.randn(segments.total, 6, 64, device="cuda", requires_grad=True) for _ in range(3))
    expected = attend(q, k, v, segments, segments, "softmax")
    found = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), segments, segments, backend)
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)
    found.float().square().sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in (q, k, v))


@pytest.mark.parametrize("decoder", [CrossDecoder(dim=64, heads=4), JointDecoder(dim=64, depth=2, heads=4)])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_on_the_device_agrees_with_the_host(decoder: CrossDecoder | JointDecoder, bf16: bool) -> None:
    entries = ModalitySet(rgb=RGB(size=64), depth=Depth(size=64), semantic=Semantic(size=64, num_classes=9))
    model = MaskedAutoencoder(entries, ViT(dim=64, depth=2, heads=4), decoder, Dirichlet(num_visible=16))
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
