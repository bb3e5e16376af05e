"""The command line: `maetool`. Its commands come from the registry; none imports torch before it has work for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from maetoolkit.cli.export import export
from maetoolkit.cli.plugins import plugins
from maetoolkit.cli.pretrain import pretrain
from maetoolkit.cli.report import report
from maetoolkit.cli.schema import schema
from maetoolkit.cli.show import show
from maetoolkit.errors import ConfigError, DataError

ALLOW = "MAETOOLKIT_PLUGINS"  # as in maetoolkit.plugins, which costs an import
COMMANDS: dict[str, click.Command] = {
    "pretrain": pretrain, "show": show, "plugins": plugins, "schema": schema, "report": report, "export": export,
}  # fmt: skip


class Maetool(click.Group):
    """The registered commands; errors a user can cause become one message and exit code 2 (recipe) or 1 (data)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands in their order, then those of plugins."""
        return list(_offered())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """A command by name; built-in ones are always there, whatever a plugin claims."""
        return COMMANDS.get(name) or _offered().get(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            ctx.fail(f"unknown command {args[0]!r}; {hint}commands are: {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an interrupt ends with 130, as shells expect."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            click.echo(str(interrupt) or "interrupted", err=True)
            ctx.exit(130)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> Any:
        """Entry point; the one place where errors become messages and exit codes."""
        try:
            return super().main(args, *rest, **settings)
        except (ConfigError, DataError) as error:
            click.echo(str(error), err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)


def _offered() -> Mapping[str, click.Command]:
    """All commands by name; where nothing is installed besides, they are known without asking the registry."""
    from importlib_metadata import entry_points

    if os.environ.get(ALLOW) == "" or not entry_points(group="maetoolkit"):
        return COMMANDS
    from maetoolkit.plugins import registry

    return {**COMMANDS, **{name: command for name, command in registry().commands.items() if name not in COMMANDS}}


def _without_plugins(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ[ALLOW] = ""  # the environment, so that worker processes follow


@click.group(cls=Maetool, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--no-plugins", is_flag=True, is_eager=True, expose_value=False, callback=_without_plugins,
    help="Load built-ins only, no installed plugin.",
)  # fmt: skip
@click.version_option(package_name="maetoolkit", prog_name="maetool")
def main() -> None:
    """Masked autoencoders for any set of modalities."""
