"""Which samples of unequal length attend together. Axes: T query tokens, b samples of a group, L places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from maetoolkit.tokens import Segments

WASTE = 2.0  # lengths of a group differ by at most this factor (measured: benchmarks/ragged.py)


@dataclass(frozen=True)
class Group:
    """Samples that attend in one padded product, on the host.

    queries, keys: rows of the flat sequences, the first row of the sample in places of padding;
    real: which keys are real, None where all are.
    """

    queries: Int[np.ndarray, "b L"]
    keys: Int[np.ndarray, "b L"]
    real: Bool[np.ndarray, "b L"] | None


@lru_cache(maxsize=64)
def grouping(queries: Segments, keys: Segments) -> tuple[tuple[Group, ...], Int[np.ndarray, "T"]]:
    """The groups of a batch, and for every query token its row in their outputs, one after the other.

    Tokens of samples without keys have the row behind the last. All layers of a pass share the result.
    """
    starts = _starts(queries.lengths), _starts(keys.lengths)
    total = 0
    groups, back = [], np.full(queries.total, -1)
    for samples in similar(queries.lengths, keys.lengths):
        num_queries, num_keys = ([segments.lengths[i] for i in samples] for segments in (queries, keys))
        rows = _rows(starts[0][samples], num_queries)
        context = _rows(starts[1][samples], num_keys)
        real = np.arange(context.shape[1]) < np.array(num_keys)[:, None]
        groups.append(Group(rows, context, None if real.all() else real))
        inside = np.arange(rows.shape[1]) < np.array(num_queries)[:, None]
        back[rows[inside]] = total + np.flatnonzero(inside)
        total += rows.size
    back[back < 0] = total
    return tuple(groups), back


def similar(queries: Sequence[int], keys: Sequence[int]) -> list[list[int]]:
    """Samples in groups whose numbers of queries, and of keys, differ by at most the factor `WASTE`.

    Samples without queries or keys are in none of them.
    """
    order = sorted((i for i in range(len(keys)) if queries[i] and keys[i]), key=lambda i: (keys[i], queries[i]))
    groups: list[list[int]] = []
    for sample in order:
        group = groups[-1] if groups else []
        if group:
            spans = ([queries[i] for i in (*group, sample)], [keys[i] for i in (*group, sample)])
            if all(max(span) <= WASTE * min(span) for span in spans):
                group.append(sample)
                continue
        groups.append([sample])
    return groups


def filler(sequences: Sequence[Segments]) -> float:
    """Share of the places of these sequences that are padding, where each is grouped for attending to itself."""
    real = places = 0
    for segments in sequences:
        real += segments.total
        groups = similar(segments.lengths, segments.lengths)
        places += sum(len(group) * max(segments.lengths[i] for i in group) for group in groups)
    return 1 - real / places if places else 0.0


def _starts(lengths: Sequence[int]) -> Int[np.ndarray, "B"]:
    return np.cumsum([0, *lengths[:-1]])


def _rows(starts: Int[np.ndarray, "b"], lengths: Sequence[int]) -> Int[np.ndarray, "b L"]:
    steps = np.arange(max(lengths))
    return starts[:, None] + np.where(steps < np.array(lengths)[:, None], steps, 0)
