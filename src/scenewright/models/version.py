"""The version of this package as installed."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """E.g. ``0.1.0``; ``0+unknown`` when it runs from a checkout that was never installed."""
    try:
        return importlib.metadata.version("scenewright")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"
