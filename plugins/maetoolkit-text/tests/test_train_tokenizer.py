from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from maetoolkit_text import Text
from maetoolkit_text.train import lines_of

from maetoolkit.cli import main
from maetoolkit.errors import DataError

CAPTIONS = [
    "A black dog runs .",
    "Two dogs running on snow",
    "the cat's sitting, on green grass!",
    "Ein Bär läuft .",
] * 3


@pytest.fixture
def corpus(tmp_path) -> Path:
    folder = tmp_path / "caption"
    (folder / "all").mkdir(parents=True)
    for number, caption in enumerate(CAPTIONS):
        (folder / "all" / f"{number}.txt").write_text(f"{caption}\n\n", encoding="utf-8")
    return folder


def run(*words: object):
    return CliRunner().invoke(main, ["text", "train-tokenizer", *map(str, words)])


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_a_tokenizer_is_trained_and_reads_its_captions(kind: str, corpus: Path, tmp_path) -> None:
    out = tmp_path / "new" / "tokenizer.json"
    found = run("--out", out, "--vocab-size", 300, "--kind", kind, corpus)
    assert found.exit_code == 0, found.output
    text = Text(tokenizer=str(out))
    assert f"{out}: {text.vocab_size} tokens from 12 files" in found.output
    assert "the longest" in found.output
    assert text.vocab_size <= 300
    for caption in CAPTIONS:
        ids = text.ids(caption)
        assert "[UNK]" not in text.words(ids)
        assert text.load().decode(ids.tolist()).replace(" ", "").lower() == plain(caption, kind)


def plain(caption: str, kind: str) -> str:
    caption = caption.replace(" ", "").lower()
    return caption.replace("ä", "a") if kind == "wordpiece" else caption


def test_a_wordpiece_vocabulary_can_be_a_plain_list(corpus: Path, tmp_path) -> None:
    lists, full = tmp_path / "vocab.txt", tmp_path / "t.json"
    assert run("--out", lists, "--vocab-size", 200, corpus).exit_code == 0
    assert run("--out", full, "--vocab-size", 200, corpus).exit_code == 0
    assert lists.read_text().splitlines()[:2] == ["[PAD]", "[UNK]"]
    for caption in [*CAPTIONS, "a new wörd, [UNK] ##ing"]:
        assert Text(tokenizer=str(lists)).ids(caption).tolist() == Text(tokenizer=str(full)).ids(caption).tolist()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_files_give_the_same_bytes_in_every_process(kind: str, corpus: Path, tmp_path) -> None:
    files = [tmp_path / f"{number}.json" for number in range(2)]
    script = (
        "import sys; from pathlib import Path; from maetoolkit_text.train import find_texts, train, write\n"
        "write(train(find_texts([Path(sys.argv[1])]), 300, sys.argv[2]), Path(sys.argv[3]))"
    )
    for file in files:
        subprocess.run([sys.executable, "-c", script, corpus, kind, file], check=True, capture_output=True)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_punctuation_and_letters_that_cannot_continue_a_word_waste_no_piece(corpus: Path, tmp_path) -> None:
    out = tmp_path / "vocab.txt"
    run("--out", out, "--vocab-size", 200, corpus)
    pieces = out.read_text().splitlines()
    assert {"##g", ".", "'"} <= set(pieces)
    assert not {"##.", "##'", "##,"} & set(pieces)
    assert len(pieces) == len(set(pieces))


def test_upper_case_is_kept_where_asked(corpus: Path, tmp_path) -> None:
    out = tmp_path / "t.json"
    assert run("--out", out, "--cased", corpus).exit_code == 0
    text = Text(tokenizer=str(out))
    assert text.ids("Two").tolist() != text.ids("two").tolist()
    assert "Two" in text.words(text.ids("Two dogs"))


def test_a_tokenizer_is_not_replaced_without_saying_so(corpus: Path, tmp_path) -> None:
    out = tmp_path / "t.json"
    assert run("--out", out, corpus).exit_code == 0
    before = out.read_bytes()
    (corpus / "more.txt").write_text("entirely different words\n")
    assert run("--out", out, corpus).exit_code != 0
    assert out.read_bytes() == before
    assert run("--out", out, "--force", corpus).exit_code == 0
    assert out.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["t.json"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "t.json", "nowhere"], 1, "nowhere: does not exist; give text files, or folders"),
        (["--out", "t.json", "empty"], 1, "empty: expected .txt files below this folder, found none"),
        (["--out", "t.json", "blank.txt"], 1, "there is no text in these files"),
        (["--out", "t.json", "--kind", "bpe", "blank.txt"], 1, "there is no text in these files"),
        (["--out", "t.json", "latin.txt"], 1, "latin.txt: expected UTF-8 text, found byte 0xe9 on line 2"),
        (
            ["--out", "t.json", "--kind", "bpe", "latin.txt"],
            1,
            "latin.txt: expected UTF-8 text, found byte 0xe9 on line 2",
        ),
        (["--out", "t.json", "photo.png"], 1, "photo.png: is not a text file; expected UTF-8 text"),
        (["--out", "t.json", "wide.txt"], 1, "convert the file to UTF-8"),
        (["--out", "t.json", "--vocab-size", "4", "good.txt"], 2, "--vocab-size: 4 cannot hold the"),
        (["--out", "t.json", "--vocab-size", "200", "--kind", "bpe", "good.txt"], 2, "cannot hold the 256 letters"),
        (["--out", "t.model", "good.txt"], 2, "expected a name that ends in .json or .txt, found 't.model'"),
        (["--out", "vocab.txt", "--kind", "bpe", "good.txt"], 2, "end the name in .json"),
        (["--out", "good.txt/t.json", "good.txt"], 2, "good.txt/t.json cannot be written"),
    ],
)
def test_what_cannot_work_is_one_message(arguments, code: int, message: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("blank.txt").write_text(" \n\n")
    Path("good.txt").write_text("a good dog\n")
    Path("photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    Path("wide.txt").write_text("a good dog\n", encoding="utf-16")
    Path("latin.txt").write_bytes("a dog\nl'été\n".encode("latin-1"))
    found = run(*arguments)
    assert found.exit_code == code
    assert message in found.output
    assert "Traceback" not in found.output
    assert not Path("t.json").exists()


def test_lines_keep_unusual_breaks_and_lose_byte_order_marks(tmp_path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffa dog\u2028runs\r\n \nb".encode())
    assert list(lines_of([file])) == ["a dog\u2028runs", "b"]
    with pytest.raises(DataError, match="cannot be read"):
        list(lines_of([tmp_path]))
