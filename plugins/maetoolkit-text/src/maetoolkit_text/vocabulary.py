"""Tokenizer files: what is known of one without loading it, and the loaded tokenizer, once per process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"
TRAIN = "train one with `maetool text train-tokenizer --out {path} FILES`"


@dataclass(frozen=True)
class Facts:
    """fingerprint: SHA-256 of the file, in hex; vocab_size: one more than its largest token id."""

    fingerprint: str
    vocab_size: int


def inspect(path: str) -> Facts | None:
    """What a recipe records of a tokenizer file, read at most once per version of the file; None where it is missing.

    Raises ValueError where the file is no tokenizer.
    """
    file = Path(path).expanduser()
    try:
        status = file.stat()
        return _facts(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"tokenizer: {path} cannot be read ({error.strerror}); let this user read it") from error


@lru_cache(maxsize=32)
def _facts(path: str, changed: int, size: int) -> Facts:
    data = Path(path).expanduser().read_bytes()
    vocabulary = _ids_of_json(path, data) if path.endswith(".json") else _ids_of_lines(path, data)
    return Facts(hashlib.sha256(data).hexdigest(), 1 + max(vocabulary.values()))


@lru_cache(maxsize=8)
def load(path: str, fingerprint: str | None, lowercase: bool | None) -> Tokenizer:
    """The tokenizer in a file: a `tokenizer.json`, or a WordPiece `vocab.txt` with BERT's rules for splitting words.

    lowercase: None does as the file says, and takes a `vocab.txt` to be uncased.
    Raises ValueError where the file is missing, is no tokenizer, or is not the one `fingerprint` stands for.
    """
    from tokenizers import Tokenizer

    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(missing(path, error.strerror or str(error), fingerprint)) from error
    check_fingerprint(path, fingerprint, hashlib.sha256(data).hexdigest())
    if not path.endswith(".json"):
        return wordpiece(_ids_of_lines(path, data), lowercase is not False)
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"tokenizer: {path} cannot be loaded: {error}; save it again with tokenizers") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if lowercase:
        from tokenizers import normalizers

        own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def wordpiece(ids: dict[str, int], lowercase: bool) -> Tokenizer:
    """A WordPiece tokenizer of these pieces, splitting as BERT does (Devlin et al. 2019)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def encode(tokenizer: Tokenizer, caption: str) -> list[int]:
    """Token ids of a caption, no special ones added. Raises ValueError where the tokenizer cannot do it."""
    try:
        ids: list[int] = tokenizer.encode(caption, add_special_tokens=False).ids
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"the tokenizer cannot take {caption[:60]!r}: {error}; give it an unknown token") from error
    return ids


def words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """How each token reads by itself; its number where it has no letters."""
    return [tokenizer.decode([int(number)], skip_special_tokens=False).strip() or f"#{number}" for number in ids]


def check_fingerprint(path: str, expected: str | None, found: str) -> None:
    """Raise ValueError where a tokenizer file is not the one that was recorded."""
    if expected not in (None, found):
        raise ValueError(
            f"tokenizer: {path} is not the file that this model was described with: expected sha256 "
            f"{str(expected)[:12]}..., found {found[:12]}...; its ids would mean other words. Give the original file; "
            "for a model that is trained anew, remove `fingerprint` and `vocab_size`"
        )


def missing(path: str, reason: str = "No such file or directory", fingerprint: str | None = None) -> str:
    """What to say of a tokenizer file that is not there; another one will not do where `fingerprint` is known."""
    if fingerprint is not None:
        remedy = f"restore that file (sha256 {fingerprint[:12]}...) or give its path; one trained anew has other ids"
    else:
        remedy = f"give its path, or {TRAIN.format(path=path)}"
    return f"tokenizer: {path} cannot be read ({reason}); {remedy}"


def _ids_of_lines(path: str, data: bytes) -> dict[str, int]:
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"tokenizer: {path} is not UTF-8 (byte {error.start}); {_expected()}") from None
    pieces = [line.rstrip("\r") for line in lines]
    while pieces and not pieces[-1]:
        pieces.pop()
    ids = {piece: number for number, piece in enumerate(pieces)}
    if len(ids) < len(pieces):
        twice = next(piece for number, piece in enumerate(pieces) if ids[piece] != number)
        raise ValueError(f"tokenizer: {path} has {twice!r} twice, on line {ids[twice] + 1} again; {_expected()}")
    if UNKNOWN not in ids:
        raise ValueError(f"tokenizer: {path} has no {UNKNOWN} among its {len(pieces)} lines; {_expected()}")
    return ids


def _ids_of_json(path: str, data: bytes) -> dict[str, int]:
    try:
        document: Any = json.loads(data)
        model, added = document["model"], document.get("added_tokens") or []
        known = model["vocab"]
        ids = dict(known) if isinstance(known, dict) else {piece: at for at, (piece, _) in enumerate(known)}
        ids.update({token["content"]: token["id"] for token in added})
        if not ids or not all(isinstance(number, int) for number in ids.values()):
            raise TypeError("no token has an id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = type(error).__name__ + (f": {error}" if str(error) else "")
        raise ValueError(f"tokenizer: {path} is no tokenizer.json ({found}); {_expected()}") from None
    return ids


def _expected() -> str:
    return (
        f"expected a tokenizer.json as tokenizers saves it, or a WordPiece vocab.txt (a piece per line, {UNKNOWN} too)"
    )
