"""The commands and their options are frozen: tests/cli/options.txt changes only on purpose.

After such a change: ``python tests/cli/test_options.py > tests/cli/options.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scenewright.cli.commands import COMMANDS, load

FROZEN = Path(__file__).with_name("options.txt")


def lines() -> Iterator[str]:
    """One line per option and argument of every command."""
    for name in COMMANDS:
        yield from of_command(name, load(name))


def of_command(path: str, command: Any) -> Iterator[str]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from of_command(f"{path} {name}", inner)
    if getattr(command, "commands", None):
        return
    for one in command.params:
        words = "/".join([*one.opts, *one.secondary_opts])
        if words == "--help":
            continue
        many = " repeated" if one.multiple or one.nargs == -1 else ""
        flag = " flag" if getattr(one, "is_flag", False) else ""
        kind = "" if words.startswith("-") else " argument"
        shown = "" if flag or many or one.default in (None, "") else f" = {one.default}"
        yield f"{path} {words}{kind}{many}{flag}{shown}"


def test_options_are_as_frozen() -> None:
    assert list(lines()) == FROZEN.read_text(encoding="utf-8").splitlines()


def test_every_option_has_help() -> None:
    def check(path: str, command: Any) -> list[str]:
        inner = getattr(command, "commands", {})
        if inner:
            return [line for name, one in inner.items() for line in check(f"{path} {name}", one)]
        return [f"{path} {one.name}" for one in command.params if not (one.help or "").strip()]

    assert [line for name in COMMANDS for line in check(name, load(name))] == []


def test_drawing_pictures_has_all_its_options() -> None:
    wanted = (
        "--prompt --model --steps --guidance --negative --gate --scheduler --size --seed --count --batch "
        "--device --dtype --overflow --out --json --no-layout --allow-other-backbone --overwrite --format "
        "--ground --head --classes --ground-rule --ground-threshold --cutouts --compare-detector"
    )
    found = {one for param in load("generate").params for one in param.opts}
    assert set(wanted.split()) <= found


if __name__ == "__main__":
    print("\n".join(lines()))
