"""Files of one data set in another folder: the same file under a second name where the disk can, else a copy.

Files of data sets are replaced whole and never changed in place, so a second name is as good as a copy.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from scenewright.errors import StorageError
from scenewright.scene.files import cannot


def place(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds, whole or not at all; folders on the way are made.

    Raises StorageError: a missing source, a full disk, another file in the way.
    """
    if not source.is_file():
        raise StorageError(f"there is no file {source}", "`dataset verify` lists everything that is missing")
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or one without second names
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as fault:
        raise cannot("write", target, fault) from fault
    finally:
        temporary.unlink(missing_ok=True)  # also where both are the same file: renaming then does nothing
