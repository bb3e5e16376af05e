"""Which timm models can be the encoder."""

from __future__ import annotations

import pytest

from maetoolkit.model.encoder import ViT

PLAIN = ["vit_tiny_patch16_224", "vit_small_patch16_224"]
OTHERS = ["eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224", "resnet18", "deit3_small_patch16_224"]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_vits_are_built_by_name(name: str) -> None:
    trunk = ViT(name=name).build()
    assert trunk.dim == {"vit_tiny_patch16_224": 192, "vit_small_patch16_224": 384}[name]
    assert len(trunk.blocks) == 12


@pytest.mark.parametrize("name", OTHERS[:3])
def test_other_architectures_are_refused_by_name_with_a_remedy(name: str) -> None:
    with pytest.raises(ValueError, match=r"encoder\.name: .*use a vit_\* model") as refused:
        ViT(name=name).build()
    assert name in str(refused.value)


def test_an_unknown_name_is_refused_with_near_ones() -> None:
    with pytest.raises(ValueError, match=r"timm has no model 'vit_smal_patch16_224'; near ones are vit_"):
        ViT(name="vit_smal_patch16_224").build()


def test_a_name_and_numbers_together_are_refused() -> None:
    with pytest.raises(ValueError, match="already fixes depth"):
        ViT(name="vit_small_patch16_224", depth=3)
