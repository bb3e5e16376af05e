"""`maetool plugins hooks`: what a plugin may implement, as Markdown made of the code."""

from __future__ import annotations

import inspect
from textwrap import dedent

import click

HEAD = """\
# Hooks

<!-- Made by `maetool plugins hooks > docs/hooks.md`; a test compares them. -->

A plugin is an installed package with an entry point in group `maetoolkit`:

```toml
[project.entry-points.maetoolkit]
thermal = "maetoolkit_thermal"
```

It names a module (or a class, or an object) with some of the functions below, each marked with
`maetoolkit.plugins.hookimpl`. Every hook is optional, takes no arguments and returns a mapping from names to what is
offered. All but the last are called once, in the order of this page, when the registry is first asked for anything;
what they offer is used when a recipe or a command names it. None of these may import torch, nor call `registry()`,
which is being filled.

`MAETOOLKIT_API = {api}` in the module says which version of this page a plugin was made for; a pair (lowest, highest)
says which it works with. A plugin for other versions is refused by name, and so is one that raises, ends the
interpreter, takes longer than `MAETOOLKIT_PLUGIN_TIMEOUT` seconds (10) or returns something else than what is said
here; all others work on. A name that two plugins offer belongs to neither, one of a built-in stays the built-in's.

What a plugin prints as it is loaded goes to standard error. `sys.stdout`, `sys.stderr` and the working directory are
put back after it, and `maetool plugins` names one that changed them.

`maetool plugins new NAME` writes a package that works; `maetool plugins check NAME` tries what one offers.
"""


@click.command()
def hooks() -> None:
    """Print the documentation of all hooks, which is docs/hooks.md."""
    click.echo(document(), nl=False)


def document() -> str:
    """`docs/hooks.md`. Raises ValueError for a hook that says nothing of itself or shows no example."""
    from maetoolkit.hookspecs import API, HOOKS, PROJECT, Hooks

    parts = [HEAD.format(api=API)]
    for kind in HOOKS:
        function = getattr(Hooks, f"{PROJECT}_{kind}")
        parts.append(section(f"{PROJECT}_{kind}", inspect.signature(function), function.__doc__ or ""))
    return "\n".join(parts)


def section(name: str, signature: inspect.Signature, text: str) -> str:
    """What one hook is for, what it returns and an example. Raises ValueError where it does not say."""
    says, mark, example = inspect.cleandoc(text).partition("\nExample:\n")
    if not says.strip() or not mark or not example.strip():
        raise ValueError(f"{name}: expected a docstring that says what the hook is for, and an `Example:`")
    lines = [
        f"## {name}",
        f"`{name}() -> {signature.return_annotation}`",
        says.strip(),
        f"Returns, by name, {returns(name.removeprefix('maetoolkit_'))}. Called once, {called(name)}.",
        f"```python\n{dedent(example).strip()}\n```\n",
    ]
    return "\n\n".join(lines)


def called(name: str) -> str:
    """When a hook is called, in words."""
    from maetoolkit.hookspecs import KINDS

    return "as the plugin is loaded" if name.removeprefix("maetoolkit_") in KINDS else "when the plugin is tried"


def returns(kind: str) -> str:
    """What a hook must return for each name, in words."""
    from maetoolkit.plugins.offers import BASES

    if kind in BASES:
        return f"subclasses of `{BASES[kind]}` that are not abstract and declare `type: Literal[NAME] = NAME`"
    return {
        "recipes": "paths of YAML files that exist",
        "commands": "`click.Command` objects",
        "cases": "functions without arguments that return a `ModalityCase`, `SamplerCase`, `DecoderCase`, `SourceCase` "
        "or `TargetCase`",
    }[kind]
