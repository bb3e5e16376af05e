from __future__ import annotations

import numpy as np
import torch
from maetoolkit_text import Text
from maetoolkit_text.picture import BOX, CELL, COLUMNS, PAPER, STEPS, WRONG, scale, tint
from vocabularies import write_vocabulary

from maetoolkit.modality import Marks


def part(picture: np.ndarray, number: int) -> np.ndarray:
    """The cell of one word."""
    top, left = number // COLUMNS * CELL[1], number % COLUMNS * CELL[0]
    return picture[top : top + CELL[1], left : left + CELL[0]]


def cell(picture: np.ndarray, number: int) -> set[tuple[int, ...]]:
    """The colours in the cell of one word."""
    return {tuple(int(c) for c in colour) for colour in np.unique(part(picture, number).reshape(-1, 3), axis=0)}


def drawn(tmp_path, hidden=(), predicted=(), confidence=None, truth=None) -> np.ndarray:
    text = Text(tokenizer=write_vocabulary(tmp_path), max_length=8)
    patches = text.patchify(text.prepare(text.tokenize(["a red dog runs on snow"])))
    flags = [torch.tensor([place in places for place in range(8)]) for places in (hidden, predicted)]
    marks = Marks(patches.present[0], *flags, confidence)
    return text.draw(patches.values[0], patches.grid, marks, truth)


def test_hidden_words_are_boxes_that_show_nothing_of_them(tmp_path) -> None:
    picture = drawn(tmp_path, hidden=(1, 3))
    assert picture.dtype == np.uint8
    assert [BOX in cell(picture, number) for number in range(6)] == [False, True, False, True, False, False]
    assert np.array_equal(part(picture, 1), part(picture, 3))
    assert not np.array_equal(part(picture, 0), part(picture, 2))


def test_places_without_a_word_stay_empty(tmp_path) -> None:
    text = Text(tokenizer=write_vocabulary(tmp_path), max_length=8)
    none, present = torch.zeros(8, dtype=torch.bool), torch.arange(8) < 3
    picture = text.draw(torch.full((8, 1), 3), (8,), Marks(present, none, none))
    assert [cell(picture, number) == {PAPER} for number in range(6)] == [False] * 3 + [True] * 3


def test_predicted_words_stand_on_a_tint_of_their_probability_and_wrong_ones_are_red(tmp_path) -> None:
    sure, truth = torch.zeros(8), torch.tensor([2, 10, 3, 5, 7, 9, -1, -1])[:, None]
    sure[0], sure[1], sure[2] = 0.25, 0.9, 0.5
    picture = drawn(tmp_path, predicted=(0, 1, 2), confidence=sure, truth=truth)
    assert [tint(p) in cell(picture, n) for n, p in enumerate((0.25, 0.9, 0.5))] == [True] * 3
    found = [WRONG in cell(picture, number) for number in range(6)]
    assert found == [False] * 6  # the truth is what is shown
    truth[2] = 4
    assert WRONG in cell(drawn(tmp_path, predicted=(0, 1, 2), confidence=sure, truth=truth), 2)


def test_pictures_of_one_caption_have_one_size_whatever_is_predicted(tmp_path) -> None:
    text = Text(tokenizer=write_vocabulary(tmp_path), max_length=8)
    none, present = torch.zeros(8, dtype=torch.bool), torch.arange(8) < 5
    marks = Marks(present, none, present, torch.ones(8))
    sizes = {text.draw(torch.full((8, 1), number), (8,), marks).shape for number in range(text.vocab_size)}
    assert len(sizes) == 1


def test_words_that_are_too_long_for_their_cell_stay_in_it(tmp_path) -> None:
    pieces = ("[UNK]", "x" * 60, "b")
    text = Text(tokenizer=write_vocabulary(tmp_path, pieces=pieces), max_length=2)
    none = torch.zeros(2, dtype=torch.bool)
    picture = text.draw(torch.tensor([[1], [2]]), (2,), Marks(~none, none, none))
    blank = text.draw(torch.tensor([[1], [2]]), (2,), Marks(torch.tensor([True, False]), none, none))
    assert len(cell(picture, 0)) > 1
    assert cell(blank, 1) == {PAPER}


def test_ids_without_a_tokenizer_are_drawn_as_numbers_and_the_scale_runs_from_0_to_100() -> None:
    assert Text(vocab_size=9).words([1, 8]) == ["#1", "#8"]
    names, colours = zip(*scale(), strict=True)
    assert (names[0], names[-1], len(names)) == ("predicted: 0 %", "100 %", STEPS)
    assert colours[0] == tint(0)
    assert colours[-1] == tint(1)
