"""Routes: the indices that follow from a plan."""

from __future__ import annotations

import pickle

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maetoolkit.masking.plan import MaskPlan
from maetoolkit.masking.route import Router

INPUTS, SOURCES = ("a", "b"), {"a": "a", "copy": "a", "c": "c"}
ROUTERS = [
    Router(INPUTS, SOURCES, num_globals, stacks, joint)
    for num_globals in (0, 1, 2)
    for stacks, joint in (({n: (n,) for n in SOURCES}, False), ({"joint": tuple(SOURCES)}, True))
]


@st.composite
def plans(draw: st.DrawFn) -> MaskPlan:
    num = draw(st.integers(1, 4))

    def flags(width: int) -> torch.Tensor:
        rows = st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=num, max_size=num)
        return torch.tensor(draw(rows)).reshape(num, width)

    return MaskPlan({"a": flags(3), "b": flags(2)}, {"a": flags(3), "copy": flags(3), "c": flags(2)})


@settings(max_examples=60, deadline=None, database=None)
@given(plans(), st.sampled_from(ROUTERS))
def test_every_token_is_where_the_route_says(plan: MaskPlan, router: Router) -> None:
    route = router(plan)
    num = len(plan.visible["a"])
    lengths = torch.stack([f.sum(1) for f in plan.visible.values()]).sum(0) + router.num_globals
    assert route.segments.lengths == tuple(lengths.tolist())
    starts = [0, *torch.tensor(route.segments.lengths).cumsum(0).tolist()]
    owner_of_row = torch.arange(num).repeat_interleave(torch.tensor(route.segments.lengths))
    places = [route.globals]
    for name in INPUTS:
        assert torch.equal(route.kept[name], plan.visible[name].flatten().nonzero()[:, 0])
        assert torch.equal(owner_of_row[route.rows[name]], route.kept[name] // plan.visible[name].shape[1])
        places.append(route.rows[name])
    assert torch.equal(torch.cat(places).sort().values, torch.arange(starts[-1]))
    assert torch.equal(torch.arange(starts[-1]), torch.cat(places)[route.order])
    for sample in range(num):
        first = range(starts[sample], starts[sample] + router.num_globals)
        assert route.globals.reshape(num, -1)[sample].tolist() == list(first)
    for name, source in SOURCES.items():
        assert torch.equal(route.target[name], plan.target[name].flatten().nonzero()[:, 0])
        assert torch.equal(route.sample[name], route.target[name] // plan.target[name].shape[1])
        stack = next(stack for key, stack in route.stacks.items() if name in router.stacks[key])
        total = stack.segments.total
        rows = stack.scored[stack.target[name]]
        assert ((rows >= 0) & (rows < total)).all()
        sequence = torch.cat([-torch.ones(len(stack.globals), dtype=torch.int64), *stack.tokens.values()])
        fields = torch.cat(
            [torch.zeros(len(stack.globals))]
            + [torch.full((len(index),), float(number + 1)) for number, index in enumerate(stack.tokens.values())]
        )
        if stack.order is not None:
            sequence, fields = sequence[stack.order], fields[stack.order]
        assert torch.equal(sequence[rows], route.target[name])
        assert (fields[rows] == 1 + list(stack.tokens).index(source)).all()
        for field in stack.tokens:
            if field in INPUTS:
                shown = stack.tokens[field][stack.seen[field]]
                assert plan.visible[field].flatten()[shown].all()
                back = dict(zip(route.rows[field].tolist(), route.kept[field].tolist(), strict=True))
                assert [back[row] for row in stack.latent[field].tolist()] == shown.tolist()
            else:
                assert not len(stack.seen[field])


def test_a_router_is_small_and_travels_to_workers() -> None:
    for router in ROUTERS:
        assert pickle.loads(pickle.dumps(router)) == router
        assert len(pickle.dumps(router)) < 1000


def test_only_what_an_output_needs_is_scored() -> None:
    plan = MaskPlan(
        {"a": torch.eye(4, dtype=torch.bool)[:2]},
        {"a": torch.eye(4, dtype=torch.bool)[2:], "copy": torch.eye(4).bool()[1:3]},
    )
    router = Router(("a",), {"a": "a", "copy": "a"}, 1, {"joint": ("a", "copy")}, True)
    stack = router(plan).stacks["joint"]
    wanted = {int(row) for rows in stack.target.values() for row in stack.scored[rows]}
    assert stack.scored.tolist() == sorted(wanted)
