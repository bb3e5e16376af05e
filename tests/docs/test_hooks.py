"""docs/hooks.md is made of the code, and what it shows works."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from maetoolkit.cli.plugins_hooks import document, section
from maetoolkit.hookspecs import HOOKS, Hooks
from maetoolkit.plugins import load

DOCUMENT = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_the_document_is_that_of_the_code() -> None:
    assert DOCUMENT.read_text() == document(), "run: maetool plugins hooks > docs/hooks.md"


@pytest.mark.parametrize("kind", HOOKS)
def test_every_hook_has_a_section_with_signature_purpose_result_and_example(kind: str) -> None:
    (body,) = [part for part in document().split("\n## ") if part.startswith(f"maetoolkit_{kind}\n")]
    signature, says = [part for part in body.split("\n\n") if part][1:3]
    assert signature.startswith(f"`maetoolkit_{kind}() -> Mapping[str, ")
    assert len(says) > 20
    assert "Called" in body
    assert "Returns, by name, " in body
    assert "```python" in body


@pytest.mark.parametrize("text", ["", "Only words.", "Words.\n\nExample:\n", "\nExample:\n    code = 1"])
def test_a_hook_that_is_not_documented_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="maetoolkit_new: expected a docstring"):
        section("maetoolkit_new", inspect.signature(lambda: None), text)


@pytest.mark.parametrize("kind", HOOKS)
def test_the_example_of_a_hook_is_a_plugin_that_loads(kind: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"example_of_{kind}"
    code = inspect.cleandoc(getattr(Hooks, f"maetoolkit_{kind}").__doc__ or "").partition("\nExample:\n")[2]
    (tmp_path / f"{name}.py").write_text(inspect.cleandoc("\n" + code))
    (tmp_path / "rgb-thermal.yaml").write_text("base: quickstart\n")

    def imported() -> ModuleType:
        __import__(name)
        return sys.modules[name]

    entry = SimpleNamespace(name=name, dist=SimpleNamespace(name=name, version="1"), load=imported)
    found = load([entry]).plugins[-1]
    assert (found.status, found.reason) == ("loaded", "")
    assert len(found.offers[kind]) == 1
    if kind == "cases":
        from maetoolkit.testing import ModalityCase

        assert all(isinstance(make(), ModalityCase) for make in found.offers[kind].values())
