"""Names of the package: each is where it is said to be, and nothing is imported before it is asked for."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import stokehold as sh


def _told_to_checkers() -> set[str]:
    """What type checkers are told that the package has."""
    block = ast.parse(Path(sh.__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    names: set[str] = set()
    for node in block:
        if isinstance(node, ast.Assign):
            names |= set(ast.literal_eval(node.value))
        elif isinstance(node, ast.AugAssign):
            assert isinstance(node.value, ast.Attribute)
            assert isinstance(node.value.value, ast.Name)
            (module,) = [
                f"{origin.module}.{name.name}"
                for origin in block
                if isinstance(origin, ast.ImportFrom)
                for name in origin.names
                if name.name == node.value.value.id
            ]
            names |= set(importlib.import_module(module).__all__)
    return names


def test_checkers_are_told_the_names_that_there_are() -> None:
    assert _told_to_checkers() == set(sh.__all__)
    assert len(set(sh.__all__)) == len(sh.__all__)


@pytest.mark.parametrize("name", sh.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(sh, name) is not None
    assert name in dir(sh)


def test_modules_are_reached_through_the_package() -> None:
    program = "import stokehold as sh; print(sh.transforms.Resize is sh.Resize, sh.mix.MixUp is sh.MixUp)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"True True\n"


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'stokehold' has no attribute 'Resise'"):
        sh.Resise  # type: ignore[attr-defined] # noqa: B018


def test_a_coordinator_imports_little() -> None:
    """Its imports are part of the time to the first batch."""
    program = (
        "import sys; from stokehold.user import begin; print(*[name for name in sys.modules if 'stokehold' in name])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert [name for name in told if not name.startswith(("stokehold.user", "stokehold._native"))] == ["stokehold"]
