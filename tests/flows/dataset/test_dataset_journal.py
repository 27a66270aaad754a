"""The journal: whole lines, torn ones, one writer."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scenewright.errors import InputError, StorageError
from scenewright.flows.dataset import journal
from scenewright.flows.dataset.filters import FOUND, Reason
from scenewright.flows.dataset.journal import Entry, Journal, forget, lines, read

KEPT = Entry(name="a", state="kept", classes=("cat",), files={"a.png": "00"})
REFUSED = Entry(name="b", state="refused", classes=("cat",), reasons=(Reason(FOUND, "cat"),))
FAILED = Entry(name="c", state="failed", error="no", hint="yes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "journal.jsonl"
    with Journal(path) as opened:
        for one in (KEPT, REFUSED, FAILED):
            opened.append(one)
    return path


def test_what_is_appended_is_read(path: Path) -> None:
    assert read(path).entries == (KEPT, REFUSED, FAILED)
    assert path.read_bytes() == lines([KEPT, REFUSED, FAILED])
    with Journal(path) as opened:
        assert list(opened.entries) == ["a", "b", "c"]
    assert read(path.with_name("none")).entries == ()


def test_every_cut_is_healed(path: Path) -> None:
    """Wherever a kill cuts the file, opening leaves the whole lines before, and appending gives the rest."""
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        found = read(path)
        assert found.torn == (cut not in (0, *ends))
        with Journal(path) as opened:
            for one in (KEPT, REFUSED, FAILED)[len(opened.entries) :]:
                opened.append(one)
        assert path.read_bytes() == whole


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, true_write = path.read_bytes(), os.write

    def write(file: int, content: bytes) -> int:
        if len(content) > 10:
            return true_write(file, content[:10])
        raise OSError(28, "No space left on device")

    with Journal(path) as opened:
        monkeypatch.setattr(journal.os, "write", write)
        with pytest.raises(StorageError, match="No space left"):
            opened.append(Entry(name="d", state="kept", classes=("a long", "list of", "classes")))
        monkeypatch.undo()
        assert path.read_bytes() == whole and "d" not in opened.entries
        opened.append(Entry(name="d", state="kept"))
    assert [one.name for one in read(path).entries] == ["a", "b", "c", "d"]


def test_one_writer_at_a_time(path: Path) -> None:
    pytest.importorskip("fcntl")
    with Journal(path), pytest.raises(InputError, match="another process is writing"):
        Journal(path)
    Journal(path).close()


def test_failures_can_be_forgotten(path: Path) -> None:
    assert forget(path, ("failed",)) == 1
    assert read(path).entries == (KEPT, REFUSED)
    assert forget(path, ("failed",)) == 0


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"name": "x"}', '{"name": "x", "state": "lost"}', '{"name": "a", "state": "kept"}']
)
def test_damaged_lines_in_the_middle_are_told(path: Path, line: str) -> None:
    path.write_bytes(path.read_bytes() + line.encode() + b"\n" + lines([Entry(name="z", state="kept")]))
    with pytest.raises(InputError, match=r"line 4 of|two lines about a"):
        read(path)


def test_lines_are_plain_json_without_what_is_empty() -> None:
    assert json.loads(lines([REFUSED])) == {
        "name": "b",
        "state": "refused",
        "classes": ["cat"],
        "reasons": [{"what": "not found", "class": "cat"}],
    }
