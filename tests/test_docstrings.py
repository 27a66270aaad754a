"""Everything public says what it is: modules, classes, functions, methods and what `__all__` names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "scenewright"
SOURCES = sorted(SOURCE.rglob("*.py"))

Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

INHERITED = {"forward"}
"""Methods whose meaning a base class of another package documents; ours say it in the class."""


def is_public(name: str) -> bool:
    """Whether a name is meant for others."""
    return not name.startswith("_")


def public(tree: ast.Module) -> Iterator[tuple[str, Defined]]:
    """Public classes, functions and methods of a module with their dotted names; overloads once."""
    for node in tree.body:
        if not isinstance(node, Defined) or not is_public(node.name):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Defined) and is_public(inner.name):
                    yield f"{node.name}.{inner.name}", inner


def _is_setter_or_overload(node: Defined) -> bool:
    return any(ast.unparse(mark).endswith((".setter", "overload")) for mark in node.decorator_list)


def missing_in(path: Path) -> list[str]:
    """Public names of a file without a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    where = path.relative_to(ROOT)
    found = [] if ast.get_docstring(tree) else [f"{where}: the module"]
    for name, node in public(tree):
        method = "." in name
        if (method and node.name in INHERITED) or _is_setter_or_overload(node):
            continue
        if not ast.get_docstring(node):
            found.append(f"{where}:{node.lineno} {name}")
    return found


def test_public_names_have_docstrings() -> None:
    wrong = [line for path in SOURCES for line in missing_in(path)]
    assert not wrong, "\n".join(wrong)


def test_docstrings_begin_with_a_sentence() -> None:
    """The first paragraph starts on the first line, so that lists of names can show it."""
    wrong = []
    for path in SOURCES:
        for name, node in public(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.get_docstring(node, clean=False)
            if text is not None and not text.split("\n")[0].strip():
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not wrong, "\n".join(wrong)


PACKAGES = [
    ".".join(("scenewright", *path.parent.relative_to(SOURCE).parts))
    for path in SOURCES
    if path.name == "__init__.py" and "__all__" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_exist_and_are_documented(name: str) -> None:
    package = importlib.import_module(name)
    for exported in package.__all__:
        value = getattr(package, exported)
        if callable(value):
            assert value.__doc__, f"{name}.{exported}"
    assert len(set(package.__all__)) == len(package.__all__)
    assert set(package.__all__) <= set(dir(package))
