"""One file of a hub repository into the standard hub cache, continuing where a broken transfer stopped.

huggingface_hub resumes only inside one process. Here the part of a large file that has arrived stays in the
cache's blob folder and the next run asks for the rest; the finished blob is checked against its hash before
it gets its name, and huggingface_hub then does the bookkeeping of the cache.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from scenewright.errors import ModelError, StorageError
from scenewright.models.cards import File
from scenewright.models.verify import problem


def fetch(repo: str, file: File, revision: str | None) -> Path:
    """The cached copy of one file, fetched if it is not there. Network errors pass through.

    Raises ModelError if what arrived has another size or hash than promised (the copy is removed),
    StorageError if it cannot be written.
    """
    from huggingface_hub import constants, hf_hub_download

    try:
        if not constants.is_offline_mode():
            _fill_blob(repo, file, revision)
        path = Path(hf_hub_download(repo, file.path, revision=revision))
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | StorageError):
            raise
        raise StorageError(f"cannot write {file.path}: {error}", "free space, or set HF_HOME") from error
    if wrong := problem(path, file):
        Path(os.path.realpath(path)).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{repo}/{file.path}: {wrong}", "the damaged copy was removed; run the command again"
        )
    return path


def network_errors() -> tuple[type[Exception], ...]:
    """Exceptions that mean the hub, or this file on it, could not be reached."""
    from huggingface_hub import errors

    found: list[type[Exception]] = [
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.FileMetadataError,
        ConnectionError,
    ]
    for name in ("httpx", "httpx2"):
        if name in sys.modules:
            found.append(sys.modules[name].HTTPError)
    return tuple(found)


def _fill_blob(repo: str, file: File, revision: str | None) -> None:
    """Bring a large file's blob into the cache, from where the last attempt stopped."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repo, file.path, revision=revision)
    found = get_hf_file_metadata(url)
    if not re.fullmatch(r"[0-9a-f]{64}", found.etag or "") or found.size is None:
        return
    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    blob, part = blobs / str(found.etag), blobs / f"{found.etag}.part"
    if blob.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    headers = build_hf_headers()
    if urlsplit(url).netloc != urlsplit(found.location).netloc:
        headers.pop("authorization", None)
    headers["Accept-Encoding"] = "identity"
    if part.exists() and part.stat().st_size > found.size:
        part.unlink()
    with part.open("ab") as stream:
        start = stream.tell()
        http_get(
            found.location,
            stream,
            resume_size=start,
            headers=headers,
            expected_size=found.size,
            displayed_filename=file.path,
        )
    if wrong := problem(part, File(path=file.path, size=found.size, sha256=found.etag)):
        part.unlink()
        raise ModelError(
            f"{repo}/{file.path}: {wrong}", "the damaged copy was removed; run the command again"
        )
    os.replace(part, blob)
