"""What a plugin's modality gets wrong at training time is one named error before the first step."""

from __future__ import annotations

import pytest
import torch
from faulty import Bad, breaking, train
from torch import nn

from maetoolkit.errors import ConfigError
from maetoolkit.tokens import Field


def spoilt(array):
    array.setflags(write=True)
    array[...] = 0
    return array


def spoil(value):
    value.zero_()
    return value


MODALITIES = {
    "transform 2": (lambda self, right, value, geometry: right(spoilt(value), geometry), "transform changed what it w"),
    "transform": (lambda self, right, *_: None, "transform returned None; expected the value at its declared size"),
    "frame": (lambda self, right, value: 3, "frame returned a int; expected (height, width), or None"),
    "collate": (lambda self, right, *_: None, "collate returned None; expected a Field of tensors"),
    "collate 2": (
        lambda self, right, values: Field(torch.zeros(9, 3, 16, 16), torch.ones(9, dtype=torch.bool)),
        "collate returned float32 (9, 3, 16, 16); expected a Field whose `values` begin with the 4 samples",
    ),
    "collate 3": (
        lambda self, right, values: Field(right().values, torch.ones(4)),
        "collate returned float32 (4,); expected a Field whose `present` is bool (4,) or (4, tokens)",
    ),
    "collate 4": (
        lambda self, right, values: Field(right().values, torch.zeros(4, dtype=torch.bool)),
        "expected `present` True for what is given and False for None, [True, True, True, True]",
    ),
    "layout": (lambda self, right, *_: 4, "layout returned a int; expected (grid or None, number of tokens)"),
    "prepare": (lambda self, right, *_: None, "prepare returned None; expected a Field of tensors"),
    "prepare 2": (
        lambda self, right, field: Field(spoil(field.values), field.present),
        "prepare changed what it was given in place; expected something new",
    ),
    "patchify": (lambda self, right, *_: None, "patchify returned None; expected Patches of tensors"),
    "patchify 2": (
        lambda self, right, field: replaced(right(), values=right().values[:, :3]),
        "patchify returned float32 (4, 3, 3, 8, 8); expected Patches whose `values` are (4, 4, 3, 8, 8): samples, "
        "tokens as `layout` says, `content`",
    ),
    "patchify 3": (
        lambda self, right, field: replaced(right(), present=right().present.float()),
        "patchify returned float32 (4, 4); expected Patches whose `present` is bool (4, 4)",
    ),
    "patchify 4": (
        lambda self, right, field: replaced(right(), present=~right().present),
        "expected Patches with the same tokens `present` as in the field",
    ),
    "patchify 5": (
        lambda self, right, field: replaced(right(), positions=right().positions[:, 0]),
        "patchify returned int64 (4, 2); expected Patches whose `positions` are (4, 4, axes)",
    ),
    "patchify 6": (
        lambda self, right, field: replaced(right(), valid=torch.ones(4, 4, 5, dtype=torch.bool)),
        "expected a Patches whose `valid` is None or bool that broadcasts to float32 (4, 4, 3, 8, 8)",
    ),
    "patchify 7": (
        lambda self, right, field: replaced(right(), grid=(4, 1)),
        "patchify returned (a int, a int); expected Patches whose `grid` is that of `layout`, (2, 2)",
    ),
    "patchify 8": (lambda self, right, field: field[0], "patchify failed with TypeError (test_first_batch.py:"),
    "build_tokenizer": (lambda self, right, dim: None, "build_tokenizer returned None; expected a torch module"),
    "build_tokenizer 2": (
        lambda self, right, dim: nn.Flatten(),
        "the module of build_tokenizer returned float32 (16, 192); expected floats (16, 16): tokens, width of the enco",
    ),
    "build_tokenizer 3": (
        lambda self, right, dim: nn.Linear(7, dim),
        "the module of build_tokenizer failed with Runti",
    ),
    "build_position": (
        lambda self, right, dim, side: NoGrid(dim),
        "the module of build_position failed with TypeError",
    ),
    "build_head": (
        lambda self, right, dim, content: nn.Sequential(nn.Linear(dim, 3), nn.Flatten(0)),
        "the module of build_head returned float32 (48,); expected floats that begin with the 16 tokens",
    ),
    "build_head 2": (
        lambda self, right, dim, content: nn.Linear(dim, 5),
        "token_loss failed with RuntimeError (",
    ),
    "build_head 4": (lambda self, right, *_: None, "build_head returned None; expected a torch module"),
    "build_head 3": (
        lambda self, right, dim, content: 1 / 0,
        "build_head failed with ZeroDivisionError (test_first_batch.py:",
    ),
    "target": (lambda self, right, values: None, "target returned None; expected a tensor that begins with the 16 to"),
    "target 2": (
        lambda self, right, values: values.sub_(1),
        "target changed what it was given in place; expected something new",
    ),
    "token_loss": (lambda self, right, *_: None, "token_loss returned None; expected (sum, count), both float32 (16,)"),
    "token_loss 2": (
        lambda self, right, *_: right()[0].mean(),
        "token_loss returned float32 (); expected (sum, count), both float32 (16,): one of each per token",
    ),
    "token_loss 3": (
        lambda self, right, *_: (right()[0], right()[1].long()),
        "token_loss returned (float32 (16,), int64 (16,)); expected (sum, count), both float32 (16,)",
    ),
    "token_loss 4": (
        lambda self, right, *_: (right()[0].detach(), right()[1]),
        "token_loss returned a sum without gradient; expected one that depends on the prediction",
    ),
    "token_loss 5": (
        lambda self, right, prediction, target, valid: right(prediction, spoil(target), valid),
        "token_loss changed what it was given in place",
    ),
}


def replaced(patches, **changes):
    from dataclasses import replace

    return replace(patches, **changes)


class NoGrid(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, positions):
        return self.weight.expand(len(positions), -1)


@pytest.mark.parametrize("name", MODALITIES)
def test_a_modality_that_breaks_its_contract_is_named_with_method_expectation_and_owner(install, tmp_path, name):
    wrong, message = MODALITIES[name]
    cls = breaking(Bad, **{name.split()[0]: wrong})
    with pytest.raises(ConfigError) as caught:
        train(install, tmp_path, cls=cls)
    told = str(caught.value)
    assert told.startswith("modalities.other (Bad of plugin 'mine' (my-dist 0.3)): "), told
    assert message in told
    assert told.endswith(". `maetool plugins check mine` says more")
    assert "\n" not in told
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_count_of_its_own_is_refused_where_it_is_another_than_that_of_the_loss(install, tmp_path):
    wrong = breaking(Bad, token_loss=lambda self, right, *_: (right()[0], right()[1] + 1))
    with pytest.raises(
        ConfigError, match="token_count returned another one; expected the count that token_loss returns"
    ):
        train(install, tmp_path, cls=wrong)
