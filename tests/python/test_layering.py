"""The package's modules use each other in one direction only."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import stokehold

Graph = dict[str, set[str]]


class _Imports(ast.NodeVisitor):
    """The imports of a module, wherever in its code, but for those that only type checkers see."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[ast.Import | ast.ImportFrom] = []
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found.append(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)


def _graph(files: dict[str, str]) -> Graph:
    """Returns which module imports which, for files given by path below the package."""
    parts = {path: ["stokehold", *Path(path).with_suffix("").parts] for path in files}
    names = {path: ".".join(part for part in parts[path] if part != "__init__") for path in files}
    graph: Graph = {name: set() for name in names.values()}
    for path, text in files.items():
        for node in _Imports(ast.parse(text)).found:
            base: list[str] = []
            if isinstance(node, ast.ImportFrom):
                parents = parts[path][: -node.level] if node.level else []
                base = [*parents, *filter(None, [node.module])]
            imported = [".".join([*base, alias.name]) for alias in node.names]
            # What is no module is a name in the module that holds it.
            known = (name if name in graph else name.rpartition(".")[0] for name in imported)
            graph[names[path]] |= {name for name in known if name in graph and name != names[path]}
    return graph


def _circle(graph: Graph) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _own() -> Graph:
    root = Path(stokehold.__file__).parent
    paths = [*root.rglob("*.py"), *root.rglob("*.pyi")]
    return _graph({path.relative_to(root).as_posix(): path.read_text() for path in paths})


def test_modules_form_no_circle() -> None:
    assert _circle(_own()) == []


def test_only_the_drop_in_knows_of_the_drop_in() -> None:
    graph = _own()
    drop_in = {name for name in graph if name.startswith("stokehold.torch")}
    assert {name: used & drop_in for name, used in graph.items() if name not in drop_in and used & drop_in} == {}
    assert len(drop_in) > 1
    assert "stokehold" in set().union(*(graph[name] for name in drop_in))


@pytest.mark.parametrize(
    ("batch", "loader"),
    [
        ("from stokehold.loader import Loader", "import stokehold.batch"),
        ("from stokehold import loader", "def f():\n    from stokehold.batch import Batch"),
        ("from .loader import Loader", "from . import batch"),
        ("import stokehold.loader as other", "from stokehold import batch"),
    ],
)
def test_a_circle_is_caught(batch: str, loader: str) -> None:
    graph = _graph({"__init__.py": "import numpy", "batch.py": batch, "loader.py": loader})
    assert set(_circle(graph)) == {"stokehold.batch", "stokehold.loader"}


def test_what_only_type_checkers_import_is_no_import() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from stokehold.loader import Loader"
    assert _graph({"batch.py": text, "loader.py": ""}) == {"stokehold.batch": set(), "stokehold.loader": set()}


def test_a_circle_with_the_package_is_caught() -> None:
    graph = _graph(
        {"__init__.py": "from .torch import f", "torch/__init__.py": "", "torch/memory.py": "from .. import f"}
    )
    assert graph["stokehold"] == {"stokehold.torch"}
    assert graph["stokehold.torch.memory"] == {"stokehold"}
    assert _circle(graph) == []
    assert _circle(graph | {"stokehold.torch": {"stokehold.torch.memory"}}) != []
