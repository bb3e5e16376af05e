"""Writing documents: YAML that reads back as what was written, here and in YAML 1.1 tools."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from maetoolkit.train.document import scalar

BREAKS = set("\x85\u2028\u2029")  # line breaks to YAML 1.1, which a reader would make spaces of


class _Dumper(yaml.SafeDumper):
    """Block style with short lists in one line; quotes text that any YAML version would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    plain = isinstance(_scalar(value), str) and not set(value) & BREAKS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


def _scalar(text: str) -> Any:
    try:
        return scalar(text)
    except ValueError:
        return None


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flow = all(not isinstance(item, list | dict) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value) if math.isfinite(value) else {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[str(value)]
    if "e" in text and "." not in text.split("e")[0]:
        text = text.replace("e", ".0e")  # 1e-06 is text to YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(float, _float)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Plain values (mappings, lists, text, numbers, booleans, null) as YAML text, keys in the given order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One line `key: old -> new` for every setting in which two documents differ."""
    lines = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return lines
