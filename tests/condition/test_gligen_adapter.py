"""The GLIGEN adapter on a tiny backbone: what changes a picture and what must not; scenes to inputs."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.condition.fuser import GatedFuser, context_width
from scenewright.condition.gligen import (
    Gligen,
    GligenConfig,
    GligenInputs,
    empty_inputs,
    inputs_from_scenes,
)
from scenewright.errors import ModelError, SceneError
from scenewright.scene import Box, Instance, Mask, Point, Scene
from scenewright.testing import tiny_backbone

CAR = Instance(phrase="a red car", box=Box(0.1, 0.2, 0.5, 0.9))
CAT = Instance(phrase="a blue cat", box=Box(0.6, 0.1, 0.9, 0.4))


def scene(*instances: Instance) -> Scene:
    return Scene(prompt="a picture", size_wh=(128, 128), instances=instances)


@pytest.fixture(scope="module", params=["nano", "sd1", "sd2"])
def backbone(request):
    return tiny_backbone(3, request.param)


@pytest.fixture(scope="module")
def nano():
    return tiny_backbone(3)


def trained(unet, slots: int = 4) -> Gligen:
    """An adapter whose gates are open, as after training."""
    adapter = Gligen.for_unet(unet, GligenConfig(slots=slots)).requires_grad_(False)
    for k, fuser in enumerate(adapter.fusers.values()):
        fuser.alpha_attn.fill_(0.8 - 0.1 * k)
        fuser.alpha_dense.fill_(0.5)
    adapter.position_net.null_positive_feature.normal_(generator=torch.Generator().manual_seed(1))
    adapter.position_net.null_position_feature.normal_(generator=torch.Generator().manual_seed(2))
    return adapter.eval()


def latents(backbone, rows: int) -> torch.Tensor:
    return torch.randn(rows, backbone.channels, 8, 8, generator=torch.Generator().manual_seed(5))


def output(backbone, grounding: Grounding | None, rows: int) -> torch.Tensor:
    text = embed(backbone, ["a picture of a car"] * rows).tokens_BLD
    with torch.no_grad():
        z = latents(backbone, rows)
        return network(backbone.unet)(z, Call.plain(torch.tensor(501), Conditioning(text, grounding)))


def test_no_scenes_give_empty_inputs(nano):
    inputs = inputs_from_scenes([], nano, Gligen.for_unet(nano.unet).config)
    assert inputs.boxes_BN4.shape == (0, 30, 4) and inputs.dropped == ()


def test_inputs_hold_boxes_and_phrases_in_scene_order(nano):
    config = Gligen.for_unet(nano.unet, GligenConfig(slots=3)).config
    masked = Instance(phrase="a cat", mask=Mask.from_array(torch.ones(128, 128).bool().numpy()))
    unplaced = Instance(phrase="a dog")
    inputs = inputs_from_scenes([scene(CAR, unplaced, CAT), scene(), scene(masked)], nano, config)
    assert inputs.masks_BN.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert inputs.boxes_BN4[0, :2].tolist() == [pytest.approx(CAR.box.xyxy), pytest.approx(CAT.box.xyxy)]
    assert inputs.boxes_BN4[2, 0].tolist() == [0, 0, 1, 1]
    pooled = embed(nano, ["a red car", "a blue cat", "a cat"]).pooled_BD
    assert torch.allclose(inputs.features_BND[0, :2], pooled[:2], atol=1e-6)
    assert torch.allclose(inputs.features_BND[2, 0], pooled[2], atol=1e-6)
    assert inputs.features_BND[0, 2].abs().max() == 0 and inputs.dropped == ((), (), ())


def test_known_phrases_are_not_embedded_again(nano):
    config = Gligen.for_unet(nano.unet).config
    mine = torch.full((config.feature_width,), 7.0)
    inputs = inputs_from_scenes([scene(CAR, CAT)], nano, config, known={"a red car": mine})
    assert torch.equal(inputs.features_BND[0, 0], mine)
    assert torch.allclose(inputs.features_BND[0, 1], embed(nano, ["a blue cat"]).pooled_BD[0], atol=1e-6)


def test_too_many_instances_are_refused_or_the_largest_kept(nano):
    config = Gligen.for_unet(nano.unet, GligenConfig(slots=2)).config
    small = Instance(phrase="a dog", points=(Point(0.5, 0.5),), box=Box(0.0, 0.0, 0.1, 0.1))
    crowded = scene(small, CAT, CAR)
    with pytest.raises(
        SceneError, match="scene 1 has 3 located instances, the adapter has 2 slots"
    ) as caught:
        inputs_from_scenes([scene(), crowded], nano, config)
    assert "--overflow largest" in caught.value.hint
    inputs = inputs_from_scenes([scene(), crowded], nano, config, "largest")
    assert inputs.dropped == ((), (crowded.instances[0].id,))
    assert inputs.boxes_BN4[1].tolist() == [pytest.approx(CAR.box.xyxy), pytest.approx(CAT.box.xyxy)]


def test_fresh_adapter_has_the_networks_widths_and_changes_nothing(backbone):
    adapter = Gligen.for_unet(backbone.unet, GligenConfig(slots=4))
    assert adapter.config.context_width == context_width(backbone.unet)
    assert set(adapter.gates().values()) == {0.0}
    for path, fuser in adapter.fusers.items():
        block = backbone.unet.get_submodule(path)
        assert fuser.attn.heads == block.attn1.heads
        assert fuser.norm1.normalized_shape == block.norm1.normalized_shape
    inputs = inputs_from_scenes([scene(CAR), scene(CAT)], backbone, adapter.config)
    base = output(backbone, None, 2)
    with torch.no_grad(), adapter.attach(backbone.unet):
        grounding = adapter.grounding(inputs)
        assert grounding.gate_R.tolist() == [1.0, 1.0]
        assert torch.equal(output(backbone, grounding, 2), base)
    assert torch.equal(output(backbone, None, 2), base)


def test_the_same_seed_gives_the_same_fresh_adapter_and_leaves_the_global_generator(nano):
    before = torch.random.get_rng_state()
    one, two = Gligen.for_unet(nano.unet, seed=4), Gligen.for_unet(nano.unet, seed=4)
    other = Gligen.for_unet(nano.unet, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [a.state_dict() for a in (one, two, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(
        states[0]["position_net.linears.0.weight"], states[2]["position_net.linears.0.weight"]
    )


def test_scenes_without_boxes_equal_the_base_in_a_mixed_batch_also_with_guidance(backbone):
    adapter = trained(backbone.unet)
    texts = embed(backbone, ["a red car", "a cat", "the sky"]).tokens_BLD
    empty = embed(backbone, [""] * 3).tokens_BLD
    z = latents(backbone, 3)
    noise = Noise(backbone.scheduler, 3)
    start = noise.start(z)
    plain = sample(
        guided(network(backbone.unet), 4.0, Conditioning(empty)), noise, start, Conditioning(texts)
    )
    inputs = inputs_from_scenes([scene(CAR), scene(), scene(CAT, CAR)], backbone, adapter.config)
    layout = adapter.grounding(inputs)
    negative = Conditioning(empty, adapter.null_grounding(layout))
    with adapter.attach(backbone.unet):
        denoise = guided(network(backbone.unet), 4.0, negative)
        mixed = sample(denoise, noise, start, Conditioning(texts, layout))
    assert (mixed[1] - plain[1]).abs().max() < 1e-4
    assert min((mixed[row] - plain[row]).abs().max() for row in (0, 2)) > 1e-2


def test_null_layout_no_layout_and_gate_zero_are_three_things(nano):
    adapter = trained(nano.unet)
    grounding = adapter.grounding(inputs_from_scenes([scene(CAR)], nano, adapter.config))
    base = output(nano, None, 1)
    with adapter.attach(nano.unet):
        on = output(nano, grounding, 1)
        null = output(nano, adapter.null_grounding(grounding), 1)
        off = output(nano, grounding.scaled(0.0), 1)
        half = output(nano, grounding.scaled(0.5), 1)
        none = output(nano, None, 1)
    assert torch.equal(off, base) and torch.equal(none, base)
    changes = [
        (a - b).abs().max() for a, b in ((on, base), (null, base), (on, null), (half, on), (half, base))
    ]
    assert min(changes) > 1e-3


def test_a_row_does_not_depend_on_its_neighbours_or_their_gates(nano):
    fuser = next(iter(trained(nano.unet).fusers.values()))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 9, fuser.norm1.normalized_shape[0], generator=rng)
    tokens = torch.randn(3, 4, fuser.linear.in_features, generator=rng)
    out = fuser(x, Grounding(tokens, torch.tensor([0.3, 0.0, 1.0])))
    assert torch.equal(out[1], x[1])
    for row, gate in ((0, 0.3), (2, 1.0)):
        alone = fuser(x[row : row + 1], Grounding(tokens[row : row + 1], torch.tensor([gate])))
        assert torch.allclose(out[row], alone[0], atol=1e-6)


def test_only_gates_move_first_then_everything(nano):
    adapter = Gligen.for_unet(nano.unet, GligenConfig(slots=4))
    inputs = inputs_from_scenes([scene(CAR)], nano, adapter.config)
    text = embed(nano, ["a red car"]).tokens_BLD

    def gradients() -> dict[str, float]:
        adapter.zero_grad()
        with adapter.attach(nano.unet):
            call = Call.plain(torch.tensor(501), Conditioning(text, adapter.grounding(inputs)))
            network(nano.unet)(latents(nano, 1), call).square().mean().backward()
        return {key: float(value.grad.norm()) for key, value in adapter.named_parameters()}

    first = gradients()
    assert first["position_net.linears.0.weight"] == 0.0
    assert all((value > 0) == ("alpha" in key) for key, value in first.items())
    with torch.no_grad():
        for fuser in adapter.fusers.values():
            fuser.alpha_attn.fill_(0.5)
            fuser.alpha_dense.fill_(0.5)
    assert all(value > 0 for value in gradients().values())


def test_bfloat16_network_and_adapter_run(nano):
    unet = copy.deepcopy(nano.unet).to(torch.bfloat16)
    half = dataclasses.replace(nano, unet=unet)
    adapter = trained(unet).to(torch.bfloat16)
    grounding = adapter.grounding(inputs_from_scenes([scene(CAR), scene()], nano, adapter.config))
    assert grounding.tokens_RMD.dtype == torch.float32
    base = output(half, None, 2)
    with adapter.attach(unet):
        out = output(half, grounding, 2)
    assert out.isfinite().all()
    assert not torch.equal(out[0], base[0])
    assert torch.allclose(out[1], base[1], atol=0.05)


def test_tokens_are_the_same_alone_and_in_a_batch(nano):
    adapter = trained(nano.unet)
    scenes = [scene(CAR), scene(CAT, CAR), scene()]
    with torch.no_grad():
        together = adapter.tokens(inputs_from_scenes(scenes, nano, adapter.config))
        for row, one in enumerate(scenes):
            alone = adapter.tokens(inputs_from_scenes([one], nano, adapter.config))
            assert torch.allclose(together[row], alone[0], atol=1e-5)
        assert torch.allclose(together[2], adapter.null_tokens(1)[0], atol=1e-6)


def test_nothing_is_mutated(nano):
    adapter = trained(nano.unet)
    scenes = [scene(CAR, CAT)]
    inputs = inputs_from_scenes(scenes, nano, adapter.config)
    before = copy.deepcopy(inputs)
    adapter.grounding(inputs)
    for name in ("boxes_BN4", "masks_BN", "features_BND"):
        assert torch.equal(getattr(inputs, name), getattr(before, name))
    assert scenes == [scene(CAR, CAT)]


def test_config_survives_json_and_refuses_what_it_does_not_know():
    config = GligenConfig(slots=10, feature_width=128)
    assert GligenConfig.from_json(config.to_json()) == config
    with pytest.raises(ModelError, match="unknown key 'slot'") as caught:
        GligenConfig.from_json('{"slot": 3}')
    assert "slots" in caught.value.hint
    for text in ("[]", "{", '{"slots": 0}', '{"slots": "many"}'):
        with pytest.raises(ModelError):
            GligenConfig.from_json(text)


def test_a_network_without_attention_is_refused():
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 8), norm_num_groups=4, cross_attention_dim=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), mid_block_type=None, attention_head_dim=2,
    )  # fmt: skip
    with pytest.raises(ModelError, match="different widths"):
        Gligen.for_unet(unet)


def test_fuser_equals_diffusers_gated_attention():
    from diffusers.models.attention import GatedSelfAttentionDense

    theirs = GatedSelfAttentionDense(24, 10, 3, 8)
    ours = GatedFuser(24, 10, 3, 8)
    with torch.no_grad():
        theirs.alpha_attn.fill_(0.7)
        theirs.alpha_dense.fill_(-0.4)
    ours.load_state_dict(theirs.state_dict())
    x, tokens = torch.randn(2, 6, 24), torch.randn(2, 5, 10)
    assert torch.allclose(ours(x, Grounding(tokens, torch.ones(2))), theirs(x, tokens), atol=1e-5)


def test_compiled_form_equals_the_eager_one(nano, monkeypatch):
    fuser = next(iter(trained(nano.unet).fusers.values()))
    x = torch.randn(3, 9, fuser.norm1.normalized_shape[0])
    grounding = Grounding(torch.randn(3, 4, fuser.linear.in_features), torch.tensor([0.3, 0.0, 1.0]))
    eager = fuser(x, grounding)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    dense = fuser(x, grounding)
    assert torch.allclose(dense, eager, atol=1e-6) and torch.equal(dense[1], x[1])


def test_empty_inputs_have_the_adapters_shapes():
    inputs = empty_inputs(2, GligenConfig(slots=5, feature_width=7))
    assert isinstance(inputs, GligenInputs)
    assert (inputs.boxes_BN4.shape, inputs.features_BND.shape) == ((2, 5, 4), (2, 5, 7))
