"""`maetool export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from maetoolkit.errors import ConfigError


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
    out = out or run / "export" / ("timm" if form == "timm" else "model.safetensors")
    with written_to(out):
        if form == "timm":
            from maetoolkit.export.timm import export_timm

            export_timm(model, out, modality)
        else:
            from maetoolkit.export.weights import export_weights

            export_weights(model, out)
    click.echo(str(out))


@contextmanager
def written_to(out: Path) -> Iterator[None]:
    """Turn what the system or safetensors says of `out` into a ConfigError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(f"{out}: cannot be written ({reason}); choose another place with --out") from error
