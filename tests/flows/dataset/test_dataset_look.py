"""Statistics, gallery and verification of a data set, and of plain folders of records."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from halves import SOURCE, Halves, contents, tools, wanted

from scenewright.data.latents import LATENT_SUFFIX
from scenewright.errors import InputError, StorageError
from scenewright.flows.dataset.build import build
from scenewright.flows.dataset.charts import charts, write_charts
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.gallery import write_gallery
from scenewright.flows.dataset.journal import lines, read
from scenewright.flows.dataset.stats import lines as told
from scenewright.flows.dataset.stats import quartiles, stats
from scenewright.flows.dataset.verify import verify
from scenewright.scene import Record
from scenewright.scene.io import decode_image
from scenewright.world import toybox


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "things"
    build(tools(), wanted(), out, SOURCE.to_json())
    return out


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    out = tmp_path / "things"
    out.mkdir()
    for name, content in contents(built).items():
        (out / name).write_bytes(content)
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of records without description and journal."""
    out = tmp_path_factory.mktemp("plain") / "world"
    for seed in range(4):
        toybox.draw(seed, size_px=64).record().save(out, f"toy-{seed}")
    return out


# --- stats -------------------------------------------------------------------------------------------------


def test_counts_by_hand(built: Path) -> None:
    data = Dataset.open(built)
    found = stats(data)
    assert (found.total, found.kept + found.refused, found.failed) == (10, 10, 0)
    asked = [one.classes for one in wanted()]
    assert {one.name: one.wanted for one in found.classes} == {
        name: sum(name in classes for classes in asked) for name in Halves.vocabulary.names
    }
    records = {name: data.record(name) for name in data.kept}
    for one in found.classes:
        areas = [
            float(record.masks[item.id].array().mean())
            for record in records.values()
            for item in record.scene.instances
            if item.category == one.name
        ]
        assert one.kept == len(areas) and np.allclose(sorted(one.areas), sorted(areas), atol=1e-6)
        assert min(one.scores, default=1) >= 0.39
    assert sum(sum(one.refused.values()) for one in found.classes) >= found.refused
    assert found.per_picture == {2: found.kept} and found.latents == found.kept
    assert found.bytes == sum(map(len, contents(built).values()))
    assert found.labeller == Halves.id
    document = json.loads(json.dumps(found.to_json()))
    assert document["pictures"]["missing"] == 0 and set(document["classes"]) == set(Halves.vocabulary.names)
    assert told(found)[0].startswith(f"{found.kept} of 10 pictures kept")


def test_quartiles_by_hand() -> None:
    assert quartiles([3.0, 1.0, 2.0, 5.0, 4.0]) == [1, 2, 3, 4, 5] and quartiles([]) is None


def test_charts_are_pictures_and_always_the_same(data: Path) -> None:
    found = stats(Dataset.open(data))
    drawn = charts(found)
    assert drawn == charts(found) and set(drawn) == {"classes", "areas", "scores"}
    assert all(decode_image(content).shape[1] > 300 for content in drawn.values())
    paths = write_charts(found, Dataset.open(data))
    assert [path.parent.name for path in paths] == ["stats"] * 3 and (data / "stats" / "stats.json").is_file()
    assert verify(Dataset.open(data)).problems == (), "charts are no foreign files"


def test_plain_folders_have_statistics_too(plain: Path) -> None:
    found = stats(Dataset.open(plain))
    records = [Record.load(path) for path in plain.glob("*.png")]
    names = {
        item.category for record in records for item in record.scene.instances if item.id in record.masks
    }
    assert found.total == found.kept == 4 and {one.name for one in found.classes} == names
    assert found.latents == 0 and charts(found)


# --- gallery -----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects sources of pictures, addresses, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.figures: list[dict[str, str | None]] = []
        self.opened: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
        if tag == "figure":
            self.figures.append(dict(attrs))
        assert not {"href", "srcset"} & {key for key, _ in attrs} and tag != "link"
        if tag not in ("img", "meta", "input"):
            self.opened.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.opened.pop() == tag


def test_the_gallery_holds_everything(data: Path) -> None:
    opened = Dataset.open(data)
    path = write_gallery(opened)
    assert path == data / "gallery.html"
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.opened == [] and len(page.figures) == len(opened.kept)
    assert len(page.sources) == 2 * len(opened.kept)
    for source in page.sources:
        content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert decode_image(content).ndim == 3
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://", text)
    assert all(name in text for name in opened.kept)
    assert all(one.name in text for one in opened.journal if one.state == "refused")
    assert verify(Dataset.open(data)).problems == (), "the gallery is no foreign file"


def test_the_gallery_can_be_shorter_and_elsewhere(data: Path, tmp_path: Path) -> None:
    path = write_gallery(Dataset.open(data), tmp_path / "elsewhere.html", 1)
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert len(page.figures) == 1 and "The first 1 are shown" in path.read_text(encoding="utf-8")
    assert not (data / "gallery.html").exists()
    with pytest.raises(InputError, match="limit is -1"):
        write_gallery(Dataset.open(data), limit=-1)


def test_texts_cannot_become_markup(tmp_path: Path) -> None:
    drawn = toybox.draw(3, size_px=64).record()
    scene = drawn.scene.replace(prompt="<script>alert('x')</script> & \"more\"")
    drawn.replace(scene=scene).save(tmp_path / "plain", "one")
    text = write_gallery(Dataset.open(tmp_path / "plain")).read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert(&#x27;x&#x27;)" in text


# --- verify ------------------------------------------------------------------------------------------------


def kinds(folder: Path, **how) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in verify(Dataset.open(folder), **how).problems]


def test_a_whole_data_set_has_no_problems(built: Path) -> None:
    calls: list[tuple[float, int]] = []
    found = verify(Dataset.open(built), on_progress=lambda *now: calls.append(now))
    assert found.problems == () and found.notes == ()
    assert found.pictures == len(Dataset.open(built).kept) == len(calls)


@pytest.mark.parametrize("ending", [".png", ".scene.json", LATENT_SUFFIX])
def test_missing_and_changed_files_are_found(data: Path, ending: str) -> None:
    name = Dataset.open(data).kept[1]
    path = data / f"{name}{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert kinds(data) == kinds(data, deep=False) == [("changed", path.name)]
    path.unlink()
    assert kinds(data) == [("missing", path.name)]


def test_foreign_and_left_over_files_are_found(data: Path) -> None:
    (data / "notes.txt").write_text("mine")
    (data / ".0123456789ab.tmp").write_text("half")
    assert kinds(data) == [("foreign", ".0123456789ab.tmp"), ("foreign", "notes.txt")]


def test_unfinished_and_torn_journals_are_found(data: Path) -> None:
    journal = data / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    found = [kind for kind, _ in kinds(data)]
    assert found.count("unfinished") == 2


def with_checksum(folder: Path, name: str, content: bytes) -> None:
    """Changes a file and its checksum in the journal."""
    import hashlib
    from dataclasses import replace

    (folder / name).write_bytes(content)
    entries = [
        replace(one, files={**one.files, name: hashlib.sha256(content).hexdigest()})
        if name in one.files
        else one
        for one in read(folder / "journal.jsonl").entries
    ]
    (folder / "journal.jsonl").write_bytes(lines(entries))


def test_what_is_whole_but_wrong_is_found_by_reading(data: Path) -> None:
    opened = Dataset.open(data)
    first, second = opened.kept[:2]
    with_checksum(data, f"{first}{LATENT_SUFFIX}", (data / f"{second}{LATENT_SUFFIX}").read_bytes())
    (problem,) = verify(Dataset.open(data)).problems
    assert problem.kind == "disagrees" and problem.words.startswith("seed ")
    with_checksum(data, f"{first}{LATENT_SUFFIX}", b"none")
    assert kinds(data) == [("unreadable", f"{first}{LATENT_SUFFIX}")]
    assert kinds(data, deep=False) == []
    with_checksum(data, f"{second}.png", (data / f"{second}.png").read_bytes()[:-30])
    assert ("unreadable", f"{second}.png") in kinds(data)
    record = opened.record(opened.kept[2])
    bare = record.replace(masks={}).files(data, opened.kept[2])
    with_checksum(data, f"{opened.kept[2]}.png", bare[data / f"{opened.kept[2]}.png"])
    assert ("disagrees", f"{opened.kept[2]}.png") in kinds(data)


def test_plain_folders_are_read_only(plain: Path) -> None:
    found = verify(Dataset.open(plain))
    assert found.pictures == 4 and found.problems == () and "no journal" in found.notes[0]


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no data set"):
        Dataset.open(tmp_path)
    with pytest.raises(StorageError, match="there is no folder"):
        Dataset.open(tmp_path / "none")
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(InputError, match=r"no dataset\.json"):
        Dataset.open(tmp_path)
    (tmp_path / "dataset.json").write_text('{"dataset_version": 9, "pictures": 1}')
    with pytest.raises(InputError, match="version 9"):
        Dataset.open(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(InputError, match="no description"):
        Dataset.open(tmp_path)
