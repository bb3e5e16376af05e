"""Span: hide stretches of a sequence, or of one axis of a grid (SpanBERT, section 3.1; HuBERT, section II.B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting
from pydantic import PositiveInt, model_validator

from maetoolkit.masking.ratio import EntrySampler, Ratio, RatioMasking

if TYPE_CHECKING:
    import numpy as np

    from maetoolkit.randomness import Draw

MAX_MISSES = 10  # spans that hide nothing new, before the others begin at steps that are left


class Span(RatioMasking):
    """Hide spans of the steps of every entry until exactly n - floor(n (1 - ratio)) of n present steps are hidden.

    A step is a token, in their order, or with `axis` all tokens in one place along that axis of the grid (the frames
    of a spectrogram). Spans are `length` steps long, or with `geometric` as long as a geometric distribution of that
    parameter says, at most `length` (SpanBERT: 0.2 and 10, with ratio 0.15). They may overlap; the last one is cut.
    With `starts`, the share of steps at which a span begins is set instead, and what they hide together varies
    (wav2vec 2.0, HuBERT: 0.08 and 10). `ratios` sets the share of single entries.
    """

    type: Literal["span"] = "span"
    ratio: Ratio = 0.5
    length: PositiveInt = 10
    geometric: Annotated[float, Setting(gt=0, le=1)] | None = None
    starts: Ratio | None = None
    axis: int | None = None

    @model_validator(mode="after")
    def _one_share(self) -> Span:
        if self.starts is not None and (self.ratios or self.ratio != type(self).model_fields["ratio"].default):
            raise ValueError("starts: the hidden share follows from it; leave ratio and ratios out, or leave it out")
        return self

    @property
    def needs_grid(self) -> bool:  # noqa: D102
        return self.axis is not None

    def check_grid(self, name: str, grid: tuple[int, ...] | None) -> None:  # noqa: D102
        if self.axis is None:
            return
        if grid is None or not -len(grid) <= self.axis < len(grid):
            found = "has no grid" if grid is None else f"has {len(grid)}"
            raise ValueError(
                f"axis: expected an axis, from 0, of the token grid of every entry; {name!r} {found}, found "
                f"{self.axis}; give that entry a sampler of its own (type: each)"
            )

    def build(self) -> SpanSampler:  # noqa: D102
        return SpanSampler(self)


class SpanSampler(EntrySampler):
    """Hides span after span; places count present steps alone, so that padding and gaps change nothing."""

    settings: Span

    def __init__(self, settings: Span) -> None:
        self.settings = settings

    def visible(  # noqa: D102
        self, name: str, present: np.ndarray, grid: tuple[int, ...] | None, draw: Draw
    ) -> np.ndarray:
        import numpy as np

        self.settings.check_grid(name, grid)
        tokens = present if self.settings.axis is None or grid is None else present.reshape(len(present), *grid)
        along = 1 if self.settings.axis is None or grid is None else self.settings.axis % len(grid) + 1
        others = tuple(axis for axis in range(1, tokens.ndim) if axis != along)
        steps = np.logical_or.reduce(tokens, others, keepdims=True)
        kept = np.zeros((len(tokens), tokens.shape[along]), bool)
        for sample, flags in enumerate(steps.reshape(kept.shape)):
            where = np.flatnonzero(flags)
            kept[sample, where] = ~self.hidden(draw.generator(f"mask {name}", sample), name, len(where))
        return (kept.reshape(steps.shape) & tokens).reshape(present.shape)

    def hidden(self, stream: np.random.Generator, name: str, num_steps: int) -> np.ndarray:
        """Flags of the hidden ones of `num_steps` steps in a row."""
        import numpy as np

        hidden = np.zeros(num_steps, bool)
        if self.settings.starts is not None:
            num = int(self.settings.starts * num_steps + stream.random())
            for start in stream.permutation(num_steps)[:num]:
                hidden[start : start + self.length(stream)] = True
            return hidden
        left = num_steps - int(self.settings.num_shown(name, np.array([num_steps]))[0])
        misses = 0
        while left > 0:
            length = self.length(stream)
            if misses < MAX_MISSES:
                start = int(stream.integers(max(1, num_steps - length + 1)))
            else:
                start = int(stream.choice(np.flatnonzero(~hidden)))
            new = start + np.flatnonzero(~hidden[start : start + length])[:left]
            hidden[new] = True
            misses += not len(new)
            left -= len(new)
        return hidden

    def length(self, stream: np.random.Generator) -> int:
        """The length of one span."""
        if self.settings.geometric is None:
            return self.settings.length
        return int(min(stream.geometric(self.settings.geometric), self.settings.length))
