"""The hooks of the toolkit, one per kind of thing a plugin can add; the only file that knows pluggy.

A plugin is an installed package with an entry point in group `maetoolkit` that names a module (or object) with some of
these functions, each marked with `@hookimpl`. Every one returns what it adds by name; none of them may import torch.
`docs/hooks.md` is made of this file: `maetool plugins hooks > docs/hooks.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from maetoolkit.data.source import Source
    from maetoolkit.masking.sampler import Masking
    from maetoolkit.modality import Modality
    from maetoolkit.model.decoder import DecoderDescription
    from maetoolkit.model.encoder import EncoderDescription
    from maetoolkit.model.objective import ObjectiveDescription
    from maetoolkit.model.target import TargetDescription
    from maetoolkit.train.callbacks import CallbackDescription

PROJECT = "maetoolkit"
API = 1
"""Version of the hooks and of the classes a plugin derives from; it grows when a plugin would have to be changed."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """What a plugin may implement; every hook is optional."""

    @hookspec
    def maetoolkit_modalities(self) -> Mapping[str, type[Modality]]:
        """Kinds of data, by the `type` that an entry of `modalities` has in a recipe.

        Example:
            from typing import Literal

            from maetoolkit.modalities.image import RGB
            from maetoolkit.plugins import hookimpl

            class Thermal(RGB):
                type: Literal["thermal"] = "thermal"
                channels: int = 1

            @hookimpl
            def maetoolkit_modalities():
                return {"thermal": Thermal}
        """
        return {}

    @hookspec
    def maetoolkit_samplers(self) -> Mapping[str, type[Masking]]:
        """Mask samplers, by `masking.type`; other samplers may hold them too (`nested("samplers")`).

        Example:
            from typing import Literal

            from maetoolkit.masking.share import Share
            from maetoolkit.plugins import hookimpl

            class Most(Share):
                type: Literal["most"] = "most"
                ratio: float = 0.9

            @hookimpl
            def maetoolkit_samplers():
                return {"most": Most}
        """
        return {}

    @hookspec
    def maetoolkit_encoders(self) -> Mapping[str, type[EncoderDescription]]:
        """Shared encoders, by `encoder.type`.

        Example:
            from typing import Literal

            from maetoolkit.model.encoder import ViT
            from maetoolkit.plugins import hookimpl

            class Giant(ViT):
                type: Literal["giant"] = "giant"
                dim: int = 1408
                heads: int = 16

            @hookimpl
            def maetoolkit_encoders():
                return {"giant": Giant}
        """
        return {}

    @hookspec
    def maetoolkit_decoders(self) -> Mapping[str, type[DecoderDescription]]:
        """Decoders, by `decoder.type`.

        Example:
            from typing import Literal

            from maetoolkit.model.decoder import CrossDecoder
            from maetoolkit.plugins import hookimpl

            class Shallow(CrossDecoder):
                type: Literal["shallow"] = "shallow"
                depth: int = 1

            @hookimpl
            def maetoolkit_decoders():
                return {"shallow": Shallow}
        """
        return {}

    @hookspec
    def maetoolkit_targets(self) -> Mapping[str, type[TargetDescription]]:
        """Teachers, by the `type` of `teacher` in an entry of type `features`: what is predicted but not in the data.

        Example:
            from typing import Literal

            from maetoolkit.model.target import TimmFeatures
            from maetoolkit.plugins import hookimpl

            class SmallTeacher(TimmFeatures):
                type: Literal["small_teacher"] = "small_teacher"
                name: str = "vit_small_patch16_224"

            @hookimpl
            def maetoolkit_targets():
                return {"small_teacher": SmallTeacher}
        """
        return {}

    @hookspec
    def maetoolkit_objectives(self) -> Mapping[str, type[ObjectiveDescription]]:
        """Ways in which token losses become one number, by `objective.type`.

        Example:
            from typing import Literal

            from maetoolkit.model.objective import WeightedSum
            from maetoolkit.plugins import hookimpl

            class Pooled(WeightedSum):
                type: Literal["pooled_sum"] = "pooled_sum"
                reduction: Literal["pooled"] = "pooled"

            @hookimpl
            def maetoolkit_objectives():
                return {"pooled_sum": Pooled}
        """
        return {}

    @hookspec
    def maetoolkit_sources(self) -> Mapping[str, type[Source]]:
        """Where samples come from, by `data.type`.

        Example:
            from typing import Literal

            from maetoolkit.data.folder import Folder
            from maetoolkit.plugins import hookimpl

            class Lab(Folder):
                type: Literal["lab"] = "lab"
                root: str = "/data/lab"

            @hookimpl
            def maetoolkit_sources():
                return {"lab": Lab}
        """
        return {}

    @hookspec
    def maetoolkit_callbacks(self) -> Mapping[str, type[CallbackDescription]]:
        """What else happens during a run (a tracker, a bell), by the `type` in `callbacks: [{type: NAME}]` of a recipe.

        Example:
            from typing import Literal

            from maetoolkit.plugins import hookimpl
            from maetoolkit.train.callbacks import Callback, CallbackDescription

            class Bell(CallbackDescription):
                type: Literal["bell"] = "bell"

                def build(self):
                    return Ring()

            class Ring(Callback):
                def on_end(self, run):
                    print(f"{run.path} has stopped after step {run.step}\\a")

            @hookimpl
            def maetoolkit_callbacks():
                return {"bell": Bell}
        """
        return {}

    @hookspec
    def maetoolkit_recipes(self) -> Mapping[str, Path | str]:
        """Recipe files, by the name that `maetool pretrain NAME` and `base: NAME` use.

        Example:
            from pathlib import Path

            from maetoolkit.plugins import hookimpl

            @hookimpl
            def maetoolkit_recipes():
                return {"rgb-thermal": Path(__file__).parent / "rgb-thermal.yaml"}
        """
        return {}

    @hookspec
    def maetoolkit_commands(self) -> Mapping[str, click.Command]:
        """Further commands of `maetool`, by name; built-in ones cannot be replaced.

        Example:
            import click

            from maetoolkit.plugins import hookimpl

            @click.command()
            def thermal():
                import torch  # here, not above: `maetool --help` needs none of it

                click.echo(torch.tensor(36.6))

            @hookimpl
            def maetoolkit_commands():
                return {"thermal": thermal}
        """
        return {}

    @hookspec
    def maetoolkit_cases(self) -> Mapping[str, Callable[[], Any]]:
        """How to try what the plugin offers: functions that make cases of `maetoolkit.testing`, by any name.

        `maetool plugins check` and `maetoolkit.testing.check_plugin` call this hook and what it returns; nothing else
        does, so that both may import torch. What no case is about is tried as it is by default.

        Example:
            from maetoolkit.plugins import hookimpl

            def warm():
                from maetoolkit.modalities.image import Depth
                from maetoolkit.testing import ModalityCase

                return ModalityCase(Depth(size=(8, 12), patch=4), examples=lambda draw, shape: draw.random(shape) + 273)

            @hookimpl
            def maetoolkit_cases():
                return {"warm": warm}
        """
        return {}


HOOKS: tuple[str, ...] = tuple(name.removeprefix(f"{PROJECT}_") for name in vars(Hooks) if name.startswith(PROJECT))
KINDS: tuple[str, ...] = tuple(kind for kind in HOOKS if kind != "cases")
"""What can be named in a recipe or on the command line, so that a name must have one owner."""


def hooks(plugin: object) -> Iterator[tuple[str, Callable[[], Any]]]:
    """One plugin's hooks by themselves, as (kind, function to call); an error therefore has an owner.

    Raises TypeError where a function is marked as a hook that does not exist or takes arguments.
    """
    if inspect.isclass(plugin):
        plugin = plugin()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise TypeError(_explain(manager, plugin, error)) from None
    for kind in HOOKS:
        for implementation in getattr(manager.hook, f"{PROJECT}_{kind}").get_hookimpls():
            yield kind, implementation.function


def _explain(manager: pluggy.PluginManager, plugin: object, error: pluggy.PluginValidationError) -> str:
    """Say which marked function is no hook, and which hook was probably meant."""
    known = [f"{PROJECT}_{kind}" for kind in HOOKS]
    for name in dir(plugin):
        if name not in known and manager.parse_hookimpl_opts(plugin, name) is not None:
            near = "".join(f"did you mean {each}? " for each in get_close_matches(name, known, n=1))
            return f"{name} is marked as a hook but there is no such hook; {near}hooks: {', '.join(known)}"
    taking = [f"{name}{s}" for name in known if (s := inspect.signature(getattr(plugin, name, object))).parameters]
    return f"{taking[0]}: hooks take no arguments" if taking else str(error).replace("\n", " ")
