"""Plugins: what is installed, who offers it, and what is broken; for their authors `hookimpl` and `nested`."""

from maetoolkit.hookspecs import hookimpl
from maetoolkit.plugins.installed import Entry, load, registry
from maetoolkit.plugins.kinds import Kind, Plugin, Registry
from maetoolkit.plugins.nested import Nested, nested

__all__ = ["Entry", "Kind", "Nested", "Plugin", "Registry", "hookimpl", "load", "nested", "registry"]
