"""`maetool pretrain`."""

from __future__ import annotations

import click

from maetoolkit.cli.arguments import recipe_arguments


@click.command()
@recipe_arguments
def pretrain(recipe: str, overrides: tuple[str, ...]) -> None:
    """Train a masked autoencoder, or continue a run.

    RECIPE is a recipe's name, a YAML file or a run directory (default: quickstart); every setting can be changed
    with key=value, as in `maetool pretrain multimae-vit-b data.root=/data/imagenet optimizer.lr=2e-4`. The same
    command again continues the run where its newest checkpoint left it.
    """
    from maetoolkit.train.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)  # before torch: a mistake is told at once

    from maetoolkit.evaluate.callback import Reporter
    from maetoolkit.train.run import pretrain as train

    train(loaded, callbacks=[Reporter()])
