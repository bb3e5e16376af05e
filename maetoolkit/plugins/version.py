"""The version of the plugin API: what a plugin says it was made for, and whether this toolkit has it."""

from __future__ import annotations

import sys
from typing import Any

from maetoolkit.hookspecs import API

DECLARED = "MAETOOLKIT_API"
Versions = tuple[int, int]


def declared(plugin: Any) -> Versions | None:
    """Lowest and highest API version that a plugin's module (or object, or its module) declares; None: none at all.

    `MAETOOLKIT_API = 1` or a pair (lowest, highest). Raises TypeError where it is neither.
    """
    module = sys.modules.get(getattr(plugin, "__module__", None) or type(plugin).__module__)
    value = getattr(plugin, DECLARED, getattr(module, DECLARED, None))
    if value is None:
        return None
    pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, tuple | list) else ()
    if len(pair) != 2 or any(type(each) is not int for each in pair) or not 0 < pair[0] <= pair[1]:
        raise TypeError(f"{DECLARED} must be a whole number or a pair (lowest, highest), found {value!r}")
    return pair[0], pair[1]


def refusal(versions: Versions, distribution: str) -> str | None:
    """Why a plugin made for these versions cannot be used here, and the remedy; None where it can."""
    lowest, highest = versions
    if lowest <= API <= highest:
        return None
    made_for = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    remedy = "pip install --upgrade maetoolkit" if lowest > API else f"pip install --upgrade {distribution}"
    return f"it is made for plugin API {made_for}, this maetoolkit has API {API}; {remedy}"
