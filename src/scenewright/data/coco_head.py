"""What the two halves of the COCO format share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "coco"
"""Key of `extra` under which COCO's own fields travel."""


@dataclass(frozen=True)
class Head:
    """What a COCO file says besides pictures and annotations: `info`, `licenses`, `categories`, other
    keys."""

    fields: Mapping[str, Any]

    @property
    def categories(self) -> list[dict[str, Any]]:
        """The list of categories, each with id and name."""
        return list(self.fields.get("categories", []))
