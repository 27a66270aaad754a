"""Shared fixtures: where the recorded outputs and the real pictures are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _shared(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"{variable} is not set and {folder} does not exist")
    return folder


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Some trainings flush denormal numbers for as long as their process lives; the next test wants them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of recorded outputs of the original networks."""
    return _shared("SCENEWRIGHT_GOLDEN", "golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real annotated pictures and published scenes."""
    return _shared("SCENEWRIGHT_DATA", "data")


@pytest.fixture(scope="session")
def weights_are_here() -> bool:
    """Whether the embedded model's weights lie in the package."""
    folder = ROOT / "src" / "scenewright" / "models" / "nano"
    return (folder / "model_index.json").is_file() and (folder / "gligen.safetensors").is_file()


@pytest.fixture(scope="session")
def model_name(weights_are_here: bool, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The embedded model with its adapter; where its weights are missing, a tiny random one instead."""
    if weights_are_here:
        return "nano+gligen"
    from scenewright.backbone.load import save_folder
    from scenewright.condition.gligen import Gligen, GligenConfig
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    folder = tmp_path_factory.mktemp("tiny")
    backbone = tiny_backbone(0)
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=4))
    file = save_adapter(
        folder / "gligen.safetensors", adapter, adapter.config, "gligen", backbone.fingerprint
    )
    return f"{save_folder(backbone, folder / 'nano')}+gligen:{file}"


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs ``scenewright ARGUMENTS...`` in this process."""
    from scenewright.cli.main import main

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a tiny random model with a layout adapter, in nano's layout: FOLDER+gligen:FILE."""
    import torch

    from scenewright.backbone.load import save_folder
    from scenewright.condition.gligen import Gligen, GligenConfig
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    folder = tmp_path_factory.mktemp("models")
    backbone = tiny_backbone(0)
    save_folder(backbone, folder / "tiny", torch.float32)
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=6))
    with torch.no_grad():
        for name, value in adapter.named_parameters():
            if "alpha" in name:
                value.fill_(0.7)
    file = folder / "tiny.gligen.safetensors"
    save_adapter(file, adapter, adapter.config, "gligen", backbone.fingerprint, backbone_name="tiny")
    return f"{folder / 'tiny'}+gligen:{file}"


@pytest.fixture(scope="session")
def tiny_head(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small random grounding head for `tiny_model`, whose masks are some of each picture."""
    from scenewright.ground.head import GroundingHead
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    backbone = tiny_backbone(0)
    sizes = {"reduced": (4, 8, 8, 16), "width": 32, "heads": 4, "layers": 2, "hidden": 64}
    head = GroundingHead.for_unet(backbone.unet, stride=4, seed=3, **sizes)
    file = tmp_path_factory.mktemp("heads") / "tiny.grounding.safetensors"
    return save_adapter(
        file, head, head.config, "grounding", backbone.fingerprint,
        backbone_name="tiny", text_fingerprint=backbone.text_fingerprint,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_segmenter(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small random one-pass segmenter for `tiny_model`."""
    import torch

    from scenewright.models.adapter import save_adapter
    from scenewright.segment.one_pass import OnePass
    from scenewright.testing import tiny_backbone

    backbone = tiny_backbone(0)
    net = OnePass.for_unet(backbone.unet, stride=4, seed=3, reduced=(8, 8, 8, 8), width=16, cost=8)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.2 * torch.randn(value.shape, generator=generator)
    file = tmp_path_factory.mktemp("segmenters") / "tiny.segmenter.safetensors"
    return save_adapter(
        file, net, net.config, "segmenter", backbone.fingerprint,
        backbone_name="tiny", text_fingerprint=backbone.text_fingerprint,
    )  # fmt: skip
