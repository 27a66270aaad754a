"""What the repository as a whole promises: versions agree, files ship, nothing names a machine."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXT = (".py", ".md", ".toml", ".sh", ".json", ".txt", ".yml", ".yaml", ".cff", ".ipynb", "")
LEFT_OUT = {".git", ".venv", "demo", "out", "build", "dist", "wandb"}


def tracked() -> list[Path]:
    """Files of the repository; without git, everything that is not made by a command."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    found = [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in found if not LEFT_OUT & set(path.relative_to(ROOT).parts)]


def read(path: Path) -> str:
    """The text of a file, empty for pictures and weights."""
    if path.suffix not in TEXT:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def test_no_machine_paths() -> None:
    """No file names a folder of the machine it was written on."""
    words = [r"/home/[a-z]\w*/", r"/Users/\w+/", r"(?<![\w.])/root/", r"[A-Z]:\\\\Users"]
    around = ROOT.parent
    if len(around.parts) > 1 and around != Path(tempfile.gettempdir()):
        words.append(re.escape(f"{around}/"))
    pattern = re.compile("|".join(words))
    allowed = re.compile(r"/home/(me|user|you)/")
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in tracked()
        if path.name != Path(__file__).name
        for found in pattern.finditer(read(path))
        if not allowed.fullmatch(found.group())
    ]
    assert not wrong, "\n".join(wrong)


def test_versions_agree() -> None:
    version = PROJECT["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changelog, flags=re.M)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert newest and newest[1] == version
    assert f"\nversion: {version}\n" in citation and f"date-released: {newest[2]}\n" in citation

    try:
        installed = importlib.metadata.version("scenewright")
    except importlib.metadata.PackageNotFoundError:
        return  # run from the source folder without installing
    assert installed == version


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_everything_in_the_package_is_shipped() -> None:
    """Each file below src/scenewright is Python or matches a pattern of package-data."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["scenewright"]
    package = ROOT / "src" / "scenewright"
    names = [path.relative_to(package).as_posix() for path in tracked() if package in path.parents]
    globs = [pattern.removeprefix("**/") for pattern in patterns]
    missing = [
        name
        for name in names
        if not name.endswith(".py") and not any(fnmatch.fnmatch(Path(name).name, glob) for glob in globs)
    ]
    assert names and not missing
    folders = {str(Path(name).parent) for name in names if name.endswith(".py")}
    assert [folder for folder in sorted(folders) if not (package / folder / "__init__.py").is_file()] == []


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, sign, version = line.partition("==")
            assert sign and re.fullmatch(r"[\w.]+", version), f"not a plain pin: {line}"
            found[_canonical(name)] = version
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned() -> None:
    """Those of pyproject.toml, and what they need in turn, as far as it is installed."""
    from packaging.requirements import Requirement

    asked = PROJECT["project"]["dependencies"]
    asked += [one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra]
    waiting, seen = [Requirement(text) for text in asked], set()
    missing = set()
    while waiting:
        one = waiting.pop()
        if (key := (_canonical(one.name), frozenset(one.extras))) in seen:
            continue
        seen.add(key)
        if key[0] not in pins():
            missing.add(one.name)
        try:
            needs = importlib.metadata.requires(one.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for text in needs:
            need = Requirement(text)
            extras = [{"extra": word} for word in {"", *one.extras}]
            if need.marker is None or any(need.marker.evaluate(extra) for extra in extras):
                waiting.append(need)
    assert {name for name in missing if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()
    assert pins()["torch"] == "2.13.0"


def test_makefile_has_what_the_readme_names() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "test-all", "docs", "clean"):
        assert re.search(rf"^{target}:", text, flags=re.M), target
    assert "constraints.txt" in text


def test_continuous_integration_is_a_script() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text and "\nmake demo |" in text and "\nmake test " in text


def test_examples_are_scenes() -> None:
    """Every scene that ships is read, has a name of its own, and asks for something."""
    from scenewright.scene import Scene

    paths = [path for path in tracked() if path.name.endswith(".scene.json") and "tests" not in path.parts]
    assert len({path.name for path in paths}) == len(paths) >= 12
    for path in paths:
        scene = Scene.read(path)
        assert scene.prompt, path


def test_coming_from_has_every_command(data_dir: Path) -> None:
    """One row per command of the five projects, with every option, and ours or the issue that brings it."""
    page = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
    rows = [line.split(" | ", 1) for line in page.splitlines() if line.startswith("| `")]
    projects = json.loads((data_dir / "readme_examples.json").read_text(encoding="utf-8"))
    commands = [
        one for project in projects.values() if isinstance(project, dict) for one in project["commands"]
    ]
    assert len(commands) == len(rows)
    for command in commands:
        row = [pair for pair in rows if pair[0].startswith(f"| `{command['script']}`")]
        assert len(row) == 1, command["script"]
        theirs, ours = row[0]
        assert re.search(r"`(accelerate launch -m )?scenewright |#\d", ours), command["script"]
        for option in command["options"]:
            plain = theirs.replace("\\|", "|") + ours
            for word in re.findall(r"--[\w-]+", option) or [option]:
                assert word in plain, f"{command['script']}: {word}"


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "NOTICE"])
def test_front_matter(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8")) > 200


def test_every_test_file_has_a_name_of_its_own() -> None:
    """Two files of one name in two folders end the whole run before the first test (pytest's default)."""
    names = [path.name for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")]
    assert sorted(name for name in set(names) if names.count(name) > 1) in ([], ["conftest.py"])
