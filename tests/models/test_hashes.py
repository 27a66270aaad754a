"""Fingerprints told by files alone are those of loaded models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scenewright.backbone.load import save_folder
from scenewright.condition.gligen import Gligen
from scenewright.models.adapter import save_adapter
from scenewright.models.hashes import SMALL, adapter_base, stored_fingerprint, unet_file
from scenewright.testing import tiny_backbone


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_same_digits_as_of_the_loaded_model(tmp_path: Path, dtype: torch.dtype) -> None:
    tiny = tiny_backbone(0)
    folder = save_folder(tiny, tmp_path / "m", dtype)
    assert stored_fingerprint(folder) == stored_fingerprint(folder, SMALL) == tiny.fingerprint
    assert stored_fingerprint(folder, most_bytes=100) == ""


def test_what_cannot_be_told_is_empty(tmp_path: Path) -> None:
    assert stored_fingerprint(tmp_path) == "" and unet_file(tmp_path) is None
    folder = save_folder(tiny_backbone(0), tmp_path / "m", torch.bfloat16)
    assert stored_fingerprint(folder) == ""
    path = unet_file(folder)
    assert path is not None
    path.write_bytes(b"cut")
    assert stored_fingerprint(folder) == ""
    assert adapter_base(path) == adapter_base(tmp_path / "nothing.safetensors") == ("", "")


def test_an_adapter_says_its_base_and_no_torch_is_needed(tmp_path: Path) -> None:
    tiny = tiny_backbone(0)
    gligen = Gligen.for_unet(tiny.unet)
    file = tmp_path / "g.safetensors"
    save_adapter(file, gligen, gligen.config, "gligen", tiny.fingerprint, backbone_name="nano")
    folder = save_folder(tiny, tmp_path / "m")
    assert adapter_base(file) == ("nano", tiny.fingerprint)
    assert adapter_base(unet_file(folder) or file) == ("", "")
    code = (
        "import sys; from pathlib import Path; from scenewright.models import hashes; "
        "hashes.adapter_base(Path(sys.argv[1])); hashes.stored_fingerprint(Path(sys.argv[2])); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file), str(folder)]).returncode == 0
