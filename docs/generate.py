"""Writes the generated pages of docs/reference: cli.md, python.md, recipes.md, scene-schema.md.

python docs/generate.py            # writes what is stale, names it
python docs/generate.py --check    # writes nothing, exits with 1 if something is stale
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "scenewright"
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Written by docs/generate.py (make docs); changes made here are lost. -->\n"


def pages() -> dict[Path, str]:
    """The text of every generated page by its path."""
    return {
        REFERENCE / "cli.md": cli_page(),
        REFERENCE / "python.md": python_page(),
        REFERENCE / "recipes.md": recipes_page(),
        REFERENCE / "scene-schema.md": schema_page(),
    }


def cell(text: str) -> str:
    """One line that cannot break a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines) + "\n"


# --- commands


def commands() -> Iterator[tuple[str, Any, Any]]:
    """(full name, click command, context) of the program and every command below it, in their order."""
    import typer

    from scenewright.cli.main import app

    def walk(name: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
        context = command.context_class(command, info_name=name.split()[-1], parent=parent)
        yield name, command, context
        if hasattr(command, "list_commands"):
            for word in command.list_commands(context):
                real = command.resolve_command(context, [word])[1]
                yield from walk(f"{name} {word}", real, context)

    yield from walk("scenewright", typer.main.get_command(app), None)


def options(command: Any, context: Any) -> list[tuple[str, str, str]]:
    """(names, default, help) of every argument and option of a command, the help option left out."""
    rows = []
    for param in command.get_params(context):
        if param.name == "help" or getattr(param, "hidden", False):
            continue
        if param.param_type_name == "argument":
            names = f"`{(param.metavar or param.name).upper()}`"
        else:
            names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        rows.append((names, default_of(param), getattr(param, "help", "") or ""))
    return rows


def default_of(param: Any) -> str:
    """The default as a user would write it; empty if there is none or it is off."""
    value = param.default
    if param.required:
        return "required"
    if (
        value is None
        or callable(value)
        or value is False
        or value == ""
        or not getattr(param, "show_default", True)
    ):
        return ""
    if value is True:
        return "on"
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value)
    return str(getattr(value, "value", value)) if type(value).__name__ != "Sentinel" else ""


def cli_page() -> str:
    """docs/reference/cli.md."""
    text = NOTE + "\n# Command line\n\n"
    text += (
        "Data goes to standard output, everything else to standard error. `--json` prints machine-readable\n"
        "output. An option that takes a list is repeated. Exit codes: 0 done, 1 failed, 2 wrong usage or\n"
        "unusable input, 130 interrupted.\n"
    )
    for name, command, context in commands():
        text += f"\n## {name}\n\n"
        if command.help:
            text += inspect.cleandoc(command.help).replace("\f", "") + "\n\n"
        if hasattr(command, "list_commands"):
            below = command.list_commands(context)
            rows = [
                (f"[`{name} {word}`](#{f'{name} {word}'.replace(' ', '-')})", short(command, context, word))
                for word in below
            ]
            text += table(("command", "what it does"), rows)
        rows = options(command, context)
        if rows:
            text += ("\n" if hasattr(command, "list_commands") else "") + table(("", "default", ""), rows)
    return text


def short(group: Any, context: Any, word: str) -> str:
    """The first sentence of a command's help."""
    found = group.resolve_command(context, [word])[1]
    return (found.help or found.short_help or "").strip().split("\n")[0]


# --- Python names


def first_line(node: Any) -> str:
    """First paragraph of a docstring, as one line."""
    text = ast.get_docstring(node) or ""
    return " ".join(text.split("\n\n")[0].split())


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Dotted name and syntax tree of every public module, in the order of the layers."""
    order = ("errors", "scene", "backbone", "world", "condition", "evaluate", "models", "data", "flows")
    order += ("convert", "train", "testing")
    paths = [SOURCE / "__init__.py"]
    for part in order:
        single = SOURCE / f"{part}.py"
        paths += [single] if single.exists() else sorted((SOURCE / part).rglob("*.py"))
    for path in paths:
        parts = ["scenewright", *path.relative_to(SOURCE).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if path.exists() and not any(part.startswith("_") for part in name.split(".")):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def python_page() -> str:
    """docs/reference/python.md."""
    text = NOTE + "\n# Python names\n\n"
    text += (
        "Every public class and function with the first paragraph of its docstring; `help(name)` has the\n"
        "rest: shapes, units, ranges, errors. Modules come in the order of the layers\n"
        "([architecture](../concepts/architecture.md)).\n"
    )
    for name, tree in modules():
        names = [
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
        ]
        text += f"\n## {name}\n\n{first_line(tree)}\n"
        exported = exports(tree)
        if exported:
            text += "\nNames: " + ", ".join(f"`{word}`" for word in exported) + ".\n"
        if names:
            text += "\n" + table(("name", "what it is"), [(f"`{n.name}`", first_line(n)) for n in names])
    return text


def exports(tree: ast.Module) -> list[str]:
    """What `__all__` of a module lists."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(word) for word in ast.literal_eval(node.value)]
    return []


# --- recipes


def recipes_page() -> str:
    """docs/reference/recipes.md."""
    from scenewright.train.recipe import LoopConfig
    from scenewright.train.recipes import descriptions

    text = NOTE + "\n# Recipes\n\n"
    text += (
        "`scenewright train RECIPE` trains one; `scenewright train RECIPE --list` prints every key with its\n"
        "value, `--set KEY=VALUE` changes it. [Training](../guides/train.md) explains the rest.\n\n"
    )
    text += table(("recipe", "what it trains"), [(f"`{n}`", words) for n, words in descriptions().items()])
    text += (
        "\n## Keys of the loop\n\nEvery recipe has these, with these values where it says nothing else.\n\n"
    )
    rows = [
        (f"`loop.{field.name}`", f"`{field.default}`", comments(LoopConfig).get(field.name, ""))
        for field in dataclasses.fields(LoopConfig)
    ]
    return text + table(("key", "default", "meaning"), rows)


def comments(config: type) -> dict[str, str]:
    """The comment behind each field of a dataclass."""
    found = {}
    source = inspect.getsource(config)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and ":" in token.line:
            found[token.line.split(":")[0].strip()] = token.string.lstrip("# ")
    return found


# --- scene schema


def schema_page() -> str:
    """docs/reference/scene-schema.md."""
    from scenewright.scene import json_schema

    schema = json_schema()
    text = NOTE + "\n# Scene files, field by field\n\n"
    text += (
        f"{schema['description']}\n\nThe schema itself, for other programs: [scene.schema.json]"
        "(scene.schema.json). What the fields mean: [the scene format](../concepts/scene-format.md).\n"
        "Files of schema version 0 (no ids, `bbox`) are read too, and written as version 1.\n"
    )
    for name, part in schema["$defs"].items():
        if name.endswith("_0"):
            continue
        text += f"\n## {name}\n\n"
        if part.get("description"):
            text += part["description"] + "\n\n"
        if "properties" not in part:
            text += f"{kind(part)}\n"
            continue
        need = part.get("required", [])
        rows = [
            (
                f"`{key}`" + (" (required)" if key in need else ""),
                kind(value),
                value.get("description", ""),
            )
            for key, value in part["properties"].items()
        ]
        text += table(("field", "type", ""), rows)
    return text


def kind(part: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in part:
        name = part["$ref"].split("/")[-1].removesuffix("_0")
        return f"[{name}](#{name})"
    for word in ("anyOf", "oneOf"):
        if word in part:
            return " or ".join(kind(choice) for choice in part[word])
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if part.get("type") == "array":
        least, most = part.get("minItems"), part.get("maxItems")
        exact = least is not None and least == most
        if "prefixItems" in part:
            return "list: " + ", ".join(kind(item) for item in part["prefixItems"])
        at_least = f" (at least {least})" if least and not exact else ""
        each = f"{least}, each " if exact else ""
        return f"list of {each}{kind(part.get('items', {}))}{at_least}"
    if part.get("type") in ("number", "integer"):
        low, high = part.get("minimum"), part.get("maximum")
        name = "whole number" if part["type"] == "integer" else "number"
        limits = [f"from {low}" if low is not None else "", f"to {high}" if high is not None else ""]
        return " ".join([name, *filter(None, limits)])
    names = {"string": "text", "object": "object", "boolean": "true or false"}
    return names.get(str(part.get("type")), "any JSON value")


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if stale")
    check = parser.parse_args().check
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(pages()[path], encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
