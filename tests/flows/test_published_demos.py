"""InstanceDiffusion's own demo scenes, unchanged, on a tiny adapter: everything in them acts, also in the
published modes, and the five rounds of the iterative demo are rounds of one picture."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from scenewright.backbone.load import save_folder
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.data.detect import read_scenes
from scenewright.flows.generate import generate, latents
from scenewright.flows.options import GenerateOptions
from scenewright.flows.rounds import Rounds, chained, draw, kept_cells
from scenewright.models.adapter import save_adapter
from scenewright.models.bundle import Bundle
from scenewright.models.load import load_bundle
from scenewright.scene import Point, Scene, Transform
from scenewright.scene.edits import differing
from scenewright.testing import tiny_backbone

pytestmark = [
    pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut"),
    pytest.mark.filterwarnings("ignore::scenewright.data.foreign.ClippedBoxes"),
]
SIZES = {(512, 512): (64, 64), (768, 512): (96, 64)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A tiny random model with an adapter of InstanceDiffusion's kind, through files."""
    folder = tmp_path_factory.mktemp("models")
    backbone = tiny_backbone(0)
    save_folder(backbone, folder / "tiny", torch.float32)
    config = UniFusionConfig(hidden=32, map_px=64, depths=(1, 1, 1, 1), widths=(8, 8, 16, 16))
    adapter = UniFusion.for_unet(backbone.unet, config)
    with torch.no_grad():
        for name, value in adapter.named_parameters():
            if "alpha" in name:
                value.fill_(1.0)
            elif "scaleu" in name:
                value.normal_(0, 0.1, generator=torch.Generator().manual_seed(len(name)))
    file = folder / "tiny.safetensors"
    save_adapter(file, adapter, adapter.config, "instancediffusion", backbone.fingerprint)
    return load_bundle(f"{folder / 'tiny'}+instancediffusion:{file}", "cpu")


@pytest.fixture(scope="module")
def demos(data_dir: Path) -> dict[str, Scene]:
    """The demo scenes by name, brought to an eighth of their size."""
    found = {}
    for path in sorted((data_dir / "demos").glob("demo_*.json")):
        scene = read_scenes(path)[0]
        small = Transform.fit(scene.size_wh, SIZES[scene.size_wh]).scene(scene)
        found[path.stem.removeprefix("demo_")] = small
    if not found:
        pytest.skip(f"no demo_*.json in {data_dir / 'demos'}")
    return found


def drawn(bundle: Bundle, scene: Scene, **changes) -> torch.Tensor:
    options = GenerateOptions(steps=2, guidance=2.0, **changes)
    return latents(bundle.backbone, bundle.adapter, [scene], [1], options)


def test_all_of_them_run_together_with_instances_apart(bundle, demos) -> None:
    options = GenerateOptions(steps=2, guidance=2.0, mis=0.5, batch=16)
    records = list(generate(bundle, list(demos.values()), range(len(demos)), options))
    assert len(records) == len(demos) >= 12
    for record, scene in zip(records, demos.values(), strict=True):
        assert record.scene.instances == scene.instances
        assert record.image.std() > 0 and "dropped" not in record.provenance
        assert (record.provenance["mis"], record.provenance["use"]) == (0.5, "each its own")


def test_masks_of_the_kitchen_act_unless_the_mode_drops_them(bundle, demos) -> None:
    scene = demos["corgi_kitchen"]
    assert sum(one.mask is not None for one in scene.instances) > 5
    bare = scene.replace(instances=tuple(one.replace(mask=None) for one in scene.instances))
    assert float((drawn(bundle, scene) - drawn(bundle, bare)).abs().max()) > 1e-3
    for use in ("published-box", "published-point", "box"):
        assert float((drawn(bundle, scene, use=use) - drawn(bundle, bare, use=use)).abs().max()) < 1e-5
    assert float((drawn(bundle, scene, use="published-mask") - drawn(bundle, bare, use="published-mask")).abs().max()) > 1e-3  # fmt: skip  # noqa: E501


def test_the_kitchen_in_its_published_mode_has_box_centres_as_points(bundle, demos) -> None:
    scene = demos["corgi_kitchen"]
    dots = tuple(
        one.replace(box=None, mask=None, points=(Point(*one.box.centre),)) for one in scene.instances
    )
    points = scene.replace(instances=dots)
    mode = {"use": "published-point"}
    assert float((drawn(bundle, scene, **mode) - drawn(bundle, points, **mode)).abs().max()) < 1e-5
    options = GenerateOptions(steps=2, guidance=2.0, **mode)
    record = next(generate(bundle, [scene], [1], options))
    assert record.provenance["use"] == "published-point"
    assert float((drawn(bundle, scene, **mode) - drawn(bundle, scene)).abs().max()) > 1e-3


def test_the_palms_are_placed_by_their_points(bundle, demos) -> None:
    scene = demos["palm_point"]
    assert all(one.points and one.box is None for one in scene.instances)
    moved = [
        one.replace(points=(Point(0.9, 0.1),)) if k == 0 else one for k, one in enumerate(scene.instances)
    ]
    for use in ("", "published-point"):
        gap = drawn(bundle, scene, use=use) - drawn(bundle, scene.replace(instances=tuple(moved)), use=use)
        assert float(gap.abs().max()) > 1e-4


def test_scribbles_in_such_files_act(bundle, data_dir: Path, tmp_path: Path) -> None:
    document = json.loads((data_dir / "demos" / "demo_cat_dog_robin.json").read_text())
    both = []
    for k, middle in enumerate((60, 140)):
        line = [[20 + 7 * j, middle + 2 * j] for j in range(20)]
        document["annos"][0]["scribble"] = line if k else [value for pair in line for value in pair]
        path = tmp_path / f"scribble{k}.json"
        path.write_text(json.dumps(document))
        scene = read_scenes(path)[0]
        assert scene.instances[0].scribble is not None and len(scene.instances[0].scribble.points) == 20
        both.append(Transform.fit(scene.size_wh, (64, 64)).scene(scene))
    for use in ("", "published-scribble"):
        assert float((drawn(bundle, both[0], use=use) - drawn(bundle, both[1], use=use)).abs().max()) > 1e-4


def test_the_iterative_rounds_are_a_chain(bundle, demos) -> None:
    scenes = [demos[f"iterative_r{k}"] for k in range(1, 6)]
    rounds = Rounds(chained(scenes, 1.0), 0)
    counts = [tuple(map(len, differing(a, b))) for a, b in pairwise(scenes)]
    assert all(1 <= gone + come <= 4 for gone, come in counts)
    keep_B1hw = kept_cells(rounds, (16, 24))
    shares = keep_B1hw.mean((1, 2, 3)).tolist()
    assert shares[0] == 0 and all(0.2 < share < 1 for share in shares[1:])
    records = draw(bundle, rounds, GenerateOptions(steps=4, guidance=2.0, mis=0.25, gate=(0.75, 0, 0.25)))
    for record in records[1:]:
        told = record.scores["edit"]
        assert told["outside"]["mean"] < told["inside"]["mean"]
        assert record.provenance["edit"]["changes"]
