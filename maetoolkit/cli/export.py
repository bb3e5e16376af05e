"""`maetool export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["timm", "safetensors"]), required=True, help="What to write.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder (timm) or file (safetensors); by default below RUN/export."
)
@click.option("--modality", help="The input that timm's images are; by default the first image input.")
def export(run: Path, form: str, out: Path | None, modality: str | None) -> None:
    """Write the encoder of RUN for timm, or all weights of RUN as safetensors, from its newest checkpoint."""
    from maetoolkit.cli.arguments import check_run

    check_run(run)

    from maetoolkit.train.run import load_run

    _, model = load_run(run)
    if form == "timm":
        from maetoolkit.export.timm import export_timm

        written = export_timm(model, out or run / "export" / "timm", modality)
    else:
        from maetoolkit.export.weights import export_weights

        written = export_weights(model, out or run / "export" / "model.safetensors")
    click.echo(str(written))
