"""The frozen sets as folders of Records."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.evaluate.protocol import drawn_keys, held_out
from scenewright.flows.held_out import write_held_out
from scenewright.flows.samples import read_samples
from scenewright.scene import Record
from scenewright.world import town, toybox


def test_writes_what_the_seeds_draw(tmp_path: Path) -> None:
    told: list[tuple[float, int]] = []
    written = write_held_out("town-1", tmp_path, 3, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)] and not written.different and not written.kept
    assert Record.load(written.pictures[2]) == town.draw(210_002, look="fog").record()
    assert {one.key for one in read_samples(tmp_path).samples} == set(drawn_keys(held_out("town-1"))[:3])


def test_continues_and_keeps(tmp_path: Path) -> None:
    first = write_held_out("toybox-1", tmp_path, 2)
    before = {path: path.stat().st_mtime_ns for path in first.pictures}
    again = write_held_out("toybox-1", tmp_path, 3)
    assert again.kept == 2 and len(again.pictures) == 3
    assert {path: path.stat().st_mtime_ns for path in first.pictures} == before


def test_other_pictures_are_not_overwritten(tmp_path: Path) -> None:
    toybox.draw(1).record().save(tmp_path, "toybox-1-200000")
    with pytest.raises(InputError, match="shows something else"):
        write_held_out("toybox-1", tmp_path, 1)


@pytest.mark.parametrize(("name", "count"), [("toybox", 1), ("toybox-1", 1001), ("toybox-1", -1)])
def test_wrong_wishes_write_nothing(tmp_path: Path, name: str, count: int) -> None:
    with pytest.raises(InputError):
        write_held_out(name, tmp_path / "out", count)
    assert not (tmp_path / "out").exists()
