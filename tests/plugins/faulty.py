"""Recipes of one step with something faulty in them."""

from __future__ import annotations

from typing import Any, Literal

from plugin_entries import Entry, module

from maetoolkit.modalities.image import RGB
from maetoolkit.train.recipe import load_recipe
from maetoolkit.train.run import pretrain

TINY = {"size": 16, "patch": 8}


class Bad(RGB):
    type: Literal["bad"] = "bad"


def breaking(base, **methods):
    """A class in which some methods are others; each is called with `wrong(self, right, *given)`."""
    changes: dict[str, Any] = {}
    for name, wrong in methods.items():
        changes[name] = method(getattr(base, name), wrong)
    return type(base.__name__, (base,), {"__module__": __name__, **changes})


def method(right, wrong):
    return lambda self, *given: wrong(self, lambda *other: right(self, *(other or given)), *given)


def settings(tmp_path, **sections):
    return {
        "run": str(tmp_path / "run"),
        "steps": 1,
        "batch": 4,
        "modalities": {"rgb": {"type": "rgb", **TINY}, "other": {"type": "bad", **TINY}},
        "masking": {"type": "share", "ratio": 0.5},
        "encoder": {"dim": 16, "depth": 1, "heads": 2},
        "decoder": {"type": "cross", "dim": 16, "depth": 1, "heads": 2},
        "data": {"size": 16, "num_train": 4, "num_validation": 2, "workers": 0, "streams": {"other": "rgb"}},
        "optimizer": {"warmup_steps": 1},
        **sections,
    }


def train(install, tmp_path, kind="modalities", cls=Bad, **sections):
    name = cls.model_fields["type"].default
    install([Entry("mine", lambda: module(**{f"maetoolkit_{kind}": lambda: {name: cls}}), "my-dist", "0.3")])
    return pretrain(load_recipe(settings(tmp_path, **sections)))
