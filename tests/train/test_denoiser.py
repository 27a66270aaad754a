"""The denoiser's task: who gets gradients, what is left out, how the loss is weighted, what is exported."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, SMALL, denoiser, denoiser_config, generator, loop, model_folder, records

from scenewright.backbone.load import load_folder
from scenewright.errors import InputError, ModelError
from scenewright.models.adapter import load_adapter, read_header
from scenewright.models.load import load_bundle
from scenewright.train import Recipe, run
from scenewright.train.denoiser import DenoiserConfig
from scenewright.train.optimise import make_optimiser
from scenewright.train.renders import Source
from scenewright.train.taught import min_snr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "eps")


@pytest.fixture(scope="module")
def v_folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "v", prediction="v_prediction")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def open_gates(task, value=0.7):
    """An adapter that has learnt something: gates open, random null tokens."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for name, parameter in task.adapter.named_parameters():
            if name.endswith(("alpha_attn", "alpha_dense")):
                parameter.fill_(value)
            elif "null" in name:
                parameter.normal_()


def backward(task, step=0):
    loss, _ = task.loss(task.batch(step, 0, 1), generator())
    loss.backward()
    return loss


def trained(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}


# What is trained.


def test_adapter_only(folder, cache):
    task = denoiser(folder, cache, train=("adapter",))
    assert list(task.modules) == ["adapter"]
    backward(task)
    # With closed gates only the gates can learn; after that everything else does.
    first = trained(task.adapter)
    assert first and all(name.endswith(("alpha_attn", "alpha_dense")) for name in first)
    open_gates(task)
    backward(task)
    everything = {name for name, _ in task.adapter.named_parameters()}
    assert trained(task.adapter) == everything
    unet = {name for name, _ in task.backbone.unet.named_parameters() if "fuser" not in name}
    assert not trained(task.backbone.unet) & unet
    assert not any(p.requires_grad for p in task.backbone.vae.parameters())
    assert not any(p.requires_grad for p in task.backbone.text_encoder.parameters())


def test_base_only(folder, cache):
    task = denoiser(folder, cache, train=("base",))
    assert list(task.modules) == ["unet"] and task.adapter is None
    batch = task.batch(0, 0, 1)
    assert not batch["layout"]
    backward(task)
    assert trained(task.backbone.unet) == {name for name, _ in task.backbone.unet.named_parameters()}
    make_optimiser(task.groups(), task.modules, loop())


def test_both(folder, cache):
    task = denoiser(folder, cache, train=("base", "adapter"), layout_rate=1.0)
    make_optimiser(task.groups(), task.modules, loop())  # every weight in exactly one group
    open_gates(task)
    backward(task)
    base = {name for name, _ in task.backbone.unet.named_parameters() if "fuser" not in name}
    assert trained(task.backbone.unet) >= base
    assert trained(task.adapter) == {name for name, _ in task.adapter.named_parameters()}


def test_base_beside_a_finished_adapter(folder, cache, tmp_path):
    first = denoiser(folder, cache, train=("adapter",))
    open_gates(first)
    first.export(tmp_path)
    task = denoiser(folder, cache, train=("base",), adapter=tmp_path / "gligen.safetensors")
    make_optimiser(task.groups(), task.modules, loop())
    assert task.batch(0, 0, 1)["layout"]
    backward(task)
    assert not trained(task.adapter) and trained(task.backbone.unet)


def test_gates_learn_faster(folder, cache):
    groups = {g["name"]: g for g in denoiser(folder, cache, gate_lr_scale=7.0).groups()}
    assert groups["gates"]["lr_scale"] == 7.0 and groups["gates"]["weight_decay"] == 0
    assert all(p.ndim == 0 for p in groups["gates"]["params"])
    assert "lr_scale" not in groups["adapter"]


def test_adapter_training_leaves_the_base_bit_equal(folder, cache, tmp_path):
    config = denoiser_config(folder, cache, train=("adapter",))
    summary = run(Recipe(name="a", task=config, loop=loop(steps=3, lr=1e-2)), tmp_path / "run")
    assert summary["finished"] and not (tmp_path / "run/export/model").exists()
    adapter = tmp_path / "run/export/gligen.safetensors"
    base = load_folder(folder)
    assert read_header(adapter).backbone == base.fingerprint
    bundle = load_bundle(f"{folder}+{adapter}", device="cpu", dtype="float32")
    assert any(value != 0 for value in bundle.adapter.gates().values())
    before = base.unet.state_dict()
    task = denoiser(folder, cache, train=("adapter",))
    optimiser = make_optimiser(task.groups(), task.modules, loop(lr=1e-2))
    for step in range(2):
        backward(task, step)
        optimiser.step()
    task.handle.close()
    after = task.backbone.unet.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_gradient_checkpointing_changes_nothing_but_memory(folder, cache):
    plain, checkpointed = (denoiser(folder, cache, train=("adapter",)) for _ in range(2))
    checkpointed.enable_gradient_checkpointing()
    blocks = [m for m in checkpointed.backbone.unet.modules() if type(m).__name__ == "CrossAttnDownBlock2D"]
    inner, calls = blocks[0]._gradient_checkpointing_func, []
    blocks[0]._gradient_checkpointing_func = lambda *a, **k: (calls.append(1), inner(*a, **k))[1]
    for task in (plain, checkpointed):
        open_gates(task)
        backward(task)
    assert calls
    wanted = {name: p.grad for name, p in plain.adapter.named_parameters()}
    found = {name: p.grad for name, p in checkpointed.adapter.named_parameters()}
    assert all(torch.allclose(wanted[name], found[name], atol=1e-6) for name in wanted)


# What is left out.


def test_layout_rate_is_a_share_of_the_batches(folder, cache):
    def rate(share):
        task = denoiser(folder, cache, train=("base", "adapter"), layout_rate=share)
        return np.mean([task.batch(step, 0, 1)["layout"] for step in range(200)])

    assert rate(0.0) == 0 and rate(1.0) == 1 and 0.35 < rate(0.5) < 0.65


def test_without_layout_the_adapter_is_not_there(folder, cache):
    bare = denoiser(folder, cache, train=("base",), layout_rate=0.0)
    both = denoiser(folder, cache, train=("base", "adapter"), layout_rate=0.0)
    open_gates(both)
    assert torch.equal(backward(bare), backward(both))
    assert not trained(both.adapter)


def test_null_layout_is_not_no_layout(folder, cache):
    task = denoiser(folder, cache, layout_drop=1.0)
    open_gates(task)
    batch = task.batch(0, 0, 1)
    assert batch["layout"] and bool(batch["no_layout"].all())
    grounding = task._grounding(task._layout(batch))
    assert torch.equal(grounding.tokens_RMD, task.adapter.null_tokens(4))
    assert grounding.gate_R.tolist() == [1.0] * 4  # the fusers run and learn the null tokens
    null, _ = task.loss(batch, generator())
    none, _ = task.loss({**batch, "layout": False}, generator())
    some, _ = task.loss({**batch, "no_layout": torch.zeros(4, dtype=torch.bool)}, generator())
    assert len({one.item() for one in (null, none, some)}) == 3


def test_captions_are_left_out(folder, cache):
    def share(drop):
        task = denoiser(folder, cache, caption_drop=drop)
        texts = [text for step in range(60) for text in task.batch(step, 0, 1)["captions"]]
        return np.mean([text == "" for text in texts])

    assert share(0.0) == 0 and share(1.0) == 1 and 0.4 < share(0.5) < 0.6


def test_crops_come_first_and_more_of_them(folder, cache):
    crops = {"crop_steps": 40, "crop_rate": 0.5, "crop_cells": 8, "crop_rows": 3}
    task = denoiser(folder, cache, **crops)
    whole = tuple(denoiser(folder, cache).batch(0, 0, 1)["z"].shape)
    batches = [task.batch(step, 0, 1) for step in range(60)]
    cropped = [batch for batch in batches if tuple(batch["z"].shape) != whole]
    assert 10 < len(cropped) < 30 and all(tuple(batch["z"].shape) == whole for batch in batches[40:])
    side = 8 * task.backbone.stride
    for batch in cropped:
        assert batch["z"].shape[0] == 12 and batch["z"].shape[2:] == (8, 8)
        assert batch["size_wh"] == (side, side) and len(batch["captions"]) == len(batch["items"]) == 12
    assert torch.isfinite(task.loss(cropped[0], generator())[0])


def test_scenes_of_one_object_come_first(folder, cache):
    task = denoiser(folder, cache, one_object_steps=5)
    sizes = [[len(boxed.item.boxes) for boxed in task.batch(step, 0, 1)["items"]] for step in range(20)]
    assert all(size == 1 for batch in sizes[:5] for size in batch)
    assert any(size > 1 for batch in sizes[5:] for size in batch)


def test_texts_without_boxes_are_of_one_or_two_things_more_often(folder, cache):
    task = denoiser(folder, cache, layout_rate=0.5, few_rate=1.0)
    batches = [task.batch(step, 0, 1) for step in range(30)]
    most = {
        layout: max(len(boxed.item.boxes) for b in batches if b["layout"] == layout for boxed in b["items"])
        for layout in (False, True)
    }
    assert most[False] <= 2 < most[True]


def test_batches_depend_on_step_and_process_alone(folder, cache):
    one, two = denoiser(folder, cache), denoiser(folder, cache)
    assert torch.equal(one.batch(3, 0, 2)["z"], two.batch(3, 0, 2)["z"])
    assert not torch.equal(one.batch(3, 0, 2)["z"], one.batch(3, 1, 2)["z"])
    assert not torch.equal(one.batch(3, 0, 2)["z"], one.batch(4, 0, 2)["z"])
    assert len(one.batch(0, 0, 7)["z"]) == 4  # the batch size, whatever the number of processes


def test_shares_choose_the_source(folder, cache):
    town = Source(name="town", count=6, size_wh=(64, 32), share=0.25)
    task = denoiser(folder, cache, sources=(replace(SMALL, share=0.75), town))
    sizes = [task.batch(step, 0, 1)["size_wh"] for step in range(200)]
    assert 0.65 < np.mean([size == (64, 64) for size in sizes]) < 0.85


# Noise and weights.


@pytest.mark.parametrize(("prediction", "gamma"), [("eps", 5.0), ("v", 5.0), ("eps", None), ("v", 1.0)])
def test_min_snr_weights_by_hand(folder, v_folder, cache, prediction, gamma):
    task = denoiser(v_folder if prediction == "v" else folder, cache, snr_gamma=gamma)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    alpha_bar = np.cumprod(1 - betas)
    snr = alpha_bar / (1 - alpha_bar)
    t = np.array([0, 10, 200, 500, 800, 999])
    if gamma is None:
        wanted = np.ones(6)
    elif prediction == "eps":
        wanted = np.minimum(snr[t], gamma) / snr[t]
    else:
        wanted = np.minimum(snr[t], gamma) / (snr[t] + 1)
    assert np.allclose(min_snr(task.noise, torch.from_numpy(t), gamma), wanted, rtol=1e-3)


@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_the_loss_by_hand(folder, v_folder, cache, prediction):
    task = denoiser(v_folder if prediction == "v" else folder, cache, train=("base",))
    batch = task.batch(0, 0, 1)
    batch["captions"] = [""] * 4
    loss, logged = task.loss(batch, generator(5))
    random = generator(5)
    t_B = torch.randint(1000, (4,), generator=random)
    noise = torch.randn(batch["z"].shape, generator=random)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1 - betas, 0)[t_B].float().view(4, 1, 1, 1)
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    noisy = a * batch["z"] + s * noise
    target = noise if prediction == "eps" else a * noise - s * batch["z"]
    backbone = task.backbone
    ids = backbone.tokenizer([""] * 4, padding="max_length", max_length=48, return_tensors="pt").input_ids
    text = backbone.text_encoder(ids).last_hidden_state
    output = backbone.unet(noisy, t_B, encoder_hidden_states=text).sample
    error_B = (output - target).square().mean((1, 2, 3))
    assert torch.allclose(loss, error_B.mean(), rtol=1e-4)
    assert logged["high"] == pytest.approx(error_B[t_B > 500].mean().item(), rel=1e-4)


def test_cells_of_boxes_that_are_not_told_count_as_any_other(folder, cache):
    """A weight on places that the network must guess would teach it to draw too many things."""
    plain = denoiser(folder, cache, layout_drop=1.0)
    heavy = denoiser(folder, cache, layout_drop=1.0, object_weight=3.0)
    heavy.adapter.load_state_dict(plain.adapter.state_dict())
    for layout in (False, True):
        batch = plain.batch(0, 0, 1) | {"layout": layout}
        assert torch.equal(plain.loss(batch, generator())[0], heavy.loss(batch, generator())[0])
    told = batch | {"layout": True, "no_layout": torch.zeros(len(batch["z"]), dtype=torch.bool)}
    assert not torch.equal(plain.loss(told, generator())[0], heavy.loss(told, generator())[0])


def test_boxes_teach_the_text_without_being_told(folder, cache):
    """The target without boxes moves towards the answer with them, where a picture has any."""
    from scenewright.backbone.call import Call, Conditioning

    task = denoiser(folder, cache, train=("base", "adapter"), boxes_teach=0.75, layout_rate=0.0)
    open_gates(task)
    batch = task.batch(0, 0, 1)
    batch["items"][0] = replace(batch["items"][0], item=replace(batch["items"][0].item, phrases=(), boxes=()))
    cond = Conditioning(task._text(batch))
    taught = task._with_boxes(batch, cond)
    assert taught.boxed_B.tolist()[0] is False and bool(taught.boxed_B[1:].all())
    z, t_B = batch["z"], torch.full((len(batch["z"]),), 600)
    target = torch.randn(z.shape, generator=generator())
    mixed = taught.target(task.denoise, z, t_B, target)
    with torch.no_grad():
        answer = task.denoise(z, Call.plain(t_B, taught.cond))
        bare = task.denoise(z, Call.plain(t_B, cond))
    assert not torch.allclose(answer[1:], bare[1:], atol=1e-3)
    assert torch.equal(mixed[0], target[0])
    assert torch.allclose(mixed[1:], 0.25 * target[1:] + 0.75 * answer[1:], atol=1e-5)
    assert not mixed.requires_grad
    loss, _ = task.loss(batch, generator())
    task.config = replace(task.config, boxes_teach=0.0)
    assert loss.requires_grad and not torch.equal(loss, task.loss(batch, generator())[0])


def test_states_of_the_blocks_are_compared_with_those_that_know_the_boxes(folder, cache):
    task = denoiser(
        folder, cache, train=("base", "adapter"), boxes_teach=0.5, states_weight=0.1, layout_rate=0.0
    )
    task.backbone.unet.train()
    batch = task.batch(0, 0, 1)
    assert task.loss(batch, generator())[1]["states"] < 1e-9  # gates of zero: boxes change nothing yet
    open_gates(task)
    loss, logged = task.loss(batch, generator())
    assert logged["states"] > 0 and not task.states.take(more=False)
    loss.backward()
    task.config = replace(task.config, states_weight=0.2)
    twice = task.loss(batch, generator())[0]
    assert float((twice - loss).detach()) == pytest.approx(0.1 * logged["states"], rel=1e-3)


def test_pictures_encoded_in_the_step_give_the_loss_of_cached_latents(folder, cache):
    cached = denoiser(folder, cache)
    fresh = denoiser(folder, cache, cache_latents=False)
    assert "images" in fresh.batch(0, 0, 1)
    losses = [task.loss(task.batch(0, 0, 1), generator())[0] for task in (cached, fresh)]
    assert torch.allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("cached", [True, False])
def test_mirrored_pictures_have_mirrored_boxes(folder, cache, cached):
    plain = denoiser(folder, cache, cache_latents=cached, batch_size=16)
    flipping = denoiser(folder, cache, cache_latents=cached, batch_size=16, flip=True)
    one, two = plain.batch(0, 0, 1), flipping.batch(0, 0, 1)
    key = "z" if cached else "images"
    changed = [not torch.equal(a, b) for a, b in zip(one[key], two[key], strict=True)]
    boxes = [(a.item.boxes, b.item.boxes) for a, b in zip(one["items"], two["items"], strict=True)]
    assert 2 < sum(changed) < 14
    for mirrored, (before, after) in zip(changed, boxes, strict=True):
        wanted = [(1 - x1, y0, 1 - x0, y1) for x0, y0, x1, y1 in before] if mirrored else list(before)
        assert np.allclose(wanted, after)


# Results.


def test_a_trained_base_and_its_adapter_belong_together(folder, cache, tmp_path):
    from diffusers import StableDiffusionPipeline

    config = denoiser_config(folder, cache, train=("base", "adapter"), layout_rate=0.5)
    run(Recipe(name="both", task=config, loop=loop(steps=3, ema_decay=0.9)), tmp_path / "run")
    export = tmp_path / "run/export"
    model = load_bundle(str(export / "model"), device="cpu", dtype="float32").backbone
    header = read_header(export / "gligen.safetensors")
    assert header.backbone == model.fingerprint != load_folder(folder).fingerprint
    load_adapter(export / "gligen.safetensors", model)
    with pytest.raises(ModelError, match="was trained on"):
        load_adapter(export / "gligen.safetensors", load_folder(folder))
    pipe = StableDiffusionPipeline.from_pretrained(export / "model", torch_dtype=torch.float16)
    stored = pipe.unet.state_dict()
    assert stored.keys() == model.unet.state_dict().keys()
    assert all(torch.equal(stored[key].float(), value) for key, value in model.unet.state_dict().items())
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) for line in log)


def test_export_leaves_the_task_as_it_was(folder, cache, tmp_path):
    task = denoiser(folder, cache, train=("base", "adapter"))
    before, _ = task.loss(task.batch(0, 0, 1), generator())
    task.export(tmp_path)
    after, _ = task.loss(task.batch(0, 0, 1), generator())
    assert torch.equal(before, after) and task.handle.is_open


def test_a_folder_of_records_in_place_of_the_sources(folder, cache, tmp_path):
    data = records(tmp_path / "records", 5)
    task = denoiser(folder, cache, data=data, size=64)
    batch = task.batch(0, 0, 1)
    assert batch["size_wh"] == (64, 64) and batch["z"].shape == (4, 4, 16, 16)
    assert len(task.pools[0].items) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": ()}, "task.train is empty"),
        ({"layout_rate": 1.5}, r"layout_rate must be in \[0, 1\]"),
        ({"caption_drop": -0.1}, r"caption_drop must be in \[0, 1\]"),
        ({"size": 100}, "multiple of 8"),
        ({"boxes_teach": 1.2}, r"boxes_teach must be in \[0, 1\]"),
        ({"train": ("base",), "boxes_teach": 0.5}, "boxes_teach needs an adapter"),
        ({"states_weight": 0.1}, "states_weight needs the pass with boxes"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(InputError, match=message):
        DenoiserConfig(**changes)


def test_no_pictures(folder, cache):
    with pytest.raises(InputError, match="no pictures"):
        denoiser_config(folder, cache, sources=()).build(loop())


def test_a_stage_that_was_not_trained_yet(cache, tmp_path):
    from scenewright.train.denoiser import UnetSizes

    config = DenoiserConfig(unet=UnetSizes(), vae=tmp_path, text=tmp_path, sources=(SMALL,), cache=cache)
    with pytest.raises(InputError, match="no trained network"):
        config.build(loop()).prepare(CPU, torch.float32)


def test_resumed_equals_uninterrupted(folder, cache, tmp_path):
    config = denoiser_config(folder, cache, train=("base", "adapter"), layout_rate=0.5, flip=True)

    def train(out, steps, resume=False):
        training = loop(steps=steps, schedule="constant", log_every=1, save_every=2, ema_decay=0.9)
        run(Recipe(name="r", task=config, loop=training), tmp_path / out, resume)
        return tmp_path / out

    whole = train("whole", 4)
    train("parts", 2)
    parts = train("parts", 4, resume=True)
    assert (whole / "log.jsonl").read_bytes() == (parts / "log.jsonl").read_bytes()
    for name in ("gligen.safetensors", "model/unet/diffusion_pytorch_model.safetensors"):
        wanted, found = (load_file(out / "export" / name) for out in (whole, parts))
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[key], found[key]) for key in wanted), name


# Control.


def test_the_layout_makes_no_difference_until_gates_open(folder, cache, tmp_path):
    task = denoiser(folder, cache, train=("adapter",))
    names = ("loss_right_layout", "loss_no_layout", "loss_wrong_layout")
    with torch.no_grad():
        closed = [task.validate(0, tmp_path)[name] for name in names]
        open_gates(task, 2.0)
        opened = [task.validate(0, tmp_path)[name] for name in names]
    assert closed == pytest.approx([closed[1]] * 3)
    assert opened[1] == pytest.approx(closed[1])
    assert len({round(loss, 7) for loss in opened}) == 3
