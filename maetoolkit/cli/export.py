"""`maetool export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["timm", "safetensors"]), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
def export(run: Path, form: str, out: Path) -> None:
    """Write the encoder of RUN for timm, or all weights of RUN as safetensors."""
    from maetoolkit.cli.arguments import check_run

    check_run(run)
    if form == "timm":
        from maetoolkit.export.timm import export_timm

        export_timm(run, out)
    else:
        from maetoolkit.export.weights import export_weights

        export_weights(run, out)
    click.echo(str(out))
