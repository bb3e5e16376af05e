"""Parity tests cannot pass by having nothing to compare with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import golden_files
import pytest
from golden_files import SHIPPED, check_folder


@pytest.mark.skipif("MAETOOLKIT_GOLDEN" in os.environ, reason="another folder was asked for")
@pytest.mark.parametrize("stem", SHIPPED)
def test_a_shipped_golden_file_is_there(stem: str) -> None:
    for suffix in (".json", ".safetensors"):
        assert (golden_files.FOLDER / f"{stem}{suffix}").is_file()


def test_all_that_is_shipped_is_expected() -> None:
    folder = Path(__file__).parent / "golden"
    assert sorted(path.stem for path in folder.glob("*.safetensors")) == sorted(SHIPPED)


def test_a_folder_without_golden_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_folder(tmp_path / "no")
    (tmp_path / "mae_case.safetensors").write_bytes(b"")  # without its description
    with pytest.raises(FileNotFoundError, match="no golden file"):
        check_folder(tmp_path)
    (tmp_path / "mae_case.json").write_text("{}")
    check_folder(tmp_path)


def test_a_shipped_file_that_is_absent_fails_rather_than_skips(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    monkeypatch.setattr(golden_files, "GIVEN", None)
    with pytest.raises(pytest.fail.Exception, match="mae_weights"):
        golden_files.golden("mae_weights")
    with pytest.raises(pytest.skip.Exception):
        golden_files.golden("multimae_criterion")


def test_pytest_fails_where_the_variable_names_an_empty_folder(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(Path(__file__).parent / "test_units.py"),
    ]
    done = subprocess.run(
        words, env={**os.environ, "MAETOOLKIT_GOLDEN": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode not in (0, 5), done.stdout
    assert str(tmp_path) in done.stdout
