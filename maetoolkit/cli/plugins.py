"""`maetool plugins`."""

from __future__ import annotations

import click


@click.command()
def plugins() -> None:
    """List who offers what, and what is broken and why.

    MAETOOLKIT_PLUGINS (a comma-separated allow-list; empty: none) and MAETOOLKIT_BLOCK restrict what is loaded.
    """
    from maetoolkit.plugins import registry

    known = registry()
    for plugin in known.plugins:
        origin = f"  ({plugin.distribution} {plugin.version})" if plugin.distribution else ""
        click.secho(f"{plugin.name}{origin}", bold=True, nl=False)
        click.secho(f"  {plugin.status}", fg={"loaded": "green", "blocked": "yellow"}.get(plugin.status, "red"))
        if plugin.reason:
            click.echo(f"  {plugin.reason}")
        for kind, offered in plugin.offers.items():
            if offered:
                click.echo(f"  {kind:<12}{', '.join(offered)}")
    if known.problems:
        click.secho("\nproblems", bold=True)
        for line in known.problems:
            click.echo(f"  {line}")
