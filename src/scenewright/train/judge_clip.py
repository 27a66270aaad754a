"""Training the judge CLIP on renders that no generator is trained on.

The contrastive loss of Radford et al. 2021 (figure 3) on crops with phrases and on pictures with captions,
and beside it plain questions ("which of the eight colours?") whose answers are texts as well; see
`scenewright.train.clip_pairs` for the wrong answers.

Letters: B crops or pictures, T texts, L tokens, D width of the common space, H W pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.models.judges.clip import ClipConfig, ClipNet
from scenewright.models.judges.pictures import as_signal, crop, resized
from scenewright.models.judges.store import load_judge, save_judge
from scenewright.scene import Box
from scenewright.train.annotated import CHECK_SEED, JUDGE_SEED, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.clip_ceilings import clip_ceilings
from scenewright.train.clip_pairs import Choice, Crops, also_true, choices, toy_phrase, wrong_caption
from scenewright.train.data import stream_rng
from scenewright.train.looks import TOWN
from scenewright.train.progress import say
from scenewright.train.text import learn_tokenizer

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

WORLDS = ("toybox", "town")
TOYBOX = AnnotatedSource(world="toybox", count=12_000)
CROWDED = AnnotatedSource(world="toybox", count=12_000, first_seed=JUDGE_SEED + 500_000, things=(3, 8))


@dataclass(frozen=True, kw_only=True)
class JudgeClipConfig:
    """Sizes of the towers, the pictures, and how often each kind of batch comes."""

    side_px: int = 64
    image_width: int = 128
    image_layers: int = 4
    text_width: int = 96
    text_layers: int = 4
    window: int = 48
    vocabulary: int = 1000  # tokens, of which 512 are bytes
    start: Path | None = None  # an earlier export to continue from; None: random weights
    toybox: AnnotatedSource = TOYBOX
    crowded: AnnotatedSource = CROWDED  # more toys for the crops alone; none if its count is 0
    town: AnnotatedSource = TOWN
    cache: Path = Path("runs/out/judge-cache")
    disturbance: Disturbance = field(default_factory=Disturbance)
    rates: tuple[float, ...] = (0.55, 0.25, 0.08, 0.12)  # crops, pictures of the toybox; of the town
    groups: int = 6  # classes of which a batch has several crops
    each: int = 8  # crops of each of them
    least_px: float = 6.0  # shorter side of the smallest crop
    choice_weight: float = 1.0  # of the plain questions beside the contrastive loss
    probe: int = 300  # pictures of the validation
    held_out: int = 1000  # pictures of each frozen set for the ceilings

    def build(self, loop: LoopConfig) -> JudgeClipTask:
        """The task of this configuration."""
        return JudgeClipTask(self, loop)


class JudgeClipTask:
    """Contrastive training of both towers; `export` measures the ceilings."""

    def __init__(self, config: JudgeClipConfig, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.modules: dict[str, torch.nn.Module] = {}
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Maps the pictures, learns the tokenizer from their texts, makes the network."""
        config, self.device = self.config, device
        toys = [config.toybox, *([config.crowded] if config.crowded.count else [])]
        sources = (toys, [config.town])
        self.worlds = [open_annotated(some, config.cache, say) for some in sources]
        self.whole = (config.toybox.count, config.town.count)
        self.crops = [
            Crops.of(pictures, some[0].size_wh, config.least_px)
            for pictures, some in zip(self.worlds, sources, strict=True)
        ]
        probe = replace(config.toybox, first_seed=CHECK_SEED, count=config.probe)
        self.probe = open_annotated([probe], config.cache, say)
        self.net, self.before = self._begin() if config.start is None else _read(config.start)
        self.modules = {"net": self.net}

    def _begin(self) -> tuple[ClipNet, int]:
        """A fresh network with a tokenizer learnt from the texts of the pictures, and 0 samples seen."""
        config = self.config
        items = [item for pictures in self.worlds for item in pictures.items]
        texts = [item.caption for item in items] + [text for item in items for text in item.phrases]
        tokens, merges = learnt_tokens(texts, config.vocabulary, config.window)
        net = ClipNet(
            ClipConfig(
                tokens=tokens,
                merges=merges,
                side_px=config.side_px,
                image_width=config.image_width,
                image_layers=config.image_layers,
                text_width=config.text_width,
                text_layers=config.text_layers,
                window=config.window,
            )
        )
        return net, 0

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices; none for vectors, tables of embeddings and the scale."""
        named = dict(self.net.named_parameters())
        plain = [p for name, p in named.items() if p.ndim < 2 or "embedding" in name]
        kept = {id(p) for p in plain}
        return [
            {"params": [p for p in named.values() if id(p) not in kept], "name": "decayed"},
            {"params": plain, "weight_decay": 0.0, "name": "plain"},
        ]

    # Batches.

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """Pictures image_BCHW in [-1,1] with token ids: own texts first, then wrong ones and answers."""
        rng = stream_rng(self.loop.seed, "judge-clip", step, rank)
        rates = np.array(self.config.rates)
        kind = int(rng.choice(4, p=rates / rates.sum()))
        if kind % 2:
            return self._pictures(rng, kind // 2)
        return self._toys(rng) if kind == 0 else self._street(rng)

    def _toys(self, rng: np.random.Generator) -> dict[str, Any]:
        config, crops, number = self.config, self.crops[0], self.loop.batch_size
        groups = min(config.groups, number // config.each)
        grouped = crops.groups(rng, groups, config.each) if groups else np.zeros(0, np.int64)
        rows = np.concatenate([grouped, crops.some(rng, number - len(grouped))])
        facts_B3 = crops.facts_K3[rows]
        texts, told = zip(*(toy_phrase(rng, facts) for facts in facts_B3), strict=True)
        asked = choices(rng, facts_B3, groups, config.each)
        true_BT = also_true(facts_B3, np.array(told))
        return self._packed(self._cut(rng, 0, rows), list(texts), [], true_BT, asked)

    def _street(self, rng: np.random.Generator) -> dict[str, Any]:
        crops, pictures = self.crops[1], self.worlds[1]
        rows = rng.integers(len(crops), size=self.loop.batch_size)
        texts = [
            pictures.items[p].phrases[n]
            for p, n in zip(crops.picture[rows], crops.instance[rows], strict=True)
        ]
        return self._packed(self._cut(rng, 1, rows), texts, [], _equal(texts), [])

    def _pictures(self, rng: np.random.Generator, world: int) -> dict[str, Any]:
        pictures = self.worlds[world]
        rows = rng.integers(self.whole[world], size=self.loop.batch_size)
        texts = [pictures.items[i].caption for i in rows]
        wrong = [wrong_caption(rng, text) for text in texts]
        side = (self.config.side_px, self.config.side_px)
        image_BCHW = resized(as_signal(pictures.images(rows)), side)
        return self._packed(image_BCHW, texts, wrong, _equal([*texts, *wrong])[: len(texts)], [])

    def _cut(self, rng: np.random.Generator, world: int, rows: NDArray[np.int64]) -> Tensor:
        """The crops with margins of 0 to 20 %, half of them mirrored, as image_BCHW."""
        pictures, crops = self.worlds[world], self.crops[world]
        side = (self.config.side_px, self.config.side_px)
        images = pictures.images(crops.picture[rows])
        cut = []
        for image, row in zip(images, rows, strict=True):
            box = Box(*pictures.items[crops.picture[row]].boxes[crops.instance[row]])
            part_HW3 = crop(image, box, float(rng.uniform(0.0, 0.2)))
            part_HW3 = part_HW3[:, ::-1] if rng.random() < 0.5 else part_HW3
            cut.append(resized(as_signal(part_HW3[None]), side))
        return torch.cat(cut)

    def _packed(
        self,
        image_BCHW: Tensor,
        texts: list[str],
        wrong: list[str],
        true_BT: NDArray[np.bool_],
        asked: list[Choice],
    ) -> dict[str, Any]:
        """The batch; `true_BT` says which of texts and wrong hold for each picture."""
        own = np.arange(len(texts))
        ignored_BT = true_BT.copy()
        ignored_BT[own, own] = False
        first, questions = len(texts) + len(wrong), []
        for one in asked:
            columns = torch.arange(first, first + len(one.texts))
            questions.append((columns, torch.from_numpy(one.rows), torch.from_numpy(one.answers)))
            first += len(one.texts)
        every = [*texts, *wrong, *(text for one in asked for text in one.texts)]
        return {
            "images": image_BCHW,
            "ids": self.net.token_ids(every),
            "ignored": torch.from_numpy(ignored_BT),
            "questions": questions,
        }

    # Loss.

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Contrastive loss in both directions, and the mean cross-entropy of the plain questions."""
        image_BCHW = disturbed(batch["images"], self.config.disturbance, generator)
        image_BD, text_TD = self.net.image_vectors(image_BCHW), self.net.text_vectors(batch["ids"])
        logits_BT = self.net.scale() * image_BD @ text_TD.T
        rows, columns = batch["ignored"].shape
        paired_BT = logits_BT[:, :columns].masked_fill(batch["ignored"], -1e4)
        own_B = torch.arange(rows, device=logits_BT.device)
        forth = nnf.cross_entropy(paired_BT, own_B)
        back = nnf.cross_entropy(paired_BT[:, :rows].T, own_B)
        right = (paired_BT.detach().argmax(1) == own_B).float().mean()
        loss, told = (forth + back) / 2, {"right": float(right)}
        if batch["questions"]:
            parts = [
                nnf.cross_entropy(logits_BT[rows_][:, columns_], answers)
                for columns_, rows_, answers in batch["questions"]
            ]
            asked = torch.stack(parts).mean()
            loss = loss + self.config.choice_weight * asked
            told["asked"] = float(asked.detach())
        return loss, told

    # Figures.

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Zero-shot accuracies and retrieval on the validation pictures, and a sheet of crops."""
        index_N = np.arange(len(self.probe))
        drawn = list(zip(self.probe.images(index_N), self.probe.items, strict=True))
        return clip_ceilings(self.net, drawn, sheet=out / "crops.png")

    def export(self, folder: Path) -> None:
        """``clip.safetensors`` with its ceilings."""
        config = self.config
        seeds = [
            f"{one.world}, seeds {one.first_seed} to {one.first_seed + one.count - 1}"
            for one in (config.toybox, config.crowded, config.town)
            if one.count
        ]
        notes = {
            "recipe": "judge-clip",
            "renders": "; ".join(seeds),
            "samples": self.before + self.loop.steps * self.loop.batch_size,
            "seed": self.loop.seed,
            "held_out": f"toybox-1 and town-1, first {config.held_out}",
        }
        save_judge(
            folder / "clip.safetensors",
            self.net,
            kind="clip",
            config=self.net.config,
            labels={},
            notes=notes,
            ceilings=self.ceilings(),
        )

    def ceilings(self) -> dict[str, float]:
        """The figures of `clip_ceilings` on the frozen sets; those of the town begin with "town."."""
        from scenewright.train.annotated import Annotation
        from scenewright.train.ceilings import drawn_held_out

        found: dict[str, float] = {}
        for world in WORLDS:
            drawn = [
                (one.image, Annotation.of(one)) for one in drawn_held_out(f"{world}-1", self.config.held_out)
            ]
            prefix = "" if world == "toybox" else f"{world}."
            figures = clip_ceilings(self.net, drawn)
            found |= {f"{prefix}{name}": round(value, 4) for name, value in figures.items()}
        return found


def _read(start: Path) -> tuple[ClipNet, int]:
    """The network of an earlier export, to be trained on, and the samples that it has seen."""
    begun = load_judge(start, kind="clip")
    return begun.net.requires_grad_(True), int(begun.header.notes.get("samples", 0))


def _equal(texts: list[str]) -> NDArray[np.bool_]:
    """Which of the texts are the same [T,T]."""
    names = np.array(texts)
    return np.asarray(names[:, None] == names[None])


def learnt_tokens(texts: list[str], size: int, window: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens (at most `size`, the end marks last) and merges of a tokenizer learnt from `texts`."""
    tokenizer = learn_tokenizer([*texts, "object", "thing", "toy"], size, window)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return tuple(tokens), tuple(merges)
