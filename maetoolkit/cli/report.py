"""`maetool report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write RUN/report.html: loss curves, reconstructions, predictions from single modalities."""
    from maetoolkit.cli.arguments import check_run

    check_run(run)

    from maetoolkit.evaluate.report import write_report

    click.echo(str(write_report(run)))
