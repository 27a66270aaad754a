"""What a fresh process imports to load a model, and the pause of the garbage collector meanwhile."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

from scenewright.backbone.imports import without_collection
from scenewright.backbone.load import save_folder
from scenewright.testing import tiny_backbone

FRESH = """
import gc, json, sys
import torch, safetensors.torch, tokenizers
import diffusers.models.unets.unet_2d_condition, diffusers.models.autoencoders.autoencoder_kl
import diffusers.schedulers.scheduling_ddim
import transformers.models.clip.modeling_clip, transformers.models.clip.tokenization_clip
before = set(sys.modules)
import scenewright
scenewright.load(sys.argv[1])
print(json.dumps([sorted(set(sys.modules) - before), gc.isenabled()]))
"""


def test_loading_imports_the_networks_classes_and_nothing_else(tmp_path) -> None:
    """No trackers, plots, tables, pipelines or parts of ours that a picture does not need."""
    folder = save_folder(tiny_backbone(0), tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(folder)], capture_output=True, text=True, check=True
    )
    added, collecting = json.loads(done.stdout.splitlines()[-1])
    ours = ("scenewright", "diffusers.schedulers.")  # diffusers asks which schedulers are alike
    foreign = [name for name in added if not name.startswith(ours)]
    assert not {name.split(".")[0] for name in foreign} - sys.stdlib_module_names, foreign
    parts = {name.split(".")[1] for name in added if name.startswith("scenewright.")}
    assert parts <= {"backbone", "condition", "errors", "flows", "models", "scene"}
    assert collecting


def test_networks_are_imported_at_their_use() -> None:
    code = "import sys, scenewright.flows.model; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("was_on", [True, False])
def test_collection_is_as_it_was_afterwards(was_on: bool) -> None:
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(KeyError), without_collection():
            with without_collection():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


def test_what_was_made_inside_is_long_lived_and_still_collected() -> None:
    class Ring:
        pass

    with without_collection():
        ring = Ring()
        ring.itself = ring
    assert gc.get_freeze_count() == 0
    assert any(one is ring for one in gc.get_objects(generation=2))
    identity = id(ring)
    del ring
    gc.collect()
    assert not any(id(one) == identity and isinstance(one, Ring) for one in gc.get_objects())


def test_what_the_caller_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with without_collection():
            pass
        assert gc.get_freeze_count() == count
    finally:
        gc.unfreeze()
