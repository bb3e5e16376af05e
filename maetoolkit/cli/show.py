"""`maetool show`."""

from __future__ import annotations

import click

from maetoolkit.cli.arguments import recipe_arguments


@click.command()
@recipe_arguments
@click.option("--settings-only", is_flag=True, help="Print the resolved recipe and nothing else (no torch needed).")
def show(recipe: str, overrides: tuple[str, ...], settings_only: bool) -> None:
    """Show a resolved RECIPE: its settings, tokens, parameters and cost per sample."""
    from maetoolkit.train.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    click.echo(loaded.yaml(), nl=False)
    if settings_only:
        return

    from maetoolkit.cli.measure import describe

    click.echo()
    for line in describe(loaded):
        click.echo(line)
