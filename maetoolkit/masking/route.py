"""Route: the integer indices that follow from a MaskPlan, computed once on the host; the device only gathers.

Tokens of a field are counted flat, sample * N + token. Axes: T tokens of a batch in the encoder, Q those of a decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maetoolkit.tokens import Segments

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int
    from torch import Tensor

    from maetoolkit.masking.plan import MaskPlan


@dataclass(frozen=True)
class Stack:
    """One decoder's sequence: which tokens it decodes, where the visible ones come from, what it attends to.

    tokens: field -> flat indices of all tokens that are decoded, in the encoder or not.
    seen: field -> which of `tokens` the encoder has, and `latent`: the rows of the latent they are.
    order: rows of [global tokens, fields in turn] in sample order; None where that is the order already.
    segments: tokens per sample of the sequence; context: rows of the latent it attends to (None: all), with
    `context_segments`; scored: rows of the sequence that any output needs;
    target: output -> which of `scored` are its own.
    """

    tokens: Mapping[str, Int[Tensor, "Q"]]
    seen: Mapping[str, Int[Tensor, "V"]]
    latent: Mapping[str, Int[Tensor, "V"]]
    globals: Int[Tensor, "G"]
    order: Int[Tensor, "S"] | None
    segments: Segments
    context: Int[Tensor, "C"] | None
    context_segments: Segments
    scored: Int[Tensor, "R"]
    target: Mapping[str, Int[Tensor, "T"]]


@dataclass(frozen=True)
class Route:
    """Everything the model gathers by.

    num_tokens: input -> N; kept: input -> flat indices of its tokens that enter the encoder, visible or in place;
    content: input -> flat indices of the tokens whose content the visible ones of `kept` show;
    seen: input -> which of `kept` those are, for inputs that have mask tokens among them;
    order: rows of [global tokens, inputs in turn] in sample order; segments: tokens per sample in the encoder;
    rows: input -> rows of the latent that its kept tokens are; globals: rows that are global tokens;
    target, sample: output -> flat index and sample of every scored token; stacks: decoder sequences by name.
    """

    num_samples: int
    num_tokens: Mapping[str, int]
    kept: Mapping[str, Int[Tensor, "K"]]
    content: Mapping[str, Int[Tensor, "V"]]
    seen: Mapping[str, Int[Tensor, "V"]]
    order: Int[Tensor, "T"]
    segments: Segments
    rows: Mapping[str, Int[Tensor, "V"]]
    globals: Int[Tensor, "G"]
    target: Mapping[str, Int[Tensor, "T"]]
    sample: Mapping[str, Int[Tensor, "T"]]
    stacks: Mapping[str, Stack]


@dataclass(frozen=True)
class Router:
    """Turns plans into routes; small and picklable, so that loader workers can do it.

    sources: output -> field whose tokens it predicts; stacks: decoder name -> outputs it serves;
    with_globals: decoders that have the global tokens and all inputs in their own sequence (joint decoders).
    """

    inputs: tuple[str, ...]
    sources: Mapping[str, str]
    num_globals: int
    stacks: Mapping[str, tuple[str, ...]]
    with_globals: bool

    def __call__(self, plan: MaskPlan) -> Route:
        """The route of a plan held on the host."""
        import numpy as np

        visible = {name: plan.visible[name].numpy() for name in self.inputs}
        content = {name: _content(plan, name, flags) for name, flags in visible.items()}
        seen = {}
        for name, flags in plan.in_place.items():
            if flags.any():
                entered = visible[name] | flags.numpy()
                seen[name] = np.flatnonzero(visible[name].ravel()[np.flatnonzero(entered)])
                visible[name] = entered
        targets = {name: plan.target[name].numpy() for name in self.sources}
        num_samples = len(next(iter(visible.values())))
        flat = {name: np.flatnonzero(flags) for name, flags in visible.items()}
        of_global = np.repeat(np.arange(num_samples), self.num_globals)
        owners = [of_global, *(flat[name] // visible[name].shape[1] for name in self.inputs)]
        order, place, lengths = sample_order(owners, num_samples)
        rows = dict(zip(("", *self.inputs), place, strict=True))
        scored = {name: np.flatnonzero(flags) for name, flags in targets.items()}
        stacks = {
            name: self._stack(outputs, visible, targets, flat, rows, order, lengths)
            for name, outputs in self.stacks.items()
        }
        return Route(
            num_samples,
            {name: flags.shape[1] for name, flags in visible.items()},
            tensors(flat),
            tensors(content),
            tensors(seen),
            tensor(order),
            Segments(tuple(lengths.tolist())),
            tensors({name: rows[name] for name in self.inputs}),
            tensor(rows[""]),
            tensors(scored),
            tensors({name: index // targets[name].shape[1] for name, index in scored.items()}),
            stacks,
        )

    def _stack(
        self,
        outputs: tuple[str, ...],
        visible: dict[str, np.ndarray],
        targets: dict[str, np.ndarray],
        flat: dict[str, np.ndarray],
        rows: dict[str, np.ndarray],
        order: np.ndarray,
        lengths: np.ndarray,
    ) -> Stack:
        import numpy as np

        num_samples = len(lengths)
        busy = np.zeros(num_samples, bool)  # samples with nothing to predict are not decoded
        for name in outputs:
            busy |= targets[name].any(1)
        fields = self.inputs if self.with_globals else ()
        fields = tuple(dict.fromkeys((*fields, *(self.sources[name] for name in outputs))))
        tokens, seen, latent, owners = {}, {}, {}, []
        for field in fields:
            wanted = [targets[name] for name in outputs if self.sources[name] == field]
            shown = visible.get(field)
            decoded = np.logical_or.reduce([*wanted, *([] if shown is None else [shown])]) & busy[:, None]
            tokens[field] = np.flatnonzero(decoded)
            row_of = np.full(decoded.size, -1)
            if shown is not None:
                row_of[flat[field]] = rows[field]
            row = row_of[tokens[field]]
            seen[field] = np.flatnonzero(row >= 0)
            latent[field] = row[seen[field]]
            owners.append(tokens[field] // decoded.shape[1])
        global_rows = rows[""].reshape(num_samples, -1)[busy].ravel() if self.with_globals else rows[""][:0]
        of_global = np.repeat(np.flatnonzero(busy), self.num_globals if self.with_globals else 0)
        stack_order, place, stack_lengths = sample_order([of_global, *owners], num_samples)
        of_field = dict(zip(fields, place[1:], strict=True))
        scored = {}
        for name in outputs:
            field = self.sources[name]
            scored[name] = of_field[field][np.flatnonzero(targets[name].ravel()[tokens[field]])]
        every = np.unique(np.concatenate(list(scored.values())))
        context = None if busy.all() else np.flatnonzero(np.repeat(busy, lengths))
        in_order = len(fields) == 1 and not len(of_global)
        return Stack(
            tensors(tokens),
            tensors(seen),
            tensors(latent),
            tensor(global_rows),
            None if in_order else tensor(stack_order),
            Segments(tuple(stack_lengths[busy].tolist())),
            None if context is None else tensor(context),
            Segments(tuple(lengths[busy].tolist())),
            tensor(every),
            tensors({name: np.searchsorted(every, rows_of) for name, rows_of in scored.items()}),
        )


def _content(plan: MaskPlan, name: str, visible: np.ndarray) -> np.ndarray:
    """Flat indices of the tokens whose content the visible tokens of an input show: their own, or as the plan says."""
    import numpy as np

    own = np.flatnonzero(visible)
    if name not in plan.content:
        return own
    width = visible.shape[1]
    return own // width * width + plan.content[name].numpy().ravel()[own]


def sample_order(owners: list[np.ndarray], num_samples: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Bring parts, each ordered by sample, into one sequence ordered by sample.

    Returns the order (rows of the concatenated parts), the place of every row of each part in the new sequence,
    and the tokens per sample.
    """
    import numpy as np

    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    starts = np.cumsum([len(part) for part in owners])[:-1]
    return order, np.split(place, starts), np.bincount(owner, minlength=num_samples)


def tensor(array: np.ndarray) -> Any:
    """An index array as a tensor."""
    import numpy as np
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Index arrays as tensors."""
    return {name: tensor(array) for name, array in arrays.items()}
