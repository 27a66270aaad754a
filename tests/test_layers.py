"""What may import what, and how long things may be: the rules of docs/concepts/architecture.md, checked on
the source itself."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "scenewright"

LAYERS = (
    ("errors",),
    ("scene",),
    ("backbone",),
    ("world", "condition", "ground", "segment", "plan", "annotate", "evaluate"),
    ("models", "data"),
    ("flows", "convert"),
    ("train",),
    ("batch",),
    ("cli", "web"),
)
"""From the bottom up; a part imports only from rows above its own here. The first two rows are layer 0."""

OUTSIDE = {"testing", "__main__", "__init__"}
"""Entry points and helpers for users; no part of the package may import them."""

RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}
SOURCES = sorted(SOURCE.rglob("*.py"))
CLI = SOURCE / "cli"
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "scipy")
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 80


def part_of(path: Path) -> str:
    """Folder (or file) of the package that a source file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> list[str]:
    """Dotted name of a source file, as a list."""
    parts = ["scenewright", *path.relative_to(SOURCE).with_suffix("").parts]
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Absolute names that a file imports anywhere, the line, and whether it happens on loading."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or typing_only:
            late.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno, node not in late
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            if base == "scenewright":
                for name in node.names:
                    yield f"scenewright.{name.name}", node.lineno, node not in late
            else:
                yield base, node.lineno, node not in late


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_part_has_a_layer() -> None:
    parts = {part_of(path) for path in SOURCES}
    assert parts - set(RANK) - OUTSIDE == set()
    assert {"scene", "backbone", "condition", "models", "cli"} <= parts


def test_imports_go_down() -> None:
    wrong = []
    for path in SOURCES:
        own = part_of(path)
        if own in OUTSIDE:
            continue
        for name, line, _ in imports(path):
            if not name.startswith("scenewright."):
                continue
            other = name.split(".")[1]
            place = f"{path.relative_to(ROOT)}:{line} imports {name}"
            if other in OUTSIDE:
                wrong.append(f"{place}: only tests and users may")
            elif other in RANK and other != own and RANK[other] >= RANK[own]:
                wrong.append(f"{place}: {other} is not below {own}")
    assert not wrong, "\n".join(wrong)


def test_scene_needs_numpy_only() -> None:
    """Pillow is the one other package, and only where pictures are read, drawn or resized, and late."""
    pillow = {"io.py", "draw.py", "sheet.py", "text.py"}
    wrong = []
    for path in (SOURCE / "scene").rglob("*.py"):
        for name, line, at_once in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in ("scenewright", "numpy", "__future__"):
                continue
            late_reader = not at_once and (
                (top == "PIL" and path.name in pillow) or (top == "yaml" and path.name == "vocabulary.py")
            )
            if not late_reader:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_commands_import_torch_late() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in [*CLI.rglob("*.py"), SOURCE / "__init__.py", SOURCE / "errors.py"]
        for name, line, at_once in imports(path)
        if at_once and name.split(".")[0] in (*HEAVY, "numpy", "PIL")
    ]
    assert not wrong, "\n".join(wrong)


def test_one_place_chooses_the_device() -> None:
    """The name of one maker's device appears where devices are chosen and nowhere else."""
    allowed = {SOURCE / "models" / "load.py"}
    wrong = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path not in allowed and part_of(path) != "batch" and "cuda" in path.read_text(encoding="utf-8")
    ]
    assert not wrong


@pytest.mark.parametrize("bad", ["utils.py", "misc.py", "common.py", "helpers.py"])
def test_no_file_without_a_subject(bad: str) -> None:
    assert not list(SOURCE.rglob(bad))


def test_files_and_functions_are_short() -> None:
    wrong = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if (lines := len(text.splitlines())) > LINES_PER_FILE:
            wrong.append(f"{name}: {lines} lines")
        for function in functions(ast.parse(text)):
            if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > LINES_PER_FUNCTION:
                wrong.append(f"{name}:{function.lineno} {function.name}: {lines} lines")
    assert not wrong, "\n".join(wrong)


def test_commands_are_thin() -> None:
    """One file per command, of 60 lines at most; what they share is in files of its own."""
    shared = {"main.py", "commands.py", "options.py", "outcomes.py", "partners.py", "progress.py"}
    shared |= {"report.py"}
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in CLI.glob("*.py")}
    assert {name: lines for name, lines in sizes.items() if name not in shared and lines > 60} == {}


def test_nothing_unfinished() -> None:
    marks = ("NotImplementedError", "TODO", "FIXME", "XXX")
    wrong = [
        f"{path.relative_to(ROOT)}: {mark}"
        for path in SOURCES
        for mark in marks
        if mark in path.read_text(encoding="utf-8")
    ]
    assert not wrong


def _python(code: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds the source."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, *more, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, scenewright, scenewright.scene, scenewright.train.recipe;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


HELP = """
import sys
from scenewright.cli.main import main
sys.argv = ["scenewright", {arguments}]
try:
    main()
except SystemExit as end:
    code = end.code
print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", ['"--help"', '"generate", "--help"', '"train", "--help"'])
def test_help_does_not_import_torch(arguments: str) -> None:
    done = _python(HELP.format(arguments=arguments, heavy=HEAVY))
    assert done.stderr.strip().splitlines()[-1] in ("[] 0", "[] None"), done.stderr
    assert "Usage" in done.stdout


def test_help_is_quick() -> None:
    """The processor time of `scenewright --help`, best of three: what it costs on an idle machine."""
    code = (
        "import sys, time; sys.argv = ['scenewright', '--help']\n"
        "from scenewright.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('seconds', time.process_time(), file=sys.stderr)"
    )
    found = []
    for _ in range(3):
        began = time.perf_counter()
        done = _python(code)
        assert done.returncode == 0, done.stderr
        found.append(float(done.stderr.split("seconds")[-1]))
        assert time.perf_counter() - began < 30
    assert min(found) < 0.3, found
