"""The two kinds of error a user can cause; a message names the place, what was expected and found, and the remedy."""

from __future__ import annotations


class ConfigError(ValueError):
    """A recipe, override, plugin or command line that cannot work (exit code 2)."""


class DataError(ValueError):
    """A file, folder or sample that cannot be used (exit code 1)."""
