"""Training of InstanceDiffusion's adapter: what a sample shows, where it begins, gradients, export."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_family import CPU, SMALL, generator, loop, model_folder, records

from scenewright.condition.convnext import ConvNext
from scenewright.condition.gligen import Gligen, GligenConfig
from scenewright.condition.locations import tensors
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.errors import InputError, ModelError
from scenewright.models.adapter import load_adapter, read_header, save_adapter
from scenewright.scene import Transform
from scenewright.testing import tiny_backbone
from scenewright.train.located import MODES, ShownConfig, open_scenes, phrases_of, shown
from scenewright.train.probe import ProbeConfig
from scenewright.train.recipes import find
from scenewright.train.renders import Source
from scenewright.train.unifusion import UniFusionTaskConfig, begin_with, without
from scenewright.world import toybox

NET = UniFusionConfig(
    slots=7, fourier=4, hidden=16, scribble_points=4, polygon_points=8, map_px=64,
    depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), missing="null", outline="exact",
)  # fmt: skip
EVEN = ShownConfig(kinds="even", mixed=0.5, inside=0.5, drawn=0.5, parts=0.5, smallest=0.0, by_area=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "eps")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def task(folder, cache, **changes):
    wanted = {
        "net": NET, "shown": EVEN, "sources": (SMALL,), "probe": ProbeConfig(scenes=0), "masked_rate": 0.5,
        "gate_start": 0.7, **changes,
    }  # fmt: skip
    made = UniFusionTaskConfig(backbone=str(folder), cache=cache, **wanted).build(loop())
    made.prepare(CPU, torch.float32)
    return made


def test_published_rates_of_kinds():
    scene = toybox.draw(3, size_px=64).scene
    config, rng = ShownConfig(category=0.0, smallest=0.0), np.random.default_rng(0)
    seen = [set(shown(scene, config, 30, rng)[0].kinds) for _ in range(2000)]
    assert np.mean([kinds == {"point"} for kinds in seen]) == pytest.approx(0.11, abs=0.03)
    assert all({"box", "point"} <= kinds for kinds in seen if "mask" in kinds)
    assert np.mean(["mask" in kinds for kinds in seen]) == pytest.approx(0.81, abs=0.03)


def test_samples_show_parts_classes_and_marks_of_their_own():
    scene, rng = toybox.draw(3, size_px=64).scene, np.random.default_rng(0)
    names = phrases_of(scene)
    ids, kinds = set(), set()
    for _ in range(200):
        found = shown(scene, EVEN, 7, rng)
        assert len(found) <= 7 and all(one.phrase in names for one in found)
        ids |= {one.id for one in found}
        kinds |= {one.kinds for one in found}
        inputs = tensors([found], {name: torch.ones(4) for name in names}, UniFusionConfig(
            **{**vars(NET), "feature_width": 4, "context_width": 4}), zeros=False, rng=rng)  # fmt: skip
        assert torch.isfinite(inputs.polygons_BNP).all()
    assert any("/" in id for id in ids) and set(MODES) <= kinds
    one, other = (shown(scene, EVEN, 7, np.random.default_rng(5)) for _ in range(2))
    assert one == other


def test_points_and_scribbles_lie_inside_the_mirrored_mask():
    scene = toybox.draw(3, size_px=64).scene
    mirrored = Transform.fit((64, 64), (64, 64)).flip().scene(scene)
    config = ShownConfig(kinds="even", inside=1.0, smallest=0.0)
    for seed in range(20):
        for spot in shown(mirrored, config, 7, np.random.default_rng(seed)):
            x, y = (int(side * 64) for side in spot.point)
            assert spot.mask.array()[y, x] and spot.scribble is None


def test_batches_are_pure_and_left_out_layouts_are_the_null_layout(folder, cache):
    one = task(folder, cache)
    first, again = one.batch(3, 0, 1), one.batch(3, 0, 1)
    for name, value in vars(first["located"]).items():
        assert torch.equal(value, getattr(again["located"], name)), name
    assert first["located"].masks_BN.any(dim=1).all()
    nothing = without(first["located"], torch.ones(len(first["z"]), dtype=torch.bool))
    null = one.adapter.null_tokens(len(first["z"]))
    assert torch.allclose(one.adapter.tokens(nothing), null, atol=1e-6)


def test_every_part_of_the_adapter_gets_gradients_and_the_base_none(folder, cache):
    one = task(folder, cache, align_weight=0.1)
    with torch.no_grad():
        for fuser in one.adapter.fusers.values():
            for layer in (fuser.attn.to_out[0], fuser.ff.net[2]):
                layer.weight.normal_(std=0.1)
    for step in range(6):
        loss, logged = one.loss(one.batch(step, 0, 1), generator())
        loss.backward()
        assert torch.isfinite(loss) and "align" in logged
    names = {name for name, p in one.adapter.named_parameters() if p.grad is None or not bool(p.grad.any())}
    assert not {name for name in names if "gamma" not in name}, names
    assert all(p.grad is None for p in one.backbone.vae.parameters())
    base = [p for n, p in one.backbone.unet.named_parameters() if "fuser" not in n]
    assert all(p.grad is None for p in base)


def test_it_begins_as_gligen_and_is_written_for_its_backbone(folder, cache, tmp_path):
    backbone = tiny_backbone(0)
    old = Gligen.for_unet(backbone.unet, GligenConfig(slots=4, fourier=4, hidden=16), seed=9)
    with torch.no_grad():
        old.position_net.null_positive_feature.normal_()
    new = UniFusion.for_unet(backbone.unet, NET)
    begin_with(new, old)
    boxes = new.position_net.linears_list[0]
    x = torch.randn(3, boxes[0].in_features)
    assert torch.allclose(boxes(x), old.position_net.linears(x))
    path, fuser = next(iter(new.fusers.items()))
    before = old.fusers[path].state_dict()
    assert all(torch.equal(value, before[key]) for key, value in fuser.state_dict().items())
    probe = task(folder, cache)
    file = save_adapter(tmp_path / "g.safetensors", old, old.config, "gligen", probe.backbone.fingerprint)
    made = task(folder, cache, start=str(file), data=records(tmp_path / "records"), size=64)
    assert made.validate(0, tmp_path)["loss_right_layout"] > 0
    made.export(tmp_path)
    written = tmp_path / "instancediffusion.safetensors"
    assert read_header(written).kind == "instancediffusion"
    loaded = load_adapter(written, made.backbone)
    assert isinstance(loaded, UniFusion) and loaded.config.slots == NET.slots


def test_the_network_of_masks_begins_with_a_published_trunk(folder, cache, tmp_path):
    trunk = ConvNext(NET.depths, NET.widths)
    head = {"head.weight": torch.zeros(3, 3), "norm.weight": torch.zeros(3)}
    torch.save({"model": trunk.state_dict() | head}, tmp_path / "convnext.pth")
    made = task(folder, cache, trunk=tmp_path / "convnext.pth")
    found = made.adapter.position_net.convnext_tiny_backbone.state_dict()
    assert all(torch.equal(found[key], value) for key, value in trunk.state_dict().items())
    torch.save({"model": ConvNext((1, 1, 1, 1), (4, 4, 8, 16)).state_dict()}, tmp_path / "wide.pth")
    with pytest.raises(ModelError, match=r"of the network of masks, e\.g\. downsample_layers\.3"):
        task(folder, cache, trunk=tmp_path / "wide.pth")


def test_scenes_of_records_have_their_masks(cache, tmp_path):
    folder = records(tmp_path / "records", 2)
    scenes = open_scenes(Source(name=str(folder), size_wh=(64, 64)), cache)
    assert len(scenes) == 2 and scenes[0].size_wh == (64, 64)
    assert all(one.mask.size_hw == (64, 64) for one in scenes[0].instances)
    assert scenes.phrases() >= phrases_of(scenes[1])


def test_recipes_and_what_they_refuse():
    nano, sd15 = find("nano-unifusion"), find("sd15-unifusion")
    assert nano.task.start == "nano+gligen" and sd15.task.net.slots == 30 and sd15.task.flip
    with pytest.raises(InputError, match="only the adapter"):
        UniFusionTaskConfig(train=("base",))
    with pytest.raises(InputError, match=r"shown\.mixed must be in"):
        ShownConfig(mixed=2.0)
    with pytest.raises(InputError, match="no pictures"):
        sd15.task.build(sd15.loop)
