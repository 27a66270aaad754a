"""What stands on a command line; and the refusal of options that would change nothing there."""

from __future__ import annotations

from collections.abc import Collection

import typer

from scenewright.errors import ignored


def named(context: typer.Context) -> frozenset[str]:
    """Names of the options that stand on the command line, as parameters; --no-NAME counts as NAME."""
    return frozenset(name.removeprefix("no_") for name in _there(context))


def refuse(context: typer.Context, names: Collection[str], beside: str, hint: str = "") -> None:
    """Raises InputError if options stand on the command line that would be ignored `beside` the others.

    `names` are those of their parameters; `beside` says why ("without --tile"), `hint` what would make them
    count. Calls stand where what `beside` says is so.
    """
    there = _there(context).intersection(names)
    if spare := [one.opts[0] for one in context.command.params if one.name in there]:
        raise ignored(spare, beside, hint)


def _there(context: typer.Context) -> frozenset[str]:
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source and source.name != "DEFAULT")
