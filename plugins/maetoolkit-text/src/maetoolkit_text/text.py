"""Text: captions cut into tokens, embedded by a table, predicted as words (M3AE, Geng et al. 2022, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from maetoolkit.modality import Geometry, Marks, Modality, Side
from maetoolkit_text import vocabulary
from maetoolkit_text.captions import read_captions

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from maetoolkit.tokens import Field, Patches


class Text(Modality):
    """Token ids (B, N) up to `max_length`, `present` (B, N) telling words from padding; a token is a patch.

    tokenizer: path of a `tokenizer.json` or of a WordPiece `vocab.txt`; null for ids made elsewhere.
    fingerprint: SHA-256 of that file, filled in from it; a file with another one is refused.
    vocab_size: number of token ids; 0 is filled in from the file, and a number makes do without it until text is read.
    lowercase: null does as the file says, and takes a `vocab.txt` to be uncased.
    too_long: a caption of more than `max_length` tokens is cut off there, or an error.
    embedding_std: of the initial token embeddings, normal (1.0 in M3AE).
    head: `mlp` has a hidden layer of the decoder's width in front.
    No special tokens are added. Files hold one caption per line; of several, one is drawn, keyed by the sample (the
    first in evaluation). An empty caption has no token, so that the entry is absent for its sample.
    """

    type: Literal["text"] = "text"
    tokenizer: str | None = None
    fingerprint: Annotated[str, Setting(pattern="^[0-9a-f]{64}$")] | None = None
    vocab_size: NonNegativeInt = 0
    max_length: PositiveInt = 64
    lowercase: bool | None = None
    too_long: Literal["truncate", "error"] = "truncate"
    embedding_std: PositiveFloat = 1.0
    position: Literal["sincos", "learned"] = "sincos"
    head: Literal["linear", "mlp"] = "linear"

    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    @model_validator(mode="before")
    @classmethod
    def _recorded(cls, settings: Any) -> Any:
        """Fill in what the tokenizer's file says, or hold it against what was recorded."""
        path = settings.get("tokenizer") if isinstance(settings, dict) else None
        facts = vocabulary.inspect(path) if isinstance(path, str) else None
        if facts is None:
            return settings
        vocabulary.check_fingerprint(str(path), settings.get("fingerprint"), facts.fingerprint)
        size = settings.get("vocab_size") or facts.vocab_size
        if isinstance(size, int) and size < facts.vocab_size:
            raise ValueError(
                f"vocab_size: expected at least the {facts.vocab_size} token ids of {path}, found {size}; leave it out"
            )
        return {**settings, "fingerprint": facts.fingerprint, "vocab_size": size}

    @model_validator(mode="after")
    def _sized(self) -> Text:
        if not self.vocab_size and self.tokenizer is None:
            raise ValueError("tokenizer: missing; give the path of a tokenizer.json or vocab.txt, or set `vocab_size`")
        if not self.vocab_size:
            raise ValueError(vocabulary.missing(str(self.tokenizer)))
        return self

    # data side ---------------------------------------------------------------------------------

    def read(self, data: bytes) -> np.ndarray:
        """The captions of a file, as an array of strings: one per line, blank lines left out.

        Raises ValueError for a file of no bytes, and for what is not UTF-8.
        """
        import numpy as np

        return np.array(read_captions(data))

    def transform(self, value: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Token ids (N,) of one of the captions: drawn by the sample's key, or the first in evaluation."""
        draw = geometry.random("caption") if len(value) > 1 else None
        return self.ids(str(value[0 if draw is None else int(draw.integers(len(value)))]))

    def ids(self, caption: str) -> np.ndarray:
        """Token ids (N,) int64 of a caption. Raises ValueError where it is too long and that is an error."""
        import numpy as np

        ids = vocabulary.encode(self.load(), caption)
        if len(ids) > self.max_length and self.too_long == "error":
            raise ValueError(
                f"expected at most {self.max_length} tokens, found {len(ids)} in {caption[:60]!r}; raise `max_length`, "
                "or set too_long=truncate"
            )
        return np.array(ids[: self.max_length], np.int64)

    def load(self) -> Tokenizer:
        """The tokenizer, read once per process. Raises ValueError where it is missing or not the one recorded."""
        if self.tokenizer is None:
            raise ValueError("no tokenizer: set `tokenizer` to a tokenizer.json or vocab.txt, or give token ids")
        return vocabulary.load(self.tokenizer, self.fingerprint, self.lowercase)

    def words(self, ids: Sequence[int]) -> list[str]:
        """How each token reads by itself; its number where there is no tokenizer."""
        if self.tokenizer is None:
            return [f"#{number}" for number in ids]
        return vocabulary.words(self.load(), ids)

    def tokenize(self, captions: Sequence[str | None]) -> Field:
        """Captions as a model takes them; None is an absent entry."""
        return self.collate([None if caption is None else self.ids(caption) for caption in captions])

    def collate(self, values: Sequence[np.ndarray | None]) -> Field:
        """Ids (B, max_length), zero where `present` is not."""
        import torch

        from maetoolkit.tokens import Field

        ids = torch.zeros(len(values), self.max_length, dtype=torch.int64)
        present = torch.zeros(len(values), self.max_length, dtype=torch.bool)
        for row, value in enumerate(values):
            if value is None:
                continue
            if value.ndim != 1 or value.dtype.kind not in "iu" or len(value) > self.max_length:
                found = f"{value.dtype} of shape {value.shape}"
                raise ValueError(f"expected at most {self.max_length} token ids in one row, found {found}")
            ids[row, : len(value)] = torch.from_numpy(value.astype("int64"))
            present[row, : len(value)] = True
        return Field(ids, present)

    # model side --------------------------------------------------------------------------------

    @property
    def num_tokens(self) -> int:  # noqa: D102
        return self.max_length

    @property
    def content(self) -> tuple[int, ...]:  # noqa: D102
        return (1,)

    def layout(self, field: Field | None) -> tuple[tuple[int, ...] | None, int]:  # noqa: D102
        length = self.max_length if field is None else field.values.shape[-1]
        if field is not None and (field.values.ndim != 2 or length > self.max_length):
            raise ValueError(
                f"expected token ids (batch, up to {self.max_length}), found shape {tuple(field.values.shape)}; "
                "`Text.tokenize` makes them from strings"
            )
        return (length,), length

    def check(self, field: Field) -> None:  # noqa: D102
        super().check(field)
        if field.values.is_floating_point():
            raise ValueError(f"expected integer token ids, found {field.values.dtype}; convert with .long()")
        wrong = ((field.values < 0) | (field.values >= self.vocab_size)) & words_of(field)
        if bool(wrong.any()):
            found = int(field.values[wrong][0])
            raise ValueError(f"expected token ids 0 to {self.vocab_size - 1}, found {found}; use this tokenizer")

    def prepare(self, field: Field) -> Field:  # noqa: D102
        from maetoolkit.tokens import Field

        present = words_of(field)
        return Field(field.values.long().where(present, 0), present, field.valid)

    def patchify(self, field: Field) -> Patches:  # noqa: D102
        import torch

        from maetoolkit.tokens import Patches

        grid, length = self.layout(field)
        places = torch.arange(length, device=field.values.device)[:, None].expand(len(field), -1, -1)
        valid = None if field.valid is None else field.valid[..., None]
        return Patches(field.values[..., None], places, words_of(field), grid=grid, valid=valid)

    def unpatchify(self, values: Tensor, grid: tuple[int, ...] | None) -> Tensor:  # noqa: D102
        return values[..., 0]

    def build_tokenizer(self, dim: int) -> nn.Module:  # noqa: D102
        from maetoolkit_text.layers import WordEmbedding

        return WordEmbedding(self.vocab_size, dim, self.embedding_std)

    def build_position(self, dim: int, side: Side) -> nn.Module:  # noqa: D102
        from maetoolkit_text.layers import SequencePosition

        return SequencePosition(dim, self.max_length, learned=self.position == "learned")

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:  # noqa: D102
        from maetoolkit_text.layers import WordHead

        return WordHead(dim, self.vocab_size, hidden=self.head == "mlp")

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the true token, and 1 per token that counts."""
        from torch.nn import functional as F

        ignored = -100
        labels = (target if valid is None else target.where(valid, ignored))[:, 0]
        entropy = F.cross_entropy(prediction.float(), labels, reduction="none", ignore_index=ignored)
        return entropy, self.token_count(target, valid)

    def ideal(self, target: Tensor) -> Tensor:  # noqa: D102
        from torch.nn import functional as F

        return F.one_hot(target[:, 0], self.vocab_size).float() * 1e4

    # for people --------------------------------------------------------------------------------

    def to_values(self, prediction: Tensor, values: Tensor) -> Tensor:
        """The likeliest token."""
        return prediction.argmax(1, keepdim=True)

    def confidence(self, prediction: Tensor) -> Tensor:
        """The probability of the likeliest token."""
        return prediction.float().softmax(1).amax(1)

    def draw(
        self, values: Tensor, grid: tuple[int, ...] | None, marks: Marks, truth: Tensor | None = None
    ) -> np.ndarray:
        """The words in rows; see `maetoolkit_text.picture`."""
        from maetoolkit_text.picture import draw_words

        return draw_words(self.words, values[:, 0], marks, None if truth is None else truth[:, 0])

    def legend(self) -> Sequence[tuple[str, tuple[int, int, int]]]:
        """The colours of predicted words, by their probability."""
        from maetoolkit_text.picture import scale

        return scale()


def words_of(field: Field) -> Tensor:
    """bool (B, N): which places hold a word."""
    return field.present if field.present.ndim == 2 else field.present[:, None].expand_as(field.values)
