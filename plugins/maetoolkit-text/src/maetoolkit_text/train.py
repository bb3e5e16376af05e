"""Training a tokenizer from text files, to the same bytes every time. Files are read line by line, twice."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maetoolkit.errors import ConfigError, DataError
from maetoolkit_text.vocabulary import UNKNOWN, wordpiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING = "[PAD]"
MAX_LETTERS = 1000
Kind = Literal["wordpiece", "bpe"]
Watch = Callable[[Iterator[str]], Iterator[str]]


def find_texts(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the .txt files below the folders among them, in order.

    Raises DataError where one does not exist, or a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*.txt") if file.is_file())
            if not below:
                raise DataError(f"{path}: expected .txt files below this folder, found none")
            found += below
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"{path}: does not exist; give text files, or folders of .txt files")
    return found


def lines_of(files: Iterable[Path]) -> Iterator[str]:
    """The lines that are not blank. Raises DataError, with file and line, for what cannot be read or is not UTF-8."""
    for file in files:
        number = 0
        try:
            with file.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    if text:
                        yield text
        except UnicodeDecodeError as error:
            if _is_binary(file):
                raise DataError(f"{file}: is not a text file; expected UTF-8 text") from None
            byte = error.object[error.start]
            raise DataError(
                f"{file}: expected UTF-8 text, found byte 0x{byte:02x} on line {number}; convert the file to UTF-8"
            ) from None
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _is_binary(file: Path) -> bool:
    """Whether a file has zero bytes near its beginning, as pictures and archives do; so has UTF-16, which is text."""
    with file.open("rb") as stream:
        head = stream.read(8192)
    return b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))


def train(
    files: Sequence[Path],
    vocab_size: int,
    kind: Kind = "wordpiece",
    lowercase: bool = True,
    watch: Watch = iter,
    progress: bool = False,
) -> Tokenizer:
    """A tokenizer of at most `vocab_size` tokens, made from the words of text files.

    wordpiece: BERT's splitting into words, pieces with `##` inside of words, `[PAD]` and `[UNK]` first.
    bpe: bytes as GPT-2 splits them, so that no text is unknown; the smallest vocabulary has 256.
    `watch` may follow the lines as they are read, and `progress` shows how far the trainer is.
    Equal files in equal order give equal tokenizers.
    Raises DataError where there is no text, ConfigError where `vocab_size` cannot hold the single letters.
    """
    make = _bytes if kind == "bpe" else _pieces
    return make(lambda: watch(lines_of(files)), vocab_size, lowercase, progress)


def _pieces(lines: Callable[[], Iterator[str]], vocab_size: int, lowercase: bool, progress: bool) -> Tokenizer:
    """Single letters get their ids first: left to itself, the trainer numbers them as its hash table has them."""
    from tokenizers import trainers

    tokenizer = wordpiece({UNKNOWN: 0}, lowercase)
    letters = Counter[str]()
    for line in lines():
        letters.update(tokenizer.normalizer.normalize_str(line))
    found = sorted((letter for letter in letters if not letter.isspace()), key=lambda one: (-letters[one], one))
    kept = sorted(found[:MAX_LETTERS])
    inside = [f"##{letter}" for letter in kept if _within_words(tokenizer, letter)]
    first = [PADDING, UNKNOWN, *kept, *inside]
    _check(first, letters, vocab_size)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=first, limit_alphabet=0, initial_alphabet=[], show_progress=progress
    )
    tokenizer.train_from_iterator(lines(), trainer)
    return wordpiece(tokenizer.get_vocab(), lowercase)  # anew, as letters must not stay special tokens


def _within_words(tokenizer: Tokenizer, letter: str) -> bool:
    """Whether a letter can stand inside a word; punctuation and Chinese characters are words by themselves."""
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(f"a{letter}"))) == 1


def _bytes(lines: Callable[[], Iterator[str]], vocab_size: int, lowercase: bool, progress: bool) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    letters = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]) if lowercase else normalizers.NFC()
    tokenizer.normalizer = letters
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _check(alphabet, next(lines(), ""), vocab_size)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, special_tokens=[], show_progress=progress
    )
    tokenizer.train_from_iterator(lines(), trainer)
    return tokenizer


def _check(first: Sequence[str], found: object, vocab_size: int) -> None:
    if not found:
        raise DataError("there is no text in these files; expected at least one line that is not blank")
    if len(first) > vocab_size:
        raise ConfigError(f"--vocab-size: {vocab_size} cannot hold the {len(first)} letters of this text; give more")


def write(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json, or a vocab.txt where the name ends in .txt; whole or not at all.

    Raises ConfigError where the kind cannot be written so, or the file cannot be.
    """
    from tokenizers import models

    if path.suffix == ".txt":
        if not isinstance(tokenizer.model, models.WordPiece):
            raise ConfigError(f"--out: {path} would be a WordPiece vocabulary; end the name in .json for --kind bpe")
        vocabulary = tokenizer.get_vocab()
        text = "".join(f"{piece}\n" for piece in sorted(vocabulary, key=vocabulary.__getitem__))
    else:
        text = tokenizer.to_str(pretty=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"--out: {path} cannot be written ({error.strerror})") from error
