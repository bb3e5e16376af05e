from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_audio import Audio, TimeFrequency

from maetoolkit.masking.plan import Layout
from maetoolkit.modalities.image import RGB
from maetoolkit.modality import ModalitySet
from maetoolkit.randomness import Draw
from maetoolkit.testing import SAMPLER_LAWS, Law, SamplerCase

SOUND = Audio(sample_rate=800, seconds=0.64, num_mels=16, window=64, hop=32, patch=4)  # 4 x 4 tokens
SET = ModalitySet(audio=SOUND, rgb=RGB(size=8, patch=4, channels=1))
MASKINGS = {
    "all": TimeFrequency(),
    "one": TimeFrequency(time=0.7, frequency=0, entries=("audio",), ratio=0.5),
    "in place": TimeFrequency(entries=("audio",), in_place=True, score="all"),
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


def test_entries_must_lie_on_a_grid_of_two_axes() -> None:
    with pytest.raises(ValueError, match=r"entries\.audoi: no such input; did you mean 'audio'"):
        TimeFrequency(entries=("audoi",)).check(SET)
    TimeFrequency().check(SET)


def test_others_are_hidden_token_by_token() -> None:
    layout = Layout.of(SET, {name: SET[name].collate([None, None]) for name in SET})
    full = {name: np.ones_like(flags) for name, flags in layout.present.items()}
    layout = Layout(full, layout.grids, layout.inputs, layout.sources)
    plan = TimeFrequency(entries=("audio",), ratio=0.5).build()(layout, Draw.of(0, ["a", "b"]))
    assert plan.visible["rgb"].sum(1).tolist() == [2, 2]
    assert plan.visible["audio"].sum(1).tolist() == [4, 4]
