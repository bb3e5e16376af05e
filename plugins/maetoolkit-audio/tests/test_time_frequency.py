from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_audio import Audio, TimeFrequency

from maetoolkit.masking.compose import Each
from maetoolkit.masking.plan import Layout
from maetoolkit.masking.share import Share
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw
from maetoolkit.testing import SAMPLER_LAWS, Law, SamplerCase
from maetoolkit.tokens import Field

SOUND = Audio(sample_rate=800, seconds=0.64, num_mels=16, window=64, hop=32, patch=4)  # 4 x 4 tokens
SET = ModalitySet(left=SOUND, right=SOUND.replace(num_mels=8))
MASKINGS = {
    "two axes": TimeFrequency(),
    "in place": TimeFrequency(time=0.7, frequency=0, in_place=True, score="all"),
}


@pytest.mark.parametrize("masking", MASKINGS.values(), ids=list(MASKINGS))
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("law", SAMPLER_LAWS, ids=str)
def test_time_frequency_keeps(law: Law[SamplerCase], single: bool, masking: TimeFrequency) -> None:
    assert law(SamplerCase(masking, SET, single=single)).held is not False


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.floats(0, 0.99), st.floats(0, 0.99))
def test_what_is_visible_is_whole_rows_and_columns_of_what_is_there(
    rows: int, columns: int, given: int, time: float, frequency: float
) -> None:
    there = np.tile(np.arange(columns) < given, (rows, 1)).reshape(1, -1)
    layout = Layout({"audio": there}, {"audio": (rows, columns)}, ("audio",), {"audio": "audio"})
    sampler = TimeFrequency(time=time, frequency=frequency).build()
    plan = sampler(layout, Draw.of(0, ["a"]))
    seen = plan.visible["audio"][0].numpy().reshape(rows, columns)
    shown_rows, shown_columns = seen.any(1), seen.any(0)
    assert (seen == np.outer(shown_rows, shown_columns)).all()
    num = min(given, columns)
    if num:
        assert shown_columns.sum() == max(1, int(num * (1 - time) + 1e-9))
        assert shown_rows.sum() == max(1, int(rows * (1 - frequency) + 1e-9))
    assert not shown_columns[given:].any()


class Words(Audio):
    """Tokens without a grid."""

    def layout(self, field: Field | None) -> tuple[None, int]:
        return None, 4


def test_inputs_without_a_grid_of_two_axes_need_a_sampler_of_their_own() -> None:
    mixed = ModalitySet(audio=SOUND, words=Words(seconds=1))
    with pytest.raises(ValueError, match="time_frequency: the tokens of 'words' lie on no grid of two axes; give"):
        TimeFrequency().check(mixed)
    masking = Each(samplers={"audio": TimeFrequency(), "words": Share()})
    masking.check(mixed)
    layout = Layout.of(mixed, {"audio": SOUND.collate([None])})
    plan = masking.build()(layout, Draw.of(0, ["a"]))
    assert plan.visible["audio"].shape == (1, 16)
