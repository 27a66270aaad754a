"""The documentation says what the code does: pages are current, examples run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from documents import PAGES, ROOT, anchors, blocks, commands, links, prose

REFERENCE = ROOT / "docs" / "reference"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate.py."""
    return _generator()


@pytest.fixture(scope="module")
def known(generator: ModuleType) -> dict[str, set[str]]:
    """Every command with the names of its options."""
    found = {}
    for name, command, context in generator.commands():
        options = {"--help"}
        for param in command.get_params(context):
            options |= {*param.opts, *param.secondary_opts}
        found[name] = options
    return found


@pytest.mark.parametrize("name", ["cli.md", "python.md", "recipes.md", "scene-schema.md"])
def test_generated_pages_are_current(generator: ModuleType, name: str) -> None:
    path = REFERENCE / name
    assert path.is_file(), "run: make docs"
    assert path.read_text(encoding="utf-8") == generator.pages()[path], f"{name} is stale; run: make docs"


def test_every_command_and_option_is_documented(known: dict[str, set[str]]) -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    sections = {part.split("\n")[0].strip(): part for part in re.split(r"^## ", text, flags=re.M)}
    assert {"scenewright generate", "scenewright demo", "scenewright train"} <= set(known)
    for name, options in known.items():
        assert name in sections, name
        for option in options - {"--help"}:
            if option.startswith("-"):
                assert f"`{option}`" in sections[name], f"{name} {option}"


def test_every_option_has_help(generator: ModuleType) -> None:
    wrong = [
        f"{name} {names}"
        for name, command, context in generator.commands()
        for names, _, words in generator.options(command, context)
        if not words
    ]
    assert not wrong


def test_every_recipe_is_documented() -> None:
    from scenewright.train.recipes import descriptions

    page = (REFERENCE / "recipes.md").read_text(encoding="utf-8")
    for name, words in descriptions().items():
        assert f"`{name}`" in page and words, name


def test_public_names_are_documented() -> None:
    import scenewright

    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    assert [name for name in scenewright.__all__ if f"`{name}`" not in page] == []


def test_lists_in_the_guides_are_complete() -> None:
    from scenewright import errors
    from scenewright.backbone.schedulers import SCHEDULERS
    from scenewright.data.detect import FORMATS
    from scenewright.scene.vocabulary import available

    where = {
        "docs/guides/formats.md": list(FORMATS),
        "docs/guides/generate.md": list(SCHEDULERS),
        "docs/guides/scenes.md": list(available()),
        "docs/reference/errors.md": [name for name in vars(errors) if name.endswith("Error")],
    }
    for page, names in where.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert [name for name in names if f"`{name}`" not in text and f"{name} " not in text] == [], page


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(
    page: Path, model_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page run one after the other in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        code = block.text.replace('"nano+gligen"', repr(model_name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, block.name, "exec"), space)


def test_design_lines_run(model_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the package's own docstring."""
    import scenewright as sw

    monkeypatch.chdir(tmp_path)
    sw.Scene("two cats", (128, 128), (sw.Instance("a cat", box=sw.Box(0.1, 0.3, 0.5, 0.9)),)).write(
        "two-cats.scene.json"
    )
    lines = [line.strip() for line in (sw.__doc__ or "").splitlines() if line.startswith("    ")]
    assert len(lines) == 5
    exec("\n".join(lines).replace('"nano+gligen"', repr(model_name)), {})
    saved = list(Path("out").glob("*.png"))
    assert len(saved) == 1
    assert sw.Record.load(saved[0]).scene.prompt == "two cats"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path, known: dict[str, set[str]]) -> None:
    """Commands that a page shows exist, with all their options."""
    for where, line in commands(page):
        text = re.split(r"\s{2,}", line.split(" #")[0])[0]
        words = shlex.split(text.replace("…", "x").removeprefix("accelerate launch -m "))
        name = words[0]
        rest = words[1:]
        while rest and f"{name} {rest[0]}" in known:
            name = f"{name} {rest.pop(0)}"
        assert (name in known and name != "scenewright") or set(rest) <= {"--help", "--version"}, (
            f"{where}: {line}"
        )
        wrong = [w for w in rest if w.startswith("--") and w.split("=")[0] not in known[name]]
        assert not wrong, f"{where}: {line}: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_json_blocks_are_scenes(page: Path) -> None:
    from scenewright.scene import Scene

    for block in blocks(page, "json"):
        Scene.from_json(json.loads(block.text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path, weights_are_here: bool) -> None:
    for target in links(page):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not weights_are_here and found.name == "demo.png":
            continue  # comes with the weights
        assert found.exists(), f"{page.relative_to(ROOT)} -> {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.relative_to(ROOT)} -> {target}"


def test_every_page_is_reachable() -> None:
    """From the README, by links."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [(page.parent / target.split("#")[0]).resolve() for target in links(page)]
    missing = [str(page.relative_to(ROOT)) for page in PAGES if page not in seen]
    assert [name for name in missing if name.startswith("docs/")] == []


def test_first_lines_of_the_readme() -> None:
    """One sentence, one picture, one install line, one command, what it prints, what this is not."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:30]
    text = "\n".join(lines)
    sentence = next(line for line in lines[1:] if line)
    assert lines[0] == "# Scenewright" and sentence.count(". ") == 0 and sentence.endswith(".")
    assert len(re.findall(r"^!\[.+\]\(.+\.png\)$", text, flags=re.M)) == 1
    assert len(re.findall(r"^pip install .+$", text, flags=re.M)) == 1
    assert len(re.findall(r"^scenewright .+$", text, flags=re.M)) == 1
    for words in ("make demo", "make test", "prints", "What this is not", "3.11"):
        assert words in text, words
    assert "badge" not in (ROOT / "README.md").read_text(encoding="utf-8")


def test_tree_of_the_readme() -> None:
    """The tree names every part of the package, and nothing that does not exist."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = blocks(ROOT / "README.md", "")[-1].text
    assert text.rstrip().endswith("```")
    folders, named = [ROOT], set()
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, purpose = line.strip().partition(" ")
        path = folders[depth] / name
        assert path.exists(), name
        assert purpose or name == "src/scenewright/", name
        folders[depth + 1 :] = [path]
        named.add(path)
    package = ROOT / "src" / "scenewright"
    parts = [path for path in package.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))]
    assert [path.name for path in parts if path not in named] == []


def test_papers_have_bibtex_and_licences() -> None:
    page = ROOT / "docs" / "papers.md"
    entries = "".join(block.text for block in blocks(page, "bibtex"))
    keys = re.findall(r"^@\w+\{(\w+),$", entries, flags=re.M)
    assert len(keys) == len(set(keys)) >= 15
    assert entries.count("{") == entries.count("}")
    methods = (
        "GLIGEN",
        "InstanceDiffusion",
        "Grounded Diffusion",
        "Seg-diffusion",
        "DGInStyle",
        "CLIP",
        "Latent",
    )
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)[1:]:
        if section.startswith(methods):
            assert "*Licence" in section and "```bibtex" in section, section.split("\n")[0]


def test_spelling_is_british() -> None:
    wrong = re.compile(r"\b(colors?|behaviors?|gray|neighbors?|centers?|optimizer|favor)\b", re.IGNORECASE)
    for page in PAGES:
        if page.name not in ("python.md", "papers.md"):
            assert not (found := wrong.findall(prose(page))), f"{page.relative_to(ROOT)}: {found}"
