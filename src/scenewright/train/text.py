"""Training a small CLIP text encoder against a throwaway picture tower.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021 (contrastive
loss, figure 3). Two kinds of pairs alternate: whole pictures with their captions, and single instances (cut
out by their boxes) with their phrases. Equal texts in a batch are all counted as right answers.

Letters: B batch, L tokens, D width, H W pixels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.parts import file_keys
from scenewright.backbone.weights import write_tensors
from scenewright.train.data import stream_rng
from scenewright.train.progress import say
from scenewright.train.renders import Pictures, Source, open_pictures
from scenewright.train.standardise import standardise, word_states
from scenewright.train.vae import to_signal

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

CAPTIONS = 4096
"""Captions whose words are standardised in the export."""
START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Sizes of the text encoder and of its tokenizer, and the pictures it is matched with."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    window: int = 48  # tokens, both end marks included
    vocabulary: int = 1200  # tokens, of which 512 are bytes
    crop_px: int = 32  # side to which instances are resized
    words_weight: float = 0.05  # of naming the text's tokens from its pooled state; 0: contrast alone
    sources: tuple[Source, ...] = (
        Source(name="toybox", count=24_000, share=0.8),
        Source(name="town", count=8_000, size_wh=(192, 96), share=0.2),
    )
    cache: Path = Path("runs/out/cache")
    probe: int = 512  # held-out pairs of the validation

    def build(self, loop: LoopConfig) -> TextTask:
        """The task of this configuration."""
        return TextTask(self, loop)


class PictureTower(nn.Module):
    """A small convolutional network from pictures to unit vectors; not kept after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(sizes[-1], width)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Unit vectors [B,D] of pictures in [-1,1]."""
        features = self.layers(image_BCHW)
        pooled = features.mean((2, 3)) + features.amax((2, 3))
        return nnf.normalize(self.out(pooled), dim=-1)


class TextTask:
    """Contrastive training; `export` writes the tokenizer and the text encoder."""

    def __init__(self, config: TextConfig, loop: LoopConfig) -> None:
        self.config = config
        self.seed = loop.seed
        self.batch_size = loop.batch_size
        self.modules: dict[str, nn.Module] = {}
        self.device = torch.device("cpu")
        self.sources: list[Pictures] = []

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Maps the pictures, learns the tokenizer from their captions, makes the networks."""
        self.device = device
        self.sources = [open_pictures(source, self.config.cache, say) for source in self.config.sources]
        captions = [item.caption for renders in self.sources for item in renders.items]
        self.tokenizer = learn_tokenizer(captions, self.config.vocabulary, self.config.window)
        self.encoder = fresh_encoder(self.config, self.tokenizer)
        self.tower = PictureTower(self.config.width)
        self.head = nn.Linear(self.config.width, self.config.width, bias=False)
        self.scale = nn.ParameterDict({"log": nn.Parameter(torch.tensor(np.log(14.0), dtype=torch.float32))})
        self.words = nn.Linear(self.config.width, len(self.tokenizer))
        self.modules = {
            "text_encoder": self.encoder,
            "tower": self.tower,
            "head": self.head,
            "words": self.words,
            "scale": self.scale,
        }
        for module in self.modules.values():
            module.to(device)
        self.crops = [_instances(renders) for renders in self.sources]

    def groups(self) -> list[dict[str, Any]]:
        """One group: every weight."""
        return [{"params": [p for module in self.modules.values() for p in module.parameters()]}]

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """Pictures image_BHW3 (uint8) with one text each: captions every third step, else phrases."""
        rng = stream_rng(self.seed, "text", step, rank)
        shares = np.array([source.share for source in self.config.sources])
        which = int(rng.choice(len(shares), p=shares / shares.sum()))
        return self._pairs(which, rng, phrases=step % 3 > 0, number=self.batch_size)

    def _pairs(self, which: int, rng: np.random.Generator, phrases: bool, number: int) -> dict[str, Any]:
        renders = self.sources[which]
        if not phrases:
            index = rng.integers(len(renders), size=number)
            images = _quartered(renders.images(index))
            return {"images": images, "texts": [renders.items[i].caption for i in index]}
        chosen = self.crops[which][rng.integers(len(self.crops[which]), size=number)]
        images = renders.images(chosen[:, 0])
        crops, texts = [], []
        for image, (i, n) in zip(images, chosen, strict=True):
            item = renders.items[i]
            crops.append(_crop(image, item.boxes[n], self.config.crop_px))
            texts.append(item.phrases[n])
        return {"images": torch.from_numpy(np.stack(crops)), "texts": texts}

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Symmetric cross-entropy over the batch (equal texts share the right answer), and the words' loss.

        Contrast alone forgets what pictures hardly show: textures could not be told from the pooled state.
        """
        ids_BL, pooled_BD = self._pooled(batch["texts"])
        logits, same = self._logits(batch, pooled_BD)
        target = same / same.sum(1, keepdim=True)
        loss = (nnf.cross_entropy(logits, target) + nnf.cross_entropy(logits.T, target)) / 2
        right = same.gather(1, logits.argmax(1, keepdim=True)).mean()
        present = torch.zeros(len(ids_BL), len(self.tokenizer), device=self.device).scatter_(1, ids_BL, 1.0)
        named = nnf.binary_cross_entropy_with_logits(self.words(pooled_BD).float(), present, reduction="sum")
        named = named / len(ids_BL)
        logged = {"top1": float(right.detach()), "words": float(named.detach())}
        return loss + self.config.words_weight * named, logged

    def _pooled(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids [B,L] and the hidden states [B,D] at the end marks."""
        ids_BL, ends_B = tokenize(self.tokenizer, texts, self.config.window)
        hidden_BLD = self.encoder(ids_BL.to(self.device)).last_hidden_state
        return ids_BL.to(self.device), hidden_BLD[torch.arange(len(texts)), ends_B.to(self.device)]

    def _logits(self, batch: dict[str, Any], pooled_BD: Tensor) -> tuple[Tensor, Tensor]:
        texts: list[str] = list(batch["texts"])
        text_BD = nnf.normalize(self.head(pooled_BD).float(), dim=-1)
        image_BD = self.tower(to_signal(batch["images"].to(self.device))).float()
        number = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        key_B = torch.tensor([number[text] for text in texts], device=self.device)
        same_BB = (key_B[:, None] == key_B[None]).float()
        return self.scale["log"].exp().clamp(max=100.0) * image_BD @ text_BD.T, same_BB

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Share of pictures whose own text ranks first among `probe` pairs, for captions and phrases."""
        found = {}
        for name, phrases in (("captions", False), ("phrases", True)):
            rng = stream_rng(self.seed, "text-probe")
            batch = self._pairs(0, rng, phrases, self.config.probe)
            logits, same = self._logits(batch, self._pooled(batch["texts"])[1])
            found[f"{name}_top1"] = float(same.gather(1, logits.argmax(1, keepdim=True)).mean())
        (out / "retrieval.txt").write_text("".join(f"{k} {v:.4f}\n" for k, v in found.items()))
        return found

    def export(self, folder: Path) -> None:
        """``tokenizer/`` and ``text_encoder/`` (half precision), its states standardised (standardise.py)."""
        self.tokenizer.save_pretrained(folder / "tokenizer")
        (folder / "text_encoder").mkdir()
        self.encoder.config.to_json_file(folder / "text_encoder" / "config.json")
        encoder = copy.deepcopy(self.encoder)
        standardise(encoder, self._states())
        tensors = {key: tensor.half() for key, tensor in file_keys(encoder).items()}
        write_tensors(folder / "text_encoder" / "model.safetensors", tensors, {"format": "pt"})

    @torch.no_grad()
    def _states(self) -> Tensor:
        """States of the words of `CAPTIONS` captions, evenly from all sources."""
        each, states = max(1, CAPTIONS // len(self.sources)), []
        for renders in self.sources:
            texts = [item.caption for item in renders.items[:each]]
            for first in range(0, len(texts), self.batch_size):
                few = texts[first : first + self.batch_size]
                ids_BL, ends_B = tokenize(self.tokenizer, few, self.config.window)
                states.append(word_states(self.encoder(ids_BL.to(self.device)).last_hidden_state, ends_B))
        return torch.cat(states)


def _instances(renders: Pictures) -> np.ndarray:
    """Pairs (picture, instance) [K,2] of all instances of a source."""
    return np.array([(i, n) for i, item in enumerate(renders.items) for n in range(len(item.boxes))])


def _quartered(images_BHW3: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures at a quarter of their size, every pixel the mean of 4x4."""
    rows, height, width, _ = images_BHW3.shape
    blocks = images_BHW3.reshape(rows, height // 4, 4, width // 4, 4, 3)
    return torch.from_numpy(blocks.mean((2, 4), dtype=np.float32).astype(np.uint8))


def _crop(image_HW3: np.ndarray, box: tuple[float, float, float, float], side: int) -> np.ndarray:
    """The box with a margin of 10 %, resized to a square."""
    from PIL import Image

    height, width = image_HW3.shape[:2]
    x0, y0, x1, y1 = box
    dx, dy = 0.1 * (x1 - x0), 0.1 * (y1 - y0)
    area = ((x0 - dx) * width, (y0 - dy) * height, (x1 + dx) * width, (y1 + dy) * height)
    clipped = (max(0.0, area[0]), max(0.0, area[1]), min(width, area[2]), min(height, area[3]))
    return np.asarray(Image.fromarray(image_HW3).resize((side, side), Image.Resampling.BILINEAR, clipped))


def fresh_encoder(config: TextConfig, tokenizer: Any) -> nn.Module:
    """A randomly initialised CLIPTextModel of the configured size."""
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.window,
            projection_dim=config.width,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tokenize(tokenizer: Any, texts: list[str], window: int) -> tuple[Tensor, Tensor]:
    """Token ids [B,L] padded to the longest text, cut at the window, and the position [B] of each end mark.

    Attention is causal, so the padding never reaches the end mark.
    """
    rows = tokenizer(texts, truncation=True, max_length=window)["input_ids"]
    ends = torch.tensor([len(row) - 1 for row in rows])
    longest = max(rows, key=len)
    padded = [row + [tokenizer.pad_token_id] * (len(longest) - len(row)) for row in rows]
    return torch.tensor(padded), ends


def learn_tokenizer(texts: list[str], size: int, window: int) -> Any:
    """A CLIPTokenizer of at most `size` tokens, learnt by byte-pair encoding (Sennrich et al. 2016)."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = [*letters, *(f"{letter}</w>" for letter in letters)]
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    merges = _merges(learner)
    tokens = [*base, *("".join(pair) for pair in merges)]
    kept = list(dict.fromkeys(tokens))[: size - 2]
    known = set(kept)
    merges = [pair for pair in merges if "".join(pair) in known]
    vocabulary = {token: i for i, token in enumerate([*kept, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=window)


def _merges(learner: Any) -> list[tuple[str, str]]:
    import json

    pairs = json.loads(learner.to_str())["model"]["merges"]
    return [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in pairs]
