"""Names become places, or errors that say what to do."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path

import pytest
import torch

from scenewright.backbone.load import save_folder
from scenewright.backbone.model import Backbone
from scenewright.condition.gligen import Gligen
from scenewright.convert.dispatch import convert
from scenewright.errors import InputError, ModelError
from scenewright.models.adapter import save_adapter
from scenewright.models.cards import KINDS, card_of_repo, cards, living_id, removed_ids
from scenewright.models.load import ModelNotice, load_bundle, pick_device, pick_dtype
from scenewright.models.overview import add, overview, table
from scenewright.models.registry import cards_of, resolve
from scenewright.models.store import added, home, remember, snapshot
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return tiny_backbone(0)


@pytest.fixture(scope="module")
def folder(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tiny, tmp_path_factory.mktemp("m") / "tiny", torch.float32)


@pytest.fixture(scope="module")
def adapter(tiny: Backbone, folder: Path) -> Path:
    gligen = Gligen.for_unet(tiny.unet, seed=1)
    return save_adapter(
        folder.parent / "g.safetensors",
        gligen,
        gligen.config,
        "gligen",
        tiny.fingerprint,
        backbone_name="t",
    )


def _in_cache(folder: Path, tmp_path: Path, repo: str, revision: str) -> Path:
    place = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(revision)
    (place / "snapshots").mkdir()
    (place / "snapshots" / revision).symlink_to(folder)
    return place / "snapshots" / revision


def test_cards_are_sound() -> None:
    needed = {"nano", "nano+gligen", "sd14", "sd15", "sd21", "sd21-base", "sd14+gligen", "instancediffusion"}
    assert needed | {"dginstyle", "grounding", "clip-tokenizer"} <= set(cards())
    for alias, card in cards().items():
        assert card.alias == alias
        assert card.kind in KINDS
        assert card.licence and card.title
        assert sum((bool(card.embedded), bool(card.mirrors), card.manual is not None)) == 1, alias
        assert not card.belongs_to or card.belongs_to in cards()
        assert all(base in cards() for base in card.fits)
        assert not card.single_file or card.single_file in {file.path for file in card.files}
        for mirror in card.mirrors:
            assert living_id(mirror.repo) == mirror.repo, "a mirror that was removed"
            assert mirror.revision is None or re.fullmatch(r"[0-9a-f]{40}", mirror.revision)
        for file in card.files:
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_removed_ids_have_mirrors() -> None:
    for gone, living in removed_ids().items():
        assert living_id(gone) == living == living_id(living)
    assert living_id("runwayml/anything") == "stable-diffusion-v1-5/anything"
    assert living_id("stabilityai/stable-diffusion-2-new") == "sd2-community/stable-diffusion-2-new"
    assert living_id("stabilityai/stable-diffusion-xl-base-1.0") == "stabilityai/stable-diffusion-xl-base-1.0"
    card = card_of_repo(living_id("stabilityai/stable-diffusion-2-1-base"))
    assert card is not None
    assert card.alias == "sd21-base"


def test_folder_file_and_added_names(folder: Path, adapter: Path) -> None:
    assert resolve(str(folder)).backbone == folder
    both = resolve(f"{folder}+gligen:{adapter}")
    assert (both.backbone, both.adapter, both.any_backbone) == (folder, adapter, False)
    assert resolve(f"{folder}+{adapter}").adapter == adapter
    assert add(folder, "mine") == ("mine", "backbone")
    assert add(adapter, "mine+gligen") == ("mine+gligen", "adapter")
    found = resolve("mine+gligen")
    assert (found.backbone, found.adapter, found.backbone_name) == (folder, adapter, "mine")
    assert set(added()) == {"mine", "mine+gligen"}


def test_folder_with_a_plus_in_its_name(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a+b"
    odd.symlink_to(folder)
    assert resolve(str(odd)).backbone == odd


def test_hub_cache_and_removed_ids(folder: Path, tmp_path: Path) -> None:
    mirror = cards()["sd15"].mirrors[0]
    assert mirror.revision
    place = _in_cache(folder, tmp_path, mirror.repo, mirror.revision)
    assert snapshot(mirror.repo) == place
    for name in ("sd15", mirror.repo, "runwayml/stable-diffusion-v1-5"):
        found = resolve(name)
        assert (found.backbone, found.backbone_name) == (place, "sd15")
        assert bool(found.notices) == name.startswith("runwayml")
    with pytest.warns(ModelNotice, match="runwayml/stable-diffusion-v1-5 was removed"):
        bundle = load_bundle("runwayml/stable-diffusion-v1-5", "cpu")
    assert bundle.backbone.name == "sd15"
    _in_cache(folder, tmp_path, "someone/thing", "2" * 40)
    assert resolve("someone/thing").backbone_name == "someone/thing"


def test_adapter_of_one_base_on_its_relative(folder: Path, adapter: Path, tmp_path: Path) -> None:
    for alias in ("sd14", "sd15"):
        remember(alias, folder, "backbone")
    gligen = cards()["sd14+gligen"].mirrors[0].repo
    _in_cache(folder, tmp_path, gligen, "3" * 40)
    with pytest.raises(ModelError, match="foreign format") as caught:
        resolve("sd15+gligen")
    assert caught.value.hint == "run: scenewright models convert sd14+gligen"
    remember("sd14+gligen", adapter, "adapter")
    assert resolve("sd15+gligen").any_backbone
    assert not resolve("sd14+gligen").any_backbone


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("", "empty", "nano"),
        ("nanoo", "unknown model 'nanoo'", "did you mean nano?"),
        ("qqqq", "unknown model 'qqqq'", "models list"),
        ("sd21", "is not on this machine", "run: scenewright models pull sd21"),
        ("a/b", "a/b is not in the hub cache", "run: scenewright models pull a/b"),
        ("./nothing", "no model at nothing", "check the path"),
        ("/nothing/model.safetensors", "no model at /nothing/model.safetensors", "check the path"),
        ("instancediffusion", "not a backbone but instancediffusion-original", "sd15+instancediffusion"),
        ("mine+", "expected BASE", "nano+gligen"),
        ("mine+gligen:/nothing.safetensors", "no adapter at /nothing.safetensors", "check the path"),
        ("sd14+gligan", "no adapter 'gligan' for sd14", "did you mean sd14+gligen?"),
        ("mine+gligen", "none is known for mine", "mine+gligen:PATH"),
        ("sd14+gligen", "is not on this machine", "run: scenewright models pull sd14+gligen"),
    ],
)
def test_wrong_names_say_what_to_do(name: str, message: str, hint: str, folder: Path) -> None:
    remember("mine", folder, "backbone")
    remember("sd14", folder, "backbone")
    with pytest.raises(ModelError, match=message) as caught:
        resolve(name)
    assert hint in caught.value.hint


def test_text_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match="is not a model file"):
        resolve(str(tmp_path / "notes.txt"))


def test_bundle_with_adapter(folder: Path, adapter: Path, tiny: Backbone) -> None:
    remember("nano", folder, "backbone")
    remember("nano+gligen", adapter, "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle = load_bundle("nano+gligen", "cpu", "float32")
    assert (bundle.name, bundle.kind, bundle.backbone.name) == ("nano+gligen", "gligen", "nano")
    assert isinstance(bundle.adapter, Gligen)
    assert bundle.backbone.fingerprint == tiny.fingerprint
    assert load_bundle("nano", "cpu").adapter is None


def test_a_loaded_process_loads_in_a_moment(folder: Path) -> None:
    load_bundle(str(folder), "cpu")
    start = time.perf_counter()
    load_bundle(str(folder), "cpu")
    assert time.perf_counter() - start < 2.0


def test_devices_and_number_types() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(InputError, match="unknown device 'cqu'") as caught:
        pick_device("cqu")
    assert caught.value.hint == "did you mean cpu?"
    with pytest.raises(InputError, match="no device 'cuda:99'"):
        pick_device("cuda:99")
    with pytest.raises(InputError, match="unknown number type 'float23'") as caught:
        pick_dtype("float23", torch.device("cpu"))
    assert caught.value.hint == "did you mean float32?"


def test_adding_what_is_no_model(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="nothing at"):
        add(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        add(tmp_path)
    with pytest.raises(InputError, match="cannot be a model's name"):
        add(folder, "a/b")
    with pytest.raises(ModelError, match="is the name of a instancediffusion-original"):
        add(folder, "instancediffusion")
    home().mkdir(parents=True, exist_ok=True)
    (home() / "models.json").write_text("[")
    with pytest.raises(ModelError, match=r"models\.json cannot be read"):
        added()


def test_overview_and_table(folder: Path) -> None:
    add(folder, "mine")
    add(folder, "sd15")
    rows = {row["name"]: row for row in overview()}
    assert rows["mine"]["state"] == rows["sd15"]["state"] == "here"
    assert (rows["sd21"]["state"], rows["instancediffusion"]["state"]) == ("to be pulled", "by hand")
    assert all(set(row) == set(rows["mine"]) for row in rows.values())
    lines = table(list(rows.values()), ("name", "state")).splitlines()
    assert lines[0].split() == ["name", "state"]
    assert len(lines) == len(rows) + 1


def test_converting_to_a_gated_folder_and_back(folder: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path, kind = convert(f"{folder}+gligen:{adapter}", str(tmp_path / "gated"), half=False)
    assert kind == "gated folder"
    back, kind = convert(str(path), str(tmp_path / "back.safetensors"), slots=30, half=False)
    assert kind == "adapter"
    before, after = load_file(adapter), load_file(back)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert resolve(f"{folder}+{back}").adapter == back
    assert load_bundle(f"{folder}+{back}", "cpu").kind == "gligen"


def test_options_that_a_conversion_does_not_read_are_refused(
    folder: Path, adapter: Path, tmp_path: Path
) -> None:
    gated, _ = convert(f"{folder}+gligen:{adapter}", str(tmp_path / "gated"), half=False)
    out = str(tmp_path / "out.safetensors")
    for source, more, words in (
        (f"{folder}+gligen:{adapter}", {"slots": 30, "heads": 8}, "--slots, --heads were given with"),
        (str(gated), {"slots": 30, "config": "sd1"}, "--config was given with"),
        ("sd14+gligen", {"slots": 30}, "--slots was given with sd14\\+gligen"),
        ("dginstyle", {"tokenizer": "clip"}, "--tokenizer was given with dginstyle"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            convert(source, out, **more)  # type: ignore[arg-type]
        assert raised.value.hint.startswith("leave") and not Path(out).exists()


def test_converting_a_card_gives_its_name(folder: Path, adapter: Path, tmp_path: Path) -> None:
    gated, _ = convert(f"{folder}+gligen:{adapter}", str(tmp_path / "gated"), half=False)
    _in_cache(gated, tmp_path, cards()["sd14+gligen"].mirrors[0].repo, "4" * 40)
    path, _ = convert("sd14+gligen")
    assert path.is_relative_to(home())
    remember("sd15", folder, "backbone")
    assert load_bundle("sd15+gligen", "cpu").kind == "gligen"


def test_converting_a_single_file(tmp_path: Path, tiny: Backbone, folder: Path) -> None:
    with pytest.raises(InputError, match="no place for the result"):
        convert(str(folder))
    with pytest.raises(ModelError, match="no model at"):
        convert(str(tmp_path / "nothing.ckpt"), str(tmp_path / "out"))
    (tmp_path / "x.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be read"):
        convert(str(tmp_path / "x.safetensors"), str(tmp_path / "out"))
    with pytest.raises(InputError, match="grounding slots") as caught:
        convert(str(folder), str(tmp_path / "out"))
    assert "--slots 30" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "aliases"),
    [
        ("nano+gligen", ["nano", "nano+gligen"]),
        ("sd15+gligen", ["sd15", "sd14+gligen"]),
        ("sd15-file", ["sd15-file", "clip-tokenizer"]),
        ("runwayml/stable-diffusion-v1-5+gligen", ["sd15", "sd14+gligen"]),
        ("someone/thing", ["someone/thing"]),
    ],
)
def test_what_a_name_is_made_of(name: str, aliases: list[str]) -> None:
    found, notices = cards_of(name)
    assert [card.alias for card in found] == aliases
    assert bool(notices) == name.startswith("runwayml")
