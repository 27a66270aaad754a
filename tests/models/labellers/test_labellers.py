"""Labellers: the package's own networks, transformers' classes at tiny size, and how they are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from scenewright.errors import InputError, ModelError
from scenewright.models.judges.detector import Detector, DetectorConfig
from scenewright.models.judges.labeller import Labeller as LabellerNet
from scenewright.models.judges.segmenter import SegmenterConfig
from scenewright.models.judges.store import WEIGHTS, save_judge
from scenewright.models.judges.verifier import Verifier, VerifierConfig
from scenewright.models.judges.verifying import verify
from scenewright.models.labellers.judges import SegmenterLabeller, VerifierChecker
from scenewright.models.labellers.load import load_checker, load_labeller
from scenewright.models.labellers.protocol import wanted_class
from scenewright.models.labellers.queries import LEAST, Preparation, QueryLabeller, vocabulary_of
from scenewright.scene import Box, Instance, Mask
from scenewright.world import palette, toybox

SMALL = SegmenterConfig(vocabulary="toybox", channels=(8, 8, 16, 16), fine_channels=4)
NAMES = ("background", *toybox.CLASSES)
LOOKS = {
    "classes": list(toybox.CLASSES),
    "colours": list(palette.COLOURS),
    "textures": list(palette.TEXTURES),
}


def picture(height: int = 64, width: int = 64, seed: int = 0):
    """Smooth noise, so that networks see more than one thing."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 3, 5, 5)))
    fine = nnf.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
    return (fine.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small random judges of three kinds, on disk."""
    folder = tmp_path_factory.mktemp("judges")
    torch.manual_seed(0)
    verifier = VerifierConfig(side=32, channels=(8, 8, 8, 8), width=16)
    small = DetectorConfig(channels=(8, 8, 8, 8, 8), blocks=(1, 1, 1, 1), neck=16, reader=16, width=16)
    return {
        "labeller": save_judge(
            folder / "mine.safetensors", LabellerNet(SMALL, NAMES),
            kind="labeller", config=SMALL, labels={"classes": NAMES},
        ),
        "detector": save_judge(
            folder / "finder.safetensors", Detector(small, LOOKS), kind="detector", config=small, labels=LOOKS
        ),
        "verifier": save_judge(
            folder / "checker.safetensors", Verifier(verifier, LOOKS), kind="verifier", config=verifier,
            labels=LOOKS,
        ),
    }  # fmt: skip


# --- our own networks --------------------------------------------------------------------------------------


def test_parts_of_a_class_map_are_its_things(files) -> None:
    labeller = load_labeller(str(files["labeller"]), "cpu")
    assert isinstance(labeller, SegmenterLabeller)
    assert labeller.id.startswith("mine@") and labeller.vocabulary.names == toybox.CLASSES
    images = [picture(seed=k) for k in range(3)] + [picture(48, 80, 4)]
    net = labeller.judge.net
    for image, found in zip(images, labeller.label(images, [toybox.CLASSES] * 4), strict=True):
        (share,) = net.shares([image])
        labels = share.argmax(0)
        assert found, "a random network sees something"
        mass = []
        for one in found:
            place = NAMES.index(one.category)
            bits = one.mask.array()
            assert one.mask.size_hw == image.shape[:2] and (labels[bits] == place).all()
            assert one.score == pytest.approx(share[place][bits].mean(), abs=1e-4)
            assert one.box == one.mask.box() and len(one.mask.components()) == 1
            mass.append(one.score * one.mask.area_px)
        assert mass == sorted(mass, reverse=True)
        for name in {one.category for one in found}:
            seen = sum(one.mask.area_px for one in found if one.category == name)
            assert seen <= (labels == NAMES.index(name)).sum()
            rest = Mask.from_array(labels == NAMES.index(name)).components()
            assert sum(part.area_px >= 0.001 * labels.size for part in rest) == sum(
                one.category == name for one in found
            )


def test_only_wanted_classes_are_found(files) -> None:
    labeller = load_labeller(str(files["labeller"]), "cpu")
    (every,) = labeller.label([picture()], [toybox.CLASSES])
    name = every[0].category
    (some,) = labeller.label([picture()], [[name, name]])
    assert some == tuple(one for one in every if one.category == name)
    assert labeller.label([picture()], [[]]) == [()] and labeller.label([], []) == []


def test_detectors_label_with_their_masks(files) -> None:
    labeller = load_labeller(str(files["detector"]), "cpu")
    assert labeller.id.startswith("finder@") and labeller.vocabulary.names == toybox.CLASSES
    for found in labeller.label([picture(), picture(48, 64, 1)], [toybox.CLASSES, ["cat"]]):
        assert all(one.mask is not None and not one.mask.is_empty for one in found)


def test_the_second_opinion_is_the_verifiers(files) -> None:
    labeller = load_labeller(str(files["labeller"]), "cpu")
    checker = load_checker(str(files["verifier"]), labeller, "cpu")
    assert isinstance(checker, VerifierChecker) and checker.id.startswith("checker@")
    image, box, other = picture(), Box(0.1, 0.2, 0.7, 0.9), Box(0.5, 0.5, 1, 1)
    found = checker.agreement(image, [("cat", box), ("sky", box), ("dog", other)])
    verdicts = verify(checker.judge.net, image, [box, other])
    assert found[0] == pytest.approx(verdicts[0].here["cat"], abs=1e-4)
    assert found[1] is None
    assert found[2] == pytest.approx(verdicts[1].here["dog"], abs=1e-4)
    assert checker.agreement(image, []) == []
    assert load_checker("none", labeller) is None


@pytest.mark.skipif(not (WEIGHTS / "verifier.safetensors").is_file(), reason="weights are not here")
def test_the_package_checks_toys_and_nothing_else(files, mask2former: Path) -> None:
    assert load_checker("", load_labeller(str(files["labeller"]), "cpu"), "cpu") is not None
    assert load_checker("", load_labeller(str(mask2former), "cpu"), "cpu") is None


@pytest.mark.skipif(not (WEIGHTS / "labeller.safetensors").is_file(), reason="weights are not here")
def test_the_packages_labeller_finds_toys() -> None:
    labeller = load_labeller("", "cpu")
    drawn = [toybox.draw(70_100 + k) for k in range(8)]
    asked = [[str(one.category) for one in each.scene.instances] for each in drawn]
    overlaps = []
    for each, found in zip(drawn, labeller.label([one.image for one in drawn], asked), strict=True):
        masks = each.record().masks
        for one in each.scene.instances:
            own = [thing.mask.iou(masks[one.id]) for thing in found if thing.category == one.category]
            overlaps.append(max(own, default=0.0))
    assert np.mean(overlaps) > 0.75


# --- names -------------------------------------------------------------------------------------------------


def test_what_cannot_label_is_refused(files, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a verifier, which gives no masks"):
        load_labeller(str(files["verifier"]), "cpu")
    with pytest.raises(ModelError, match="kind labeller, expected verifier"):
        load_checker(str(files["labeller"]), load_labeller(str(files["labeller"]), "cpu"))
    with pytest.raises(ModelError, match="no judge 'detectr'") as caught:
        load_labeller("detectr", "cpu")
    assert "did you mean detector?" in caught.value.hint
    with pytest.raises(ModelError, match=r"without config\.json"):
        load_labeller(str(tmp_path), "cpu")
    with pytest.raises(ModelError, match="is not in the hub cache") as caught:
        load_labeller("facebook/mask2former-not-here", "cpu")
    assert "models pull" in caught.value.hint
    if not (WEIGHTS / "labeller.safetensors").is_file():
        with pytest.raises(ModelError, match="no labeller of its own"):
            load_labeller("", "cpu")


def test_words_lead_to_classes(files) -> None:
    vocabulary = load_labeller(str(files["labeller"]), "cpu").vocabulary
    assert wanted_class(Instance("it", category="potted plant"), vocabulary) == "pottedplant"
    assert wanted_class(Instance("a fluffy kitten on a sofa"), vocabulary) == "cat"
    assert wanted_class(Instance("x", category="TV"), vocabulary) == "tvmonitor"
    with pytest.raises(InputError, match="knows no class 'aeroplan'") as caught:
        wanted_class(Instance("x", category="aeroplan"), vocabulary)
    assert "'aeroplane'" in caught.value.hint


def test_names_of_published_models_meet_those_of_voc() -> None:
    found = vocabulary_of({0: "person", 1: "tv", "2": "couch", 3: "wall", 4: "zzz"})
    assert found.names == ("person", "tv", "couch", "wall", "zzz")
    assert found.find("tvmonitor").name == "tv" and found.find("sofa").name == "couch"


# --- transformers ------------------------------------------------------------------------------------------

LABELS = {0: "cat", 1: "tv", 2: "airplane"}


def swin():
    from transformers import SwinConfig

    return SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def written(net, folder: Path, **said) -> Path:
    """A random model on disk, with a short side of 64 pixels; classes are told apart more than by chance."""
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "class_predictor" in name or "class_labels_classifier" in name:
                value.mul_(20)
    net.save_pretrained(folder)
    size = {"size": {"shortest_edge": 64, "longest_edge": 128}, **said}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=swin(), hidden_dim=32, feature_size=32, mask_feature_size=32, num_queries=12,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16,
        encoder_feedforward_dim=16, id2label=LABELS,
    )  # fmt: skip
    return written(Mask2FormerForUniversalSegmentation(config), tmp_path_factory.mktemp("m") / "tiny-m2f")


@pytest.fixture(scope="module")
def maskformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import DetrConfig, MaskFormerConfig, MaskFormerForInstanceSegmentation

    torch.manual_seed(1)
    decoder = DetrConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=12,
    )  # fmt: skip
    config = MaskFormerConfig(
        fpn_feature_size=32, mask_feature_size=32, backbone_config=swin(), decoder_config=decoder,
        id2label=LABELS,
    )  # fmt: skip
    return written(MaskFormerForInstanceSegmentation(config), tmp_path_factory.mktemp("m") / "tiny-mf")


@pytest.fixture(scope="module")
def detr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import DetrConfig, DetrForSegmentation, ResNetConfig

    torch.manual_seed(2)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone,
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=8, decoder_attention_heads=8,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=12, id2label=LABELS,
    )  # fmt: skip
    return written(DetrForSegmentation(config), tmp_path_factory.mktemp("m") / "tiny-detr")


@pytest.mark.parametrize("kind", ["mask2former", "maskformer", "detr"])
def test_queries_become_findings(kind: str, request: pytest.FixtureRequest) -> None:
    """Against the network's own answers, read here in another way."""
    labeller = load_labeller(str(request.getfixturevalue(kind)), "cpu")
    assert isinstance(labeller, QueryLabeller) and labeller.id.startswith("tiny-")
    image = picture(64, 96, 7)
    (found,) = labeller.label([image], [["cat", "tv", "airplane"]])
    normal = (image / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    with torch.no_grad():
        out = labeller.net(pixel_values=torch.from_numpy(normal).permute(2, 0, 1)[None].float())
    logits = out.logits if kind == "detr" else out.class_queries_logits
    masks = out.pred_masks if kind == "detr" else out.masks_queries_logits
    wanted = []
    for query in range(12):
        share = logits[0, query].softmax(0)
        best = int(share[:3].argmax())
        mask = nnf.interpolate(masks[:, query : query + 1], (64, 96), mode="bilinear")[0, 0]
        if not (mask > 0).any():
            continue
        score = float(share[best]) * (1.0 if kind == "detr" else float(mask.sigmoid()[mask > 0].mean()))
        if score >= LEAST and float(share[best]) >= LEAST:
            wanted.append((LABELS[best], score, Mask.from_array((mask > 0).numpy())))
    wanted.sort(key=lambda row: -row[1])
    assert found and [one.category for one in found] == [row[0] for row in wanted]
    assert np.allclose([one.score for one in found], [row[1] for row in wanted], atol=1e-4)
    assert min(one.mask.iou(row[2]) for one, row in zip(found, wanted, strict=True)) > 0.98
    (few,) = labeller.label([image], [[found[0].category]])
    assert few == tuple(one for one in found if one.category == found[0].category)


@pytest.mark.parametrize("size_hw", [(40, 64), (64, 40), (100, 31), (64, 64), (33, 200)])
@pytest.mark.parametrize("kind", ["mask2former", "detr"])
def test_pictures_are_prepared_as_by_the_models_own_processors(kind: str, size_hw, tmp_path: Path) -> None:
    if kind == "mask2former":
        page = pytest.importorskip("transformers.models.mask2former.image_processing_pil_mask2former")
        theirs = page.Mask2FormerImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128})
    else:
        page = pytest.importorskip("transformers.models.detr.image_processing_pil_detr")
        theirs = page.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128})
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 64, "longest_edge": 128}}')
    image = picture(*size_hw, 3)
    wanted = theirs(images=[image], return_tensors="pt")["pixel_values"]
    found = Preparation.read(tmp_path, kind).prepare(image)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) < 0.03  # they round to whole grey levels on the way


def test_preparations_are_read(tmp_path: Path) -> None:
    assert Preparation.read(tmp_path, "detr") == Preparation(multiple=1)
    said = {"size": {"height": 384, "width": 512}, "image_mean": [0, 0, 0], "size_divisor": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    found = Preparation.read(tmp_path, "mask2former")
    assert found.size_hw((100, 100)) == (384, 512) and found.mean == (0, 0, 0)
    for bad in ("{", '{"size": "large"}', '{"size": {"height": 4}}'):
        (tmp_path / "preprocessor_config.json").write_text(bad)
        with pytest.raises(ModelError, match="cannot be understood"):
            Preparation.read(tmp_path, "mask2former")


def test_models_of_other_kinds_and_damaged_ones_are_refused(mask2former: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="is a bert; a labeller is one of"):
        load_labeller(str(tmp_path), "cpu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded as a labeller"):
        load_labeller(str(tmp_path), "cpu")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in mask2former.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    tensors = load_file(copy / "model.safetensors")
    del tensors["class_predictor.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, the first is class_predictor\.weight"):
        load_labeller(str(copy), "cpu")


def test_the_identity_follows_the_weights(mask2former: Path, maskformer: Path) -> None:
    ids = [load_labeller(str(path), "cpu").id for path in (mask2former, mask2former, maskformer)]
    assert ids[0] == ids[1] != ids[2] and ids[0].split("@")[0] == "tiny-m2f"
