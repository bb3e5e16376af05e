"""`maetool text`: what people do with text before they train a model on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from maetoolkit.errors import ConfigError

LENGTHS_OF = 10_000  # lines whose tokens are counted


@click.group()
def text() -> None:
    """Tokenizers for captions (maetoolkit-text)."""


@text.command("train-tokenizer")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="File to write: .json, or .txt for WordPiece."
)
@click.option("--vocab-size", type=click.IntRange(min=3), default=8000, show_default=True, help="Its tokens, at most.")
@click.option("--kind", type=click.Choice(["wordpiece", "bpe"]), default="wordpiece", show_default=True)
@click.option("--lowercase/--cased", default=True, show_default=True, help="Whether A and a are one letter.")
@click.option("--force", is_flag=True, help="Replace a file; models trained with it refuse the new one.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def train_tokenizer(
    out: Path, vocab_size: int, kind: str, lowercase: bool, force: bool, files: tuple[Path, ...]
) -> None:
    """Train a tokenizer on FILES: text files, or folders of .txt files, one caption per line.

    The same files in the same order give the same bytes.
    """
    from maetoolkit_text.train import find_texts, train, write

    if out.exists() and not force:
        raise ConfigError(f"--out: {out} exists, and models may depend on it; choose another name, or add --force")
    if out.suffix not in (".json", ".txt"):
        raise ConfigError(f"--out: expected a name that ends in .json or .txt, found {out.name!r}")
    if out.suffix == ".txt" and (kind != "wordpiece" or not lowercase):
        raise ConfigError(f"--out: {out} would be an uncased WordPiece vocabulary; end the name in .json for others")
    texts = find_texts(files)
    tokenizer = train(
        texts, vocab_size, "bpe" if kind == "bpe" else "wordpiece", lowercase, _progress, sys.stderr.isatty()
    )
    write(tokenizer, out)
    size = tokenizer.get_vocab_size()
    click.echo(f"{out}: {size} tokens from {len(texts)} file{'s' if len(texts) > 1 else ''}")
    if size < vocab_size:
        click.echo(f"the text has no more than these; {vocab_size} were allowed")
    click.echo(_lengths(tokenizer, texts))


def _progress(lines: Iterator[str]) -> Iterator[str]:
    """The lines, counted on a terminal while they are read."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("reading"), MofNCompleteColumn(), TextColumn("lines"), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        for line in lines:
            bar.advance(task)
            yield line


def _lengths(tokenizer: object, files: list[Path]) -> str:
    """How long captions become, which says what `max_length` should be."""
    from itertools import islice

    from maetoolkit_text.train import lines_of

    encode = tokenizer.encode  # type: ignore[attr-defined]
    lengths = sorted(len(encode(line, add_special_tokens=False).ids) for line in islice(lines_of(files), LENGTHS_OF))
    middle, most = lengths[len(lengths) // 2], lengths[int(len(lengths) * 0.99)]
    return f"tokens per line: half have at most {middle}, 99 % at most {most}, the longest {lengths[-1]} (`max_length`)"
