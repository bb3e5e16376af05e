"""`encode`: features of everything that is present, never masked."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from small_models import FIELDS, all_present, fields, model, rows

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(FIELDS, size)]


@pytest.mark.parametrize("subset", SUBSETS, ids=",".join)
def test_any_subset_of_the_inputs_is_encoded_whole(subset: tuple[str, ...]) -> None:
    built = model().eval()
    given = {name: field for name, field in all_present(2).items() if name in subset}
    encoded = built.encode(given)
    assert encoded.summary.shape == (2, 1, 16)
    assert encoded.latent.segments.lengths == (1 + 6 * len(subset),) * 2
    for name in subset:
        assert encoded.tokens(name).shape == (2, 6, 16)
        assert encoded.grids[name] == (2, 3)


def test_a_sample_is_encoded_alike_in_any_company_and_twice_the_same() -> None:
    built = model().eval()
    given = fields({"rgb": [True, False, True], "depth": [True, True, False], "semantic": [False, True, True]})
    together = built.encode(given)
    again = built.encode(given)
    assert torch.equal(together.latent.x, again.latent.x)
    parts = together.latent.x.split(together.latent.segments.lengths)
    for sample, part in enumerate(parts):
        alone = built.encode(rows(given, [sample]))
        torch.testing.assert_close(part, alone.latent.x, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.mean()[sample], part.mean(0))


def test_encoding_draws_no_mask_and_moves_no_counter() -> None:
    built = model()
    before = int(built.calls)
    built.encode(all_present(2))
    assert int(built.calls) == before
    assert built.encode(all_present(2)).latent.x.requires_grad


def test_all_layers_can_be_had_and_the_last_is_the_latent() -> None:
    built = model(depth=3).eval()
    encoded = built.encode(all_present(2), layers=[0, 1, 2, -1])
    assert len(encoded.layers) == 4
    assert torch.equal(encoded.layers[2].x, encoded.latent.x)
    assert torch.equal(encoded.layers[3].x, encoded.latent.x)
    assert not torch.equal(encoded.layers[0].x, encoded.layers[1].x)
    assert encoded.tokens("depth", layer=1).shape == (2, 6, 16)


def test_tokens_of_an_input_that_some_samples_lack_cannot_be_stacked() -> None:
    encoded = model().encode(fields({"rgb": [True, False], "depth": [True, True], "semantic": [True, True]}))
    with pytest.raises(ValueError, match="'rgb' is absent"):
        encoded.tokens("rgb")


def test_a_sample_with_nothing_present_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="sample 1 has nothing present"):
        model().encode(fields({"rgb": [True, False], "depth": [True, False], "semantic": [False, False]}))


def test_drop_path_is_off_in_encoding_a_model_in_evaluation() -> None:
    built = model(drop_path=0.9).eval()
    assert torch.equal(built.encode(all_present(2)).latent.x, built.encode(all_present(2)).latent.x)
