"""`maetool plugins check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maetoolkit.testing import Verdict


@click.command()
@click.argument("name")
@click.option("--seed", type=int, default=0, show_default=True, help="Keys the data, masks and weights of every law.")
@click.pass_context
def check(context: click.Context, name: str, seed: int) -> None:
    """Run every law on what the plugin NAME offers; say which are broken, why they matter and how to see it.

    NAME is that of a plugin or of its distribution. How its things are tried it says itself, with the hook
    maetoolkit_cases; the rest is tried as it is by default. Exit code 1: a law is broken.
    """
    from maetoolkit.testing import check_plugin

    tried = check_plugin(name, seed)
    for label, verdicts in tried:
        click.secho(label, bold=True)
        for verdict in verdicts:
            _show(verdict)
    counts = _counts([verdict for _, verdicts in tried for verdict in verdicts])
    click.echo(f"{name}: {f'of the laws, {counts}' if counts else 'it offers nothing that there are laws for'}")
    if any(not verdict.fine for _, verdicts in tried for verdict in verdicts):
        context.exit(1)


def _show(verdict: Verdict) -> None:
    colour = "red" if not verdict.fine else "green" if verdict.held else "yellow"
    click.secho(f"  {verdict}", fg=colour)
    if not verdict.fine:
        for line in verdict.detail.splitlines():
            click.echo(f"    {line}")


def _counts(verdicts: list[Verdict]) -> str:
    """How many there are of each outcome, in words."""
    found = {
        "hold": sum(verdict.held is True for verdict in verdicts),
        "not applicable": sum(verdict.held is None for verdict in verdicts),
        "failing as declared": sum(verdict.held is False and verdict.fine for verdict in verdicts),
        "broken": sum(not verdict.fine for verdict in verdicts),
    }
    return ", ".join(f"{num} {outcome}" for outcome, num in found.items() if num)
