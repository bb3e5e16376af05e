"""`maetool plugins`: the list, and the group of its subcommands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from maetoolkit.cli.plugins_check import check
from maetoolkit.cli.plugins_hooks import hooks
from maetoolkit.cli.plugins_new import new

if TYPE_CHECKING:
    from maetoolkit.plugins import Plugin, Registry

COLOURS = {"loaded": "green", "blocked": "yellow"}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="The list as one JSON document.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List who offers what, and what is broken and why; or write and check a plugin.

    MAETOOLKIT_PLUGINS (a comma-separated allow-list; empty: none) and MAETOOLKIT_BLOCK restrict what is loaded.
    MAETOOLKIT_PLUGIN_TIMEOUT is how many seconds one may take to load (10).
    """
    if context.invoked_subcommand is not None:
        return
    from maetoolkit.plugins import registry

    known = registry()
    if as_json:
        click.echo(json.dumps(document(known), indent=2))
        return
    for plugin in known.plugins:
        _show(plugin)
    if known.problems:
        click.secho("\nproblems", bold=True)
        for line in known.problems:
            click.echo(f"  {line}")


plugins.add_command(new)
plugins.add_command(check)
plugins.add_command(hooks)


def document(known: Registry) -> dict[str, Any]:
    """The list for programs: what is installed, what it offers by kind, and what is wrong."""
    from maetoolkit.hookspecs import API, KINDS

    listed = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "api": plugin.api or None,
            "status": plugin.status,
            "reason": plugin.reason,
            "offers": {kind: list(plugin.offers[kind]) for kind in KINDS if kind in plugin.offers},
        }
        for plugin in known.plugins
    ]
    return {"api": API, "plugins": listed, "problems": list(known.problems)}


def _show(plugin: Plugin) -> None:
    from maetoolkit.hookspecs import KINDS

    origin = f"  ({plugin.distribution} {plugin.version})" if plugin.distribution else ""
    click.secho(f"{plugin.name}{origin}", bold=True, nl=False)
    click.secho(f"  {plugin.status}", fg=COLOURS.get(plugin.status, "red"), nl=False)
    click.echo(f"  API {plugin.api}" if plugin.api else "")
    if plugin.reason:
        click.echo(f"  {plugin.reason}")
    for kind in KINDS:  # not the cases, which need torch
        if offered := plugin.offers.get(kind):
            click.echo(f"  {kind:<12}{', '.join(offered)}")
