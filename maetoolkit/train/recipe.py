"""Recipe: everything a run depends on, as one validated document.

`load_recipe` reads a recipe by name or file, follows its `base`, lays overrides over it and checks everything at once;
every problem is told with the place it was written at. No torch is imported.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import Field, JsonValue, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, create_model

from maetoolkit.data.source import Source
from maetoolkit.description import Description
from maetoolkit.masking.sampler import Masking
from maetoolkit.modality import Modality, ModalitySet
from maetoolkit.plugins import Kind, Registry, nested, registry
from maetoolkit.train.needed import Requirement, needed, warn_of_drift

UNIT = Annotated[float, Field(ge=0, lt=1)]
SECTIONS = {
    "masking": "samplers",
    "encoder": "encoders",
    "decoder": "decoders",
    "objective": "objectives",
    "data": "sources",
}
DEFAULT_TYPES = {
    "masking": "dirichlet",
    "encoder": "vit",
    "decoder": "cross",
    "objective": "weighted",
    "data": "scenes",
}
UNIMPORTANT = (  # settings that do not change a run's numbers, so that a resumed run may change them
    ("name",), ("description",), ("published",), ("versions",), ("plugins",), ("run",), ("stop_after",),
    ("micro_batch",), ("compile",), ("log",), ("report",), ("checkpoint",), ("callbacks",),
    ("data", "workers"),
    ("data", "cache"), ("encoder", "attention"), ("encoder", "checkpointing"),
)  # fmt: skip


class Optimizer(Description):
    """AdamW with linear scaling of the learning rate, warm-up and cosine decay.

    lr is the base rate for a batch of 256; the rate used is lr * batch / 256. Biases, norms, positions, tokens and
    embeddings are not decayed unless `decay_all`. warmup_lr and final_lr are rates as used, not scaled.
    """

    lr: PositiveFloat = 1e-4
    betas: tuple[UNIT, UNIT] = (0.9, 0.95)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.05
    decay_all: bool = False
    clip_norm: PositiveFloat | None = None
    warmup_epochs: NonNegativeFloat | None = None
    warmup_steps: NonNegativeInt | None = None
    warmup_lr: NonNegativeFloat = 1e-6
    final_lr: NonNegativeFloat = 0.0


class Checkpoint(Description):
    """When to save, in optimizer steps or in epochs (neither: every 1000 steps), and how many checkpoints to keep."""

    every: PositiveInt | None = None
    every_epochs: PositiveInt | None = None
    keep: Annotated[int, Field(ge=2)] = 2


class Log(Description):
    """How often, in steps, a line is written to log.jsonl."""

    every: PositiveInt = 10


class Report(Description):
    """What report.html shows: validation samples, and masks per sample."""

    samples: PositiveInt = 6
    masks: PositiveInt = 3


class Recipe(Description):
    """All settings of one run. The classes of modalities, masking, ... are those registered here (see `recipe_type`).

    batch is the effective one, over ranks and accumulation; micro_batch is per rank and pass (none: all at once).
    Exactly one of steps and epochs is set. stop_after ends this invocation early, at that step; the schedule stays.
    callbacks are what plugins add to a run; plugins says who offers what is not built in, by kind and type:
    `modalities.text: maetoolkit-text==0.1.0`.
    """

    name: str = "recipe"
    description: str = ""
    run: str = ""
    seed: NonNegativeInt = 0
    steps: PositiveInt | None = None
    epochs: PositiveInt | None = None
    stop_after: PositiveInt | None = None
    batch: PositiveInt = 64
    micro_batch: PositiveInt | None = None
    modalities: dict[str, Modality]
    masking: Masking
    encoder: Description
    decoder: Description
    objective: Description
    data: Source
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    checkpoint: Checkpoint = Checkpoint()
    log: Log = Log()
    report: Report = Report()
    callbacks: tuple[nested("callbacks"), ...] = ()  # type: ignore[valid-type]
    published: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, Requirement] = Field(default_factory=dict)

    @cached_property
    def modality_set(self) -> ModalitySet:
        """The modalities in the order in which their tokens enter the encoder."""
        return ModalitySet(**self.modalities)

    def document(self) -> dict[str, Any]:
        """All settings as plain values; `load_recipe` of it gives an equal recipe."""
        return _type_first(self.model_dump(mode="json"))

    def yaml(self) -> str:
        """The resolved recipe as YAML text."""
        from maetoolkit.train.write import to_yaml

        return to_yaml(self.document())

    def with_versions(self) -> Recipe:
        """The same recipe with the versions of what runs it and the plugins it uses, as a run directory keeps it."""
        return self.model_copy(update={"versions": versions(), "plugins": needed(self, registry())})

    def identity(self) -> dict[str, Any]:
        """The part that changes a run's numbers; two runs with equal identity are the same run."""
        document = self.document()
        for path in UNIMPORTANT:
            section = document if len(path) == 1 else document[path[0]]
            section.pop(path[-1], None)
        for part in (document["data"].get("sources") or {}).values():  # of a mix
            for path in UNIMPORTANT:
                if path[0] == "data":
                    part.get("source", {}).pop(path[-1], None)
        document["modalities"] = [
            {"name": name, **entry} for name, entry in document["modalities"].items()
        ]  # order counts
        return document


@lru_cache(maxsize=8)
def recipe_type(known: Registry) -> type[Recipe]:
    """Recipe with the registered classes in their places, so that validation and JSON schema know every plugin."""
    entry = _one_of(known.modalities)
    fields: dict[str, Any] = {"modalities": (dict[str, entry], ...)}  # type: ignore[valid-type]
    for section, kind in SECTIONS.items():
        fields[section] = (_one_of(getattr(known, kind)), ...)
    return create_model("Recipe", __base__=Recipe, __module__=__name__, **fields)


def _one_of(kind: Kind[Any]) -> Any:
    classes = tuple(kind.values())
    if len(classes) > 1:
        return Annotated[Union[classes], Field(discriminator="type")]  # noqa: UP007
    return classes[0] if classes else Description


def _type_first(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ordered = {"type": value["type"], **value} if "type" in value else value
    return {key: _type_first(item) for key, item in ordered.items()}


def load_recipe(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, in that file or run directory, or made of these settings; `overrides` are `a.b.c=value`.

    Raises ConfigError that lists every problem with file and line (or the override), key, finding and expectation.
    """
    from maetoolkit.train.check import checked
    from maetoolkit.train.resolve import resolve

    recipe = checked(resolve(source, overrides, registry()), registry())
    warn_of_drift(recipe, registry())
    return recipe


def schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, plugins included."""
    described = recipe_type(registry()).model_json_schema()
    described["properties"]["base"] = {
        "type": "string",
        "description": "name or file of a recipe that this one changes",
    }
    for section in SECTIONS:  # may be left out, as `resolve` knows their default types
        described["required"].remove(section)
    return described


def versions() -> dict[str, str]:
    """Versions of Python, of what computes, and of every loaded plugin, without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    names = ["maetoolkit", "torch", "timm", "accelerate", "numpy"]
    names += [plugin.distribution for plugin in registry().plugins if plugin.status == "loaded"]
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
