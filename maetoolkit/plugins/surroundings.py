"""What a plugin finds as it is loaded, and what is put back after it: its output goes to where errors are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def kept() -> Iterator[list[str]]:
    """Standard output and error and the working directory are after this what they were before.

    Meanwhile what is printed goes to standard error, as what a command prints may be read by a program.
    The list says at the end what had been changed.
    """
    out, error, folder = sys.stdout, sys.stderr, _folder()
    changed: list[str] = []
    sys.stdout = error
    try:
        yield changed
    finally:
        changed += [f"sys.{name}" for name in ("stdout", "stderr") if getattr(sys, name, None) is not error]
        sys.stdout, sys.stderr = out, error
        if folder is not None and _folder() != folder:
            changed.append("the working directory")
            with suppress(OSError):  # it has been removed meanwhile
                os.chdir(folder)


def _folder() -> Path | None:
    """The working directory; None where it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None
