"""Small folders of pictures, and judges of real networks at tiny size."""

from __future__ import annotations

from pathlib import Path

import torch

from scenewright.evaluate.findings import Finding, Findings
from scenewright.flows.judging import JudgeCard
from scenewright.flows.samples import read_samples
from scenewright.models.judges.clip import ClipConfig, ClipNet
from scenewright.models.judges.detector import Detector, DetectorConfig
from scenewright.models.judges.looks import LooksConfig, LooksNet
from scenewright.models.judges.segmenter import SegmenterConfig, SegmenterNet
from scenewright.models.judges.store import save_judge
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.train.judge_clip import learnt_tokens
from scenewright.world import town, toybox
from scenewright.world.palette import COLOURS, TEXTURES

TOY_LABELS = {"classes": list(toybox.CLASSES), "colours": list(COLOURS), "textures": list(TEXTURES)}


def toys(folder: Path, count: int = 6, first: int = 200_000) -> Path:
    """The first pictures of the frozen toybox, as Records."""
    for seed in range(first, first + count):
        toybox.draw(seed).record().save(folder, f"toy-{seed}")
    return folder


def streets(folder: Path, count: int = 4) -> Path:
    """Streets in the looks in turn, as Records."""
    for k in range(count):
        town.draw(210_000 + k, size_wh=(96, 48), look=town.LOOKS[k % 6]).record().save(folder, f"street-{k}")
    return folder


def detector(path: Path, seed: int = 0) -> Path:
    """A tiny untrained detector."""
    torch.manual_seed(seed)
    config = DetectorConfig(
        channels=(8, 8, 8, 8, 8), blocks=(1, 1, 1, 1), neck=8, reader=8, width=8, prototypes=4
    )
    net = Detector(config, TOY_LABELS)
    with torch.no_grad():
        net.locate.bias[0] = 2.0  # finds something
        net.reader.kind.bias[:2] += 6.0
    ceilings = {"box_AP50": 0.96, "class": 0.98}
    return save_judge(path, net, kind="detector", config=config, labels=TOY_LABELS, ceilings=ceilings)


def segmenter(path: Path) -> Path:
    """A tiny untrained segmenter of streets."""
    torch.manual_seed(0)
    config = SegmenterConfig(channels=(8, 8))
    net = SegmenterNet(config, town.CLASSES)
    return save_judge(path, net, kind="segmenter", config=config, labels={"classes": town.CLASSES})


def looks(path: Path) -> Path:
    """A tiny untrained classifier of looks."""
    torch.manual_seed(0)
    config = LooksConfig(channels=(8, 8))
    return save_judge(
        path, LooksNet(config, town.LOOKS), kind="looks", config=config, labels={"looks": town.LOOKS}
    )


def clip(path: Path) -> Path:
    """A tiny untrained CLIP."""
    torch.manual_seed(0)
    tokens, merges = learnt_tokens([toybox.draw(seed).scene.prompt for seed in range(30)], 700, 16)
    config = ClipConfig(
        tokens=tokens, merges=merges, side_px=16, image_width=16, image_layers=1, text_width=16,
        text_layers=1, window=16, common_width=8,
    )  # fmt: skip
    return save_judge(path, ClipNet(config), kind="clip", config=config, labels={})


def oracle(folder: Path, findings: Path, *, miss: int = 0) -> str:
    """Findings of a detector that sees everything, except the first `miss` instances of every picture; its
    identity. There are no weights."""
    card = JudgeCard(kind="detector", id="oracle@00000000", labels=TOY_LABELS)
    atomic_write(findings / card.id / "judge.json", to_json_bytes(card.to_json()))
    for sample in read_samples(folder).samples:
        found = [
            Finding(one.category, 0.9, one.box, one.mask, _looks(one.extra["toybox"]))
            for one in sample.scene.instances[miss:]
        ]
        Findings(sample.name, card.id, sample.scene.size_wh, tuple(found), {"pixels": sample.pixels}).write(
            findings / card.id
        )
    return card.id


def _looks(facts: dict[str, object]) -> dict[str, str]:
    return {name: str(facts[name]) for name in ("colour", "texture") if facts.get(name)}
