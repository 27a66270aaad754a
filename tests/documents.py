"""Reading the documentation: its files, code blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" if none), text and first line (1-based) in the page."""

    page: Path
    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages."""
    found, start, language, lines = [], 0, "", list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            if start:
                found.append(Block(page, language, "\n".join(lines) + "\n", start + 1))
                start = 0
            else:
                start, language, lines = number, line[3:].strip(), []
        elif start:
            lines.append(line)
    assert not start, f"{page}:{start}: a block is not closed"
    return [block for block in found if block.language in languages]


def prose(page: Path) -> str:
    """The page without its fenced blocks and without `code`."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[str]:
    """Targets of the links and pictures of a page."""
    yield from re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """The names that headings of a page can be linked by."""
    found = set()
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            words = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(words.replace(" ", "-"))
    return found


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """(where, command line) of every `scenewright` command shown in a page."""
    for block in blocks(page, "", "sh"):
        for line in block.text.splitlines():
            if line.startswith(("scenewright ", "accelerate launch -m scenewright ")):
                yield block.name, line
    for text in re.findall(r"`(scenewright [^`]+)`", page.read_text(encoding="utf-8")):
        yield str(page.relative_to(ROOT)), text.replace("\\|", "|")
