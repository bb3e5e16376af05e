"""`maetool schema`."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of a recipe file, installed plugins included (for editors and validators)."""
    import json

    from maetoolkit.train.recipe import schema as recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2))
