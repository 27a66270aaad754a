"""Pictures on disk: whole files, resuming by name, failures, the sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError, StorageError
from scenewright.flows.jobs import Job
from scenewright.flows.options import GenerateOptions
from scenewright.flows.write import Files, check_folder, write
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Record, Scene

OPTIONS = GenerateOptions(steps=2, guidance=2.0, batch=3)
SCENES = [
    Scene(f"cat {k}", (64, 32 if k == 4 else 64), (Instance("a cat", box=Box(0.1, 0.1, 0.6, 0.7)),))
    for k in range(5)
]
JOBS = [Job(f"cat-{k}", scene, 100 + k) for k, scene in enumerate(SCENES)]


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model, "cpu")


@pytest.fixture(scope="module")
def whole(bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    write(bundle, JOBS, OPTIONS, out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_three_files_for_each_and_a_sheet(bundle, whole: Path) -> None:
    names = {f"cat-{k}{ending}" for k in range(5) for ending in (".png", ".scene.json", ".overlay.png")}
    assert set(contents(whole)) == names | {"sheet.png"}
    record = Record.load(whole / "cat-1.png")
    assert record.scene == SCENES[1].replace(seed=101) == Scene.read(whole / "cat-1.scene.json")
    assert record.provenance["seed"] == 101
    assert Record.load(whole / "cat-1.scene.json") == record


def test_a_second_run_keeps_everything(bundle, whole: Path) -> None:
    before = contents(whole)
    stamps = {path: path.stat().st_mtime_ns for path in whole.glob("cat-*")}
    written = write(bundle, JOBS, OPTIONS, whole)
    assert [one.state for one in written.outcomes] == ["kept"] * 5 and written.failed == 0
    assert contents(whole) == before
    assert {path: path.stat().st_mtime_ns for path in whole.glob("cat-*")} == stamps


def test_an_interrupted_run_leaves_whole_files_and_continues_to_the_same_bytes(
    bundle, whole: Path, tmp_path: Path
) -> None:
    def stop(one) -> None:
        if one.job.name == "cat-1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(bundle, JOBS, OPTIONS, tmp_path, on_done=stop)
    left = contents(tmp_path)
    assert set(left) == {f"cat-{k}{e}" for k in range(2) for e in (".png", ".scene.json", ".overlay.png")}
    assert all(contents(whole)[name] == content for name, content in left.items())
    written = write(bundle, JOBS, OPTIONS, tmp_path)
    assert [one.state for one in written.outcomes] == ["kept", "kept", "made", "made", "made"]
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("damage", ["gone", "cut", "overlay"])
def test_what_is_missing_or_damaged_is_drawn_again(bundle, whole: Path, tmp_path: Path, damage: str) -> None:
    for name, content in contents(whole).items():
        (tmp_path / name).write_bytes(content)
    picture = tmp_path / "cat-2.png"
    if damage == "gone":
        picture.unlink()
    elif damage == "cut":
        picture.write_bytes(picture.read_bytes()[:-200])
    else:
        (tmp_path / "cat-2.overlay.png").unlink()
    written = write(bundle, JOBS, OPTIONS, tmp_path)
    assert [one.state for one in written.outcomes] == ["kept", "kept", "made", "kept", "kept"]
    assert contents(tmp_path) == contents(whole)


def test_a_picture_made_in_another_way_is_not_taken_for_this_one(bundle, whole: Path) -> None:
    before = contents(whole)
    for jobs, options, words in (
        (JOBS, GenerateOptions(steps=3, guidance=2.0), "steps 2, now 3"),
        (JOBS, GenerateOptions(steps=2, guidance=2.0, layout=False), "adapter gligen"),
        ([Job("cat-0", SCENES[0], 7)], OPTIONS, "seed 100, now 7"),
        ([Job("cat-0", SCENES[1], 100)], OPTIONS, "another scene"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            write(bundle, jobs, options, whole)
        assert "--overwrite" in caught.value.hint
    assert contents(whole) == before


def test_overwrite_draws_again(bundle, tmp_path: Path) -> None:
    write(bundle, JOBS[:1], OPTIONS, tmp_path)
    written = write(bundle, [Job("cat-0", SCENES[0], 8)], OPTIONS, tmp_path, overwrite=True)
    assert written.outcomes[0].state == "made"
    assert Record.load(tmp_path / "cat-0.png").provenance["seed"] == 8


def test_a_failure_is_recorded_and_the_rest_is_drawn(bundle, tmp_path: Path, monkeypatch) -> None:
    import scenewright.flows.generate as page

    true_decode = page.decode

    def decode(backbone, z_BChw):
        if z_BChw.shape[-1] != z_BChw.shape[-2]:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        return true_decode(backbone, z_BChw)

    monkeypatch.setattr(page, "decode", decode)
    written = write(bundle, JOBS, OPTIONS, tmp_path)
    assert [one.state for one in written.outcomes] == ["made"] * 4 + ["failed"] and written.failed == 1
    line = json.loads((tmp_path / "failed.jsonl").read_text())
    assert line["name"] == "cat-4" and "out of memory" in line["error"] and "--batch" in line["hint"]
    monkeypatch.undo()
    written = write(bundle, JOBS, OPTIONS, tmp_path)
    assert written.failed == 0 and not (tmp_path / "failed.jsonl").exists()


def test_a_bug_is_not_hidden(bundle, tmp_path: Path, monkeypatch) -> None:
    import scenewright.flows.generate as page

    def decode(backbone, z_BChw):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(page, "decode", decode)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        write(bundle, JOBS[:1], OPTIONS, tmp_path)


def test_checks_come_before_the_first_picture(bundle, tmp_path: Path) -> None:
    crowd = Scene("cats", (64, 64), tuple(Instance("a cat", box=Box(0.1, 0.1, 0.5, 0.5)) for _ in range(7)))
    with pytest.raises(InputError, match="crowd: 7 instances with a place"):
        write(bundle, [*JOBS, Job("crowd", crowd, 1)], OPTIONS, tmp_path / "out")
    with pytest.raises(InputError, match="eulr"):
        write(bundle, JOBS, GenerateOptions(scheduler="eulr"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(StorageError, match="cannot write into"):
            check_folder(out)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arguments_stay_as_they_are(bundle, tmp_path: Path) -> None:
    before = [scene.digest() for scene in SCENES]
    weights = {key: value.clone() for key, value in bundle.backbone.unet.state_dict().items()}
    write(bundle, JOBS[:2], OPTIONS, tmp_path)
    assert [scene.digest() for scene in SCENES] == before
    after = bundle.backbone.unet.state_dict()
    assert all(np.array_equal(after[key], value) for key, value in weights.items())
    assert Files.of(tmp_path, "cat-0").complete()
