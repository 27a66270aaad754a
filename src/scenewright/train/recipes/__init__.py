"""The registry of recipes: functions without arguments that return a complete `Recipe`.

Every module of this folder is imported when recipes are looked up, and registers its own::

    @register("vae")
    def vae() -> Recipe:
        '''The autoencoder of nano, on 64 px crops.'''

A recipe of one's own needs no registration: ``train my_module:function`` or ``train file.py:function``
finds it.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from scenewright.errors import InputError, nearest
from scenewright.train.recipe import Recipe

_RECIPES: dict[str, Callable[[], Recipe]] = {}


def register(name: str) -> Callable[[Callable[[], Recipe]], Callable[[], Recipe]]:
    """Decorator that makes a recipe function known as `name`. Raises InputError if the name is taken."""

    def keep(function: Callable[[], Recipe]) -> Callable[[], Recipe]:
        if name in _RECIPES and _RECIPES[name].__qualname__ != function.__qualname__:
            raise InputError(f"there are two recipes named {name!r}")
        _RECIPES[name] = function
        return function

    return keep


def descriptions() -> dict[str, str]:
    """Every registered recipe with the first line of its docstring, sorted by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {name: (_RECIPES[name].__doc__ or "").strip().partition("\n")[0] for name in sorted(_RECIPES)}


def find(name: str) -> Recipe:
    """The recipe registered as `name`, or made by ``module:function`` or ``file.py:function``.

    Raises InputError for an unknown name (naming the nearest) or a function that makes no Recipe.
    """
    if ":" in name:
        recipe = _outside(name)()
    else:
        known = descriptions()
        if name not in known:
            best = nearest(name, known)
            hint = f"did you mean {best}?" if best else f"recipes are {', '.join(known) or 'none'}"
            raise InputError(f"there is no recipe {name!r}", hint)
        recipe = _RECIPES[name]()
    if not isinstance(recipe, Recipe):
        raise InputError(f"{name} returned a {type(recipe).__name__}, not a Recipe")
    return recipe


def _outside(name: str) -> Callable[[], Recipe]:
    place, _, function = name.rpartition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise InputError(
            f"cannot import {place!r}: {error}", "expected module:function or file.py:function"
        ) from error
    found: Callable[[], Recipe] | None = getattr(module, function, None)
    if not callable(found):
        best = nearest(function, [key for key, value in vars(module).items() if callable(value)])
        raise InputError(f"{place} has no function {function!r}", f"did you mean {best}?" if best else "")
    return found


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    name = f"recipe_file_{path.stem}"  # cannot hide a module of that name
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their annotations there
    sys.path.append(str(path.parent))  # for modules beside it
    spec.loader.exec_module(module)
    return module
