"""Sizes and hashes of files in the hub cache."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from scenewright.models.cards import File


def problem(path: Path, file: File) -> str:
    """What is wrong with `path` compared with `file`: empty, ``wrong size: …`` or ``wrong hash: …``.

    Without a known SHA-256 the cache's own promise counts: a blob there is named after its SHA-256, or after
    its git hash if it is small.
    """
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"wrong size: {size} bytes instead of {file.size}"
    promised = file.sha256 or Path(os.path.realpath(path)).name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", promised):
        return ""
    digest: Any = hashlib.sha256() if len(promised) == 64 else hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    found = digest.hexdigest()
    return "" if found == promised else f"wrong hash: {found} instead of {promised}"
