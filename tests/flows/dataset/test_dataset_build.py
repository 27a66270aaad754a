"""Building: what is in the folder, resuming, failures, full disks, other data sets in the way."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from halves import OPTIONS, RULES, SOURCE, Halves, contents, tools, wanted

import scenewright.flows.dataset.build as page
from scenewright.errors import InputError, StorageError
from scenewright.flows.dataset.build import build
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.rules import LabelRules
from scenewright.flows.generate import latents
from scenewright.flows.options import GenerateOptions

LISTED = SOURCE.to_json()


@pytest.fixture(scope="module")
def made():
    return tools()


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "whole"
    build(made, wanted(), out, LISTED)
    return out


def test_the_folder_holds_records_latents_and_a_journal(made, whole: Path) -> None:
    data = Dataset.open(whole)
    states = [one.state for one in data.journal]
    assert data.total == len(states) == 10
    assert [one.name for one in data.journal] == sorted(one.name for one in data.journal)
    assert 0 < len(data.kept) < 10, "the filter has something to do"
    files = {name for one in data.journal for name in one.files}
    assert set(contents(whole)) == files | {"dataset.json", "journal.jsonl"}
    assert len(files) == 3 * len(data.kept)


def test_a_kept_record_says_everything(made, whole: Path) -> None:
    data = Dataset.open(whole)
    order = next(one for one in wanted() if one.name == data.kept[0])
    record, latent = data.record(order.name), data.latent(order.name)
    assert record.scene == order.job.scene.replace(seed=order.job.seed)
    assert set(record.masks) == {"i1", "i2"}
    assert not (record.masks["i1"].array() & record.masks["i2"].array()).any()
    assert {one["class"] for one in record.scores["labels"].values()} == set(order.classes)
    assert record.provenance["labels"] == {"labeller": "halves@00000001", "checker": None, **RULES.to_json()}
    assert latent is not None and latent.z_Chw.shape == (4, 8, 8)
    assert latent.facts() == {
        "seed": order.job.seed, "step": 1, "steps": 2, "timestep": 1, "guidance": 2.0,
        "scheduler": "DDIMScheduler", "fingerprint": made.bundle.backbone.fingerprint,
    }  # fmt: skip


def test_the_latent_is_what_the_network_was_shown_last(made, whole: Path) -> None:
    data = Dataset.open(whole)
    orders = {one.name: one for one in wanted()}
    name = data.kept[0]
    members = next(b for b in page.todo(list(orders.values()), {}, 3) if list(orders).index(name) in b)
    batch = [list(orders.values())[k] for k in members]
    shown: list[torch.Tensor] = []
    unet = made.bundle.backbone.unet
    hook = unet.register_forward_pre_hook(lambda _module, given: shown.append(given[0].clone()))
    latents(
        made.bundle.backbone, None, [one.job.scene for one in batch], [one.job.seed for one in batch], OPTIONS
    )
    hook.remove()
    row = [one.name for one in batch].index(name)
    half = len(shown[-1]) - len(batch)  # the conditional rows are the last ones
    assert np.array_equal(data.latent(name).z_Chw, shown[-1][half + row].numpy().astype(np.float16))


@pytest.mark.parametrize("scheduler", ["euler", "heun", "pndm"])
def test_latents_of_other_schedulers_are_scaled_for_the_network(scheduler: str, tmp_path: Path) -> None:
    one = tools(GenerateOptions(steps=3, guidance=2.0, scheduler=scheduler), LabelRules(score=0, agreement=0))
    shown: list[tuple[torch.Tensor, float]] = []
    hook = one.bundle.backbone.unet.register_forward_pre_hook(
        lambda _module, given: shown.append((given[0].clone(), float(given[1].max())))
    )
    build(one, wanted(1), tmp_path / "out", LISTED)
    hook.remove()
    latent = Dataset.open(tmp_path / "out").latent(wanted(1)[0].name)
    assert (
        latent is not None and latent.step == 2 and latent.timestep == pytest.approx(shown[-1][1], abs=1e-3)
    )
    assert np.allclose(latent.z_Chw, shown[-1][0][1].numpy(), rtol=1e-3, atol=1e-3)


def test_a_second_run_changes_nothing(made, whole: Path) -> None:
    before = contents(whole)
    stamps = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    built = build(made, wanted(), whole, LISTED)
    assert built.fresh == 0 and len(built.entries) == 10
    assert contents(whole) == before
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == stamps


def test_an_interrupted_run_continues_to_the_same_bytes(made, whole: Path, tmp_path: Path) -> None:
    def stop(entry) -> None:
        if entry.name == wanted()[4].name:  # in the middle of a batch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(made, wanted(), tmp_path / "out", LISTED, on_done=stop)
    assert len(Dataset.open(tmp_path / "out").journal) == 5
    told: list[tuple[float, int]] = []
    built = build(made, wanted(), tmp_path / "out", LISTED, on_progress=lambda *now: told.append(now))
    assert built.fresh == 5 and len(built.entries) == 10
    assert contents(tmp_path / "out") == contents(whole)
    assert told[-1] == (7, 7), "the batch that was cut is made again"


def test_a_picture_does_not_depend_on_how_many_there_are(made, whole: Path, tmp_path: Path) -> None:
    """The first six are two whole batches, here and there."""
    build(made, wanted(6), tmp_path / "six", {**LISTED, "total": 6})
    few, many = contents(tmp_path / "six"), contents(whole)
    pictures = {name for name in few if name.startswith("00")}
    assert pictures and all(few[name] == many[name] for name in pictures)
    assert many["journal.jsonl"].startswith(few["journal.jsonl"])


# --- pictures that fail ------------------------------------------------------------------------------------


class Picky(Halves):
    """Cannot stand one picture, wherever it comes."""

    def __init__(self, hated: int, fault: type[Exception] = RuntimeError) -> None:
        self.hated, self.fault, self.calls = hated, fault, 0

    def label(self, images, classes):
        self.calls += 1
        if any(int(image.astype(np.int64).sum()) == self.hated for image in images):
            raise self.fault("this one not")
        return super().label(images, classes)


def hated(made, k: int) -> int:
    """The sum of the pixels of picture k, drawn alone."""
    from scenewright.flows.dataset.work import make

    (one,) = make(made, [wanted()[k]])
    return int(one.record.image.astype(np.int64).sum())


def test_a_picture_that_always_fails_is_recorded_and_the_run_goes_on(made, whole, tmp_path: Path) -> None:
    picky = replace(made, labeller=Picky(hated(made, 4)))
    told: list[str] = []
    built = build(picky, wanted(), tmp_path / "out", LISTED, on_done=lambda one: told.append(one.state))
    assert [k for k, one in enumerate(built.entries) if one.state == "failed"] == [4]
    assert built.entries[4].error == "RuntimeError: this one not" and told.count("failed") == 1
    for k in (0, 1, 2, 6, 7, 8, 9):  # the other batches are what they always were
        assert built.entries[k] == Dataset.open(whole).journal[k]
    assert not list((tmp_path / "out").glob(f"{wanted()[4].name}*"))


def test_failures_are_not_tried_again_unless_asked_for(made, tmp_path: Path) -> None:
    bad = hated(made, 0)
    picky = replace(made, labeller=Picky(bad))
    first = build(picky, wanted(3), tmp_path / "out", LISTED)
    before = contents(tmp_path / "out")
    again = build(picky, wanted(3), tmp_path / "out", LISTED)
    assert again.fresh == 0 and again.count("failed") == first.count("failed") == 1
    assert contents(tmp_path / "out") == before
    retried = build(made, wanted(3), tmp_path / "out", LISTED, retry_failed=True)
    assert retried.fresh == 1 and retried.count("failed") == 0 and len(retried.entries) == 3


def test_a_run_with_a_failure_is_the_same_after_an_interruption(made, tmp_path: Path) -> None:
    bad = hated(made, 4)
    build(replace(made, labeller=Picky(bad)), wanted(), tmp_path / "whole", LISTED)

    def stop(entry) -> None:
        if entry.name == wanted()[3].name:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(replace(made, labeller=Picky(bad)), wanted(), tmp_path / "cut", LISTED, on_done=stop)
    build(replace(made, labeller=Picky(bad)), wanted(), tmp_path / "cut", LISTED)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_numbers_that_are_no_picture_fail_alone(made, tmp_path: Path) -> None:
    one = wanted(3)
    mad = replace(made, options=replace(OPTIONS, guidance=1e38))
    built = build(mad, one, tmp_path / "out", LISTED)
    assert built.count("failed") == 3
    assert "no picture" in built.entries[0].error and "--guidance" in built.entries[0].hint


# --- full disks --------------------------------------------------------------------------------------------


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_no_room_for_a_picture(made, whole: Path, tmp_path: Path) -> None:
    with small_files(2000), pytest.raises(StorageError, match="cannot write"):
        build(made, wanted(), tmp_path / "out", LISTED)
    assert not list((tmp_path / "out").glob(".*"))
    build(made, wanted(), tmp_path / "out", LISTED)
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize("room", [0, 1, 3, 8, 12])
def test_a_disk_that_fills_up_at_some_write(made, whole, tmp_path, monkeypatch, room: int) -> None:
    """The `room`-th opening of a file for writing fails, whatever file that is."""
    import builtins

    left = [room]
    true_open = builtins.open

    def opened(file, mode="r", *rest, **more):
        if "x" in mode:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        return true_open(file, mode, *rest, **more)

    monkeypatch.setattr("scenewright.scene.files.open", opened, raising=False)
    with pytest.raises(StorageError, match="No space left") as caught:
        build(made, wanted(), tmp_path / "out", LISTED)
    assert "free some space" in caught.value.hint
    monkeypatch.undo()
    assert not list((tmp_path / "out").glob(".*"))
    for entry in Dataset.open(tmp_path / "out").journal if (tmp_path / "out/dataset.json").exists() else ():
        for name in entry.files:
            assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    build(made, wanted(), tmp_path / "out", LISTED)
    assert contents(tmp_path / "out") == contents(whole)


# --- what is in the way ------------------------------------------------------------------------------------


def test_changed_options_are_refused(made, whole: Path) -> None:
    before = contents(whole)
    for changed, orders, words in (
        (replace(made, options=replace(OPTIONS, steps=3)), wanted(), r"model.steps 2, now 3"),
        (replace(made, options=replace(OPTIONS, batch=4)), wanted(), r"model.batch 3, now 4"),
        (replace(made, rules=LabelRules(policy="top1")), wanted(), "labels.policy union, now top1"),
        (made, wanted(11), "pictures 10, now 11"),
        (made, wanted(source=replace(SOURCE, seed=51)), "source.digest"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            build(changed, orders, whole, LISTED)
        assert "--out" in caught.value.hint
    assert contents(whole) == before


def test_other_folders_are_left_alone(made, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty and holds no data set: there is mine\.txt"):
        build(made, wanted(3), tmp_path, LISTED)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    out = tmp_path / "out"
    build(made, wanted(3), out, LISTED)
    (out / "dataset.json").unlink()
    with pytest.raises(InputError, match="not empty"):
        build(made, wanted(3), out, LISTED)
    for path in out.glob("0*"):
        path.unlink()
    with pytest.raises(InputError, match=r"dataset.json is missing beside a journal"):
        build(made, wanted(3), out, LISTED)


def test_what_a_kill_leaves_is_swept_up(made, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".0123456789ab.tmp").write_bytes(b"half")
    (out / "journal.jsonl").write_bytes(b'{"name": "0000')
    build(made, wanted(), out, LISTED)
    assert contents(out) == contents(whole)


def test_the_description_names_no_machine(whole: Path) -> None:
    told = json.loads((whole / "dataset.json").read_text())
    assert told["kind"] == "built" and told["pictures"] == 10
    assert told["source"]["classes"] == list(SOURCE.classes)
    assert str(whole.parent) not in (whole / "dataset.json").read_text()
