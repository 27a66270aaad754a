"""``scenewright generate`` as a user runs it, on a tiny model."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import scenewright as sw
from scenewright.scene import Record

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))


@pytest.fixture
def quick(tiny_model: str, tmp_path: Path) -> list[object]:
    """Options that keep drawing short."""
    return ["--model", tiny_model, "--steps", 2, "--out", tmp_path / "out"]


def test_paths_on_stdout_files_in_the_folder(cli, quick, tmp_path: Path) -> None:
    scene = ROOT / "examples" / "two-cats.scene.json"
    ended = cli("generate", scene, "--prompt", "a red car", *quick, "--size", "64", "--count", 2, "--seed", 5)
    assert ended.code == 0
    out = tmp_path / "out"
    names = ["two-cats-1", "two-cats-2", "a-red-car-1", "a-red-car-2"]
    assert ended.out.splitlines() == [str(out / f"{name}.png") for name in names] + [str(out / "sheet.png")]
    endings = (".png", ".scene.json", ".overlay.png")
    assert {path.name for path in out.iterdir()} == {"sheet.png"} | {n + e for n in names for e in endings}
    assert [Record.load(out / f"{name}.png").provenance["seed"] for name in names] == [5, 6, 7, 8]
    assert "1 scene fitted to 64x64" in ended.err
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 4 * 200


def test_json_one_object_per_line(cli, quick, tmp_path: Path) -> None:
    words = ["generate", "--prompt", "a cat", "--size", "64", "--json", *quick]
    first = [json.loads(line) for line in cli(*words).out.splitlines()]
    assert [one.get("state") for one in first] == ["made", None]
    assert (
        first[0]["prompt"] == "a cat"
        and Path(first[0]["picture"]).is_file()
        and Path(first[1]["sheet"]).is_file()
    )
    again = [json.loads(line) for line in cli(*words).out.splitlines()]
    assert again == [{**first[0], "state": "kept"}, first[1]]


def test_a_record_is_a_scene_and_leads_to_the_same_picture(cli, quick, tmp_path: Path) -> None:
    first = cli("generate", EXAMPLES[-1], *quick, "--seed", 9).out.splitlines()[0]
    again = cli("generate", first, *quick[:-1], tmp_path / "again").out.splitlines()[0]
    assert Path(again).read_bytes() == Path(first).read_bytes()


def test_options_reach_the_record(cli, quick, tmp_path: Path) -> None:
    words = (
        "--guidance 2.5 --negative dark --gate 0.5 --scheduler euler --size 64x32 --dtype float32 --batch 1"
    )
    ended = cli(
        "generate", ROOT / "examples" / "two-cats.scene.json", *quick, *words.split(), "--device", "cpu"
    )
    record = Record.load(ended.out.splitlines()[0])
    facts = record.provenance
    assert record.image.shape == (32, 64, 3) and record.scene.size_wh == (64, 32)
    assert (facts["guidance"], facts["negative"], facts["gate"]) == (2.5, "dark", [0.5, 0, 0.5])
    assert facts["scheduler"] == "EulerDiscreteScheduler" and facts["steps"] == 2
    plain = cli("generate", EXAMPLES[-1], *quick[:-1], tmp_path / "plain", "--no-layout").out.splitlines()[0]
    assert Record.load(plain).provenance["adapter"] is None


def test_too_many_instances_largest(cli, quick) -> None:
    boxes = [[0.1 * k, 0.1, 0.1 * k + 0.02 * (k + 1), 0.3] for k in range(8)]
    rows = {"prompt": "cats", "phrases": ["a cat"] * 8, "boxes": boxes}
    path = Path(str(quick[-1])).parent / "crowd.json"
    path.write_text(json.dumps(rows))
    ended = cli("generate", path, *quick, "--overflow", "largest")
    assert ended.code == 0
    assert Record.load(ended.out.splitlines()[0]).provenance["dropped"] == ["i2", "i1"]


def test_another_backbone_only_when_asked(cli, tiny_model: str, tmp_path: Path) -> None:
    import torch

    from scenewright.backbone.load import save_folder
    from scenewright.testing import tiny_backbone

    other = save_folder(tiny_backbone(1), tmp_path / "other", torch.float32)
    words = ["generate", "--prompt", "a", "--size", 64, "--steps", 1, "--out", tmp_path / "out"]
    words += ["--model", f"{other}+gligen:{tiny_model.partition('+gligen:')[2]}"]
    assert cli(*words).code == 2
    assert cli(*words, "--allow-other-backbone").code == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_drawn(path: Path, cli, quick) -> None:
    ended = cli("generate", path, *quick, "--size", "64")
    assert ended.code == 0 and "Traceback" not in ended.err
    assert len(ended.out.splitlines()) == len(sw.read_scenes(path)) + 1


def test_photographs_of_coco(cli, quick, data_dir: Path, tmp_path: Path) -> None:
    source = json.loads((data_dir / "coco100" / "annotations" / "instances_train2017.json").read_text())
    few = [
        image
        for image in source["images"]
        if image["id"] in {row["image_id"] for row in source["annotations"]}
    ][:2]
    rows = [row for row in source["annotations"] if row["image_id"] in {image["id"] for image in few}]
    (tmp_path / "few.json").write_text(json.dumps({**source, "images": few, "annotations": rows}))
    ended = cli("generate", tmp_path / "few.json", *quick, "--overflow", "largest")
    assert ended.code == 0 and "2 scenes fitted to 128x128" in ended.err
    stems = [Path(image["file_name"]).stem for image in few]
    assert [Path(line).stem for line in ended.out.splitlines()] == [*stems, "sheet"]


def test_ctrl_c_leaves_whole_files_only(tiny_model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [
        "generate",
        "--prompt",
        "a cat",
        "--count",
        "400",
        "--batch",
        "1",
        "--size",
        "32",
        "--steps",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "scenewright", *words, "--model", tiny_model, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs inherit "ignored"
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while len(list(out.glob("a-cat-???.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "the same command continues" in err
    assert not list(out.glob(".*"))
    pictures = sorted(out.glob("a-cat-???.png"))
    assert 3 <= len(pictures) < 400
    assert all(Record.load(path).scene.prompt == "a cat" for path in pictures)


def test_a_bar_on_a_terminal_and_paths_in_the_pipe(tiny_model: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = ["generate", "--prompt", "a cat", "--count", "6", "--batch", "1", "--size", "64", "--steps", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scenewright", *words, "--model", tiny_model, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    out, _ = process.communicate(timeout=90)
    os.close(theirs)
    terminal = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the terminal is closed
            break
        terminal += chunk
    assert process.returncode == 0
    assert "6 pictures" in terminal.decode() and "%" in terminal.decode()
    assert len(out.splitlines()) == 7 and all(line.endswith(".png") for line in out.splitlines())


# --- as documented -----------------------------------------------------------------------------------------


def test_the_python_lines_of_the_package_run(tiny_model: str, tmp_path: Path, monkeypatch) -> None:
    folder, _, adapter = tiny_model.partition("+gligen:")
    added = {
        "nano": {"path": folder, "kind": "backbone"},
        "nano+gligen": {"path": adapter, "kind": "adapter"},
    }
    (tmp_path / "models.json").write_text(json.dumps(added))
    monkeypatch.setenv("SCENEWRIGHT_HOME", str(tmp_path))
    (tmp_path / "two-cats.scene.json").write_bytes((ROOT / "examples" / "two-cats.scene.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert sw.__doc__
    code = "\n".join(line[4:] for line in sw.__doc__.splitlines() if line.startswith("    "))
    assert "sw.load" in code
    names: dict[str, object] = {}
    exec(compile(code, "scenewright.__doc__", "exec"), names)
    record = names["record"]
    assert isinstance(record, Record) and record.provenance["seed"] == 7
    assert [Record.load(path) for path in (tmp_path / "out").glob("*.png")] == [record]


def test_every_public_name_is_there() -> None:
    assert all(getattr(sw, name) is not None for name in sw.__all__)
    assert set(sw.__all__) <= set(dir(sw)) and sw.__version__
    with pytest.raises(AttributeError, match="no attribute 'Sene'"):
        sw.Sene  # noqa: B018
