"""A hub on 127.0.0.1: the part of the protocol that fetching models needs, with faults on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

COMMIT = "1" * 40


@dataclass
class LocalHub:
    """Repositories are folders below `root`; everything that was asked for is in `log`."""

    root: Path
    commits: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    corrupt: set[str] = field(default_factory=set)
    stop_after: int | None = None
    """Bytes of each file after which the connection breaks and no later part is served."""
    log: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Method, path, Range header, Authorization header."""

    def __enter__(self) -> LocalHub:
        hub = self

        class Handler(_Handler):
            local = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def asked(self, method: str, ending: str) -> list[tuple[str, str]]:
        """Range and Authorization headers of the requests for one file."""
        return [(r, a) for m, path, r, a in self.log if m == method and path.endswith(ending)]


class _Handler(BaseHTTPRequestHandler):
    local: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        url = urlsplit(self.path)
        headers = self.headers
        self.local.log.append(
            (self.command, url.path, headers.get("Range", ""), headers.get("Authorization", ""))
        )
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", url.path):
            return self._listing(match[1], "blobs" in parse_qs(url.query))
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url.path)
        if match is None:
            return self._refuse(404, "")
        repo, revision, name = match.groups()
        if not (self.local.root / repo).is_dir():
            return self._refuse(401, "RepoNotFound")
        if repo in self.local.gated and not headers.get("Authorization"):
            return self._refuse(403, "GatedRepo")
        if revision not in ("main", self._commit(repo)):
            return self._refuse(404, "RevisionNotFound")
        path = self.local.root / repo / name
        if not path.is_file():
            return self._refuse(404, "EntryNotFound")
        return self._file(repo, path, body)

    def _commit(self, repo: str) -> str:
        return self.local.commits.get(repo, COMMIT)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.end_headers()

    def _listing(self, repo: str, blobs: bool) -> None:
        folder = self.local.root / repo
        if not folder.is_dir():
            return self._refuse(401, "RepoNotFound")
        siblings = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry: dict = {"rfilename": path.relative_to(folder).as_posix()}
            if blobs:
                content = path.read_bytes()
                entry |= {"size": len(content), "blobId": _git_hash(content)}
                if _is_large(path):
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        answer = json.dumps({"id": repo, "sha": self._commit(repo), "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _file(self, repo: str, path: Path, body: bool) -> None:
        content = path.read_bytes()
        large = _is_large(path)
        etag = hashlib.sha256(content).hexdigest() if large else _git_hash(content)
        if path.name in self.local.corrupt:
            content = bytes(len(content))
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        stop = self.local.stop_after
        if body and large and stop is not None and start >= stop:
            return self._refuse(503, "")
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", self._commit(repo))
        self.send_header("ETag", f'"{etag}"')
        if large:
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            end = stop if large and stop is not None else len(content)
            self.wfile.write(content[start:end])
            if end < len(content):
                self.close_connection = True


def _is_large(path: Path) -> bool:
    return path.suffix in (".safetensors", ".bin")


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
