"""Documents: small safe YAML, where each key came from, inheritance and dotted overrides.

The language is one YAML document of mappings, lists and YAML 1.2 core scalars: `1e-4` is a number, `no` is a string.
There are no tags, no merge keys, no duplicate keys, at most 64 levels, 1 MB and 100 aliases. Nothing in a file can run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from maetoolkit.errors import ConfigError

Place = tuple[str | int, ...]

MAX_BYTES, MAX_DEPTH, MAX_ALIASES, MAX_NODES = 1_000_000, 64, 100, 20_000
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


@dataclass
class Document:
    """Nested values, and where each was written: path of keys -> `file:line` or `command line: key=value`."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Place, str] = field(default_factory=dict)

    def place(self, path: Place) -> str:
        """Where `path`, or the nearest thing around it that was written down, comes from."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


def scalar(text: str) -> Any:
    """The value of a plain scalar by YAML 1.2's core rules. Raises ValueError for numbers beyond reason."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    based = _OCT_HEX.fullmatch(text)
    if based or _INT.fullmatch(text):
        if len(text) > 1000:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text[2:], 8 if text[1] == "o" else 16) if based else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.lower().replace(".", ""))
    return text


def read_document(path: Path) -> Document:
    """Parse one file. Raises ConfigError naming file and line."""
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: expected a YAML file; found {'a folder' if path.is_dir() else 'nothing there'}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{str(path)!r}: cannot be read ({error})") from None
    return parse(data, str(path))


def parse(data: bytes | str, name: str) -> Document:
    """Parse YAML text; `name` stands for the file in messages. Raises ConfigError."""
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name}: found more than {MAX_BYTES:,} bytes; a recipe is a small file")
    return _Reader(name).document(data)


class _Reader:
    """Builds values from the parser's events; its recursion is bounded by MAX_DEPTH."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_aliases = 0
        self.num_nodes = 0
        self.anchors: dict[str, tuple[Any, dict[Place, str], int]] = {}
        self.places: dict[Place, str] = {}

    def document(self, data: bytes | str) -> Document:
        value: Any
        try:
            self.events: Iterator[Any] = yaml.parse(data, Loader=yaml.SafeLoader)
            next(self.events)
            event = next(self.events)
            if isinstance(event, yaml.StreamEndEvent):
                return Document({}, {(): self.name})
            value = self.node(next(self.events), (), 0)
            next(self.events)
            event = next(self.events)
            if not isinstance(event, yaml.StreamEndEvent):
                self.fail(event, "expected one document; remove the second `---`")
        except yaml.YAMLError as error:
            raise ConfigError(self.explain(error)) from None
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigError(f"{self.name}: expected a mapping (key: value); found {type(value).__name__}")
        return Document(value, self.places)

    def explain(self, error: yaml.YAMLError) -> str:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        return f"{self.name}{f':{mark.line + 1}' if mark else ''}: not valid YAML: {problem}"

    def fail(self, event: Any, message: str) -> None:
        raise ConfigError(f"{self.name}:{event.start_mark.line + 1}: {message}")

    def node(self, event: Any, path: Place, depth: int) -> Any:
        self.num_nodes += 1
        if depth > MAX_DEPTH:
            self.fail(event, f"nested deeper than {MAX_DEPTH} levels")
        if self.num_nodes > MAX_NODES:
            self.fail(event, f"more than {MAX_NODES:,} values; a recipe is a small file")
        self.places[path] = f"{self.name}:{event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        if event.tag is not None:
            self.fail(event, f"tag {event.tag!r} is not allowed; write plain values")
        start = self.num_nodes
        value: Any
        if isinstance(event, yaml.MappingStartEvent):
            value = self.mapping(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                value.append(self.node(item, (*path, len(value)), depth + 1))
        elif event.implicit[0]:
            try:
                value = scalar(event.value)
            except ValueError as error:
                self.fail(event, f"found {error}")
        else:
            value = event.value
        if event.anchor is not None:
            inside = {p[len(path) :]: place for p, place in self.places.items() if p[: len(path)] == path}
            self.anchors[event.anchor] = (value, inside, self.num_nodes - start + 1)
        return value

    def mapping(self, path: Place, depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        event: Any
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
                self.fail(event, "expected a plain word as key")
            key = event.value
            place = f"{self.name}:{event.start_mark.line + 1}"
            if key in value:
                self.fail(event, f"key {key!r} is given twice (first at {self.places[(*path, key)]}); keep one")
            value[key] = self.node(next(self.events), (*path, key), depth + 1)
            self.places[(*path, key)] = place
        return value

    def alias(self, event: Any, path: Place) -> Any:
        if event.anchor not in self.anchors:
            self.fail(event, f"alias *{event.anchor} stands for nothing defined above it")
        value, inside, size = self.anchors[event.anchor]
        self.num_aliases += 1
        self.num_nodes += size
        if self.num_aliases > MAX_ALIASES or self.num_nodes > MAX_NODES:
            self.fail(event, f"more than {MAX_ALIASES} aliases, or they unfold to more than {MAX_NODES:,} values")
        depth = max((len(p) for p in inside), default=0)
        if len(path) + depth > MAX_DEPTH:
            self.fail(event, f"nested deeper than {MAX_DEPTH} levels")
        here = self.places[path]
        self.places.update({(*path, *inner): here for inner in inside})
        return _copy(value)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def override(text: str) -> tuple[Place, Any, dict[Place, str]]:
    """Path and value of one `a.b.c=value`; `[...]`, `{...}` and quoted values are YAML, all else one plain scalar."""
    place = f"command line: {text if len(text) <= 80 else text[:77] + '...'}"
    key, separator, written = text.partition("=")
    if not separator or not _KEY.fullmatch(key):
        raise ConfigError(f"{place}: expected key=value with a dotted key, as in optimizer.lr=1e-4")
    path: Place = tuple(key.split("."))
    written = written.strip()
    if not written:
        raise ConfigError(f"{place}: found no value; write {key}=null to unset it")
    if written[0] not in "[{\"'":
        try:
            return path, scalar(written), {path: place}
        except ValueError as error:
            raise ConfigError(f"{place}: found {error}") from None
    try:
        inner = parse(f"value: {written}", "value")
    except ConfigError as error:
        raise ConfigError(f"{place}: {str(error).split(': ', 1)[1]}") from None
    if set(inner.values) != {"value"}:
        raise ConfigError(f"{place}: expected one value")
    return path, inner.values["value"], {(*path, *p[1:]): place for p in inner.places if p}


def from_overrides(overrides: Sequence[str]) -> Document:
    """All overrides as one document; of two for the same key the later one counts."""
    document = Document()
    for text in overrides:
        path, value, places = override(text)
        section = document.values
        for depth, key in enumerate(path[:-1]):
            inner = section.get(str(key))
            if not isinstance(inner, dict):
                inner = section[str(key)] = {}
            section = inner
            document.places.setdefault(path[: depth + 1], places[path])
        section[str(path[-1])] = value
        document.places.update(places)
    return document


def merge(
    low: Document,
    high: Document,
    alternatives: Sequence[tuple[str, str]] = (),
    fits: Callable[[Place, str, str], bool] = lambda path, type_name, key: True,
) -> Document:
    """`low` with the values of `high` laid over it, mapping by mapping.

    A null in `high` removes a mapping of `low`. Of two `alternatives` (steps, epochs) the one in `high` drives out the
    other in `low`. Where `high` changes a mapping's `type`, those keys of `low` are dropped for which
    `fits(path, new type, key)` is false.
    """
    places = dict(low.places)

    def lay(below: Mapping[str, Any], above: Mapping[str, Any], path: Place) -> dict[str, Any]:
        kept = dict(below)
        for pair in alternatives:
            for mine, other in (pair, pair[::-1]):
                if above.get(mine) is not None and other not in above:
                    kept.pop(other, None)
        new_type = above.get("type")
        if isinstance(new_type, str) and kept.get("type", new_type) != new_type:
            kept = {key: value for key, value in kept.items() if key == "type" or fits(path, new_type, key)}
        for key, value in above.items():
            here = (*path, key)
            if isinstance(value, dict) and isinstance(kept.get(key), dict):
                kept[key] = lay(kept[key], value, here)
                if here not in places and here in high.places:
                    places[here] = high.places[here]
                continue
            if value is None and isinstance(kept.get(key), dict):
                del kept[key]
            else:
                kept[key] = _copy(value)
            for old in [p for p in places if p[: len(here)] == here]:
                del places[old]
            places.update({p: place for p, place in high.places.items() if p[: len(here)] == here})
        return kept

    return Document(lay(low.values, high.values, ()), places)
