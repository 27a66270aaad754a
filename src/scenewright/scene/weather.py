"""DGInStyle's words for the weather, and the prompts made of them.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048), and its code: half of the prompts are the bare names of
the classes, half say one of five words.
"""

from __future__ import annotations

from scenewright.errors import InputError, nearest

WEATHER = ("snowy", "rainy", "sunny", "foggy", "night")
"""The published words, in their order."""

ADVERSE = ("snowy", "rainy", "foggy")
"""Words for bad weather by day."""


def weather_prompt(caption: str, weather: str = "") -> str:
    """The prompt of a map whose classes are `caption`: the caption itself, or a sentence with the weather.

    Raises InputError for a word that is none of `WEATHER`, naming the nearest.
    """
    if not weather:
        return caption
    if weather not in WEATHER:
        close = nearest(weather, WEATHER)
        hint = f"did you mean {close}?" if close else "any other words go into --prompt"
        raise InputError(f"unknown weather {weather!r}; expected one of {', '.join(WEATHER)}", hint)
    return f"A city street scene with {caption}, in {weather} weather."
