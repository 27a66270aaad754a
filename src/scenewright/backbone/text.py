"""Text to tokens: prompts and phrases through the backbone's own text encoder.

Letters: B batch, L text tokens, D width. The text encoder is CLIP's (Radford et al., "Learning Transferable
Visual Models From Natural Language Supervision", 2021, section 2.4); no attention mask is passed, as in
Stable Diffusion's training.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scenewright.backbone.model import Backbone
from scenewright.errors import InputError

ROWS = 64
"""Texts that go through the encoder at once."""


class PromptCut(UserWarning):
    """A text was longer than the text encoder's window; the message says what was left out."""


@dataclass(frozen=True, eq=False)
class Text:
    """Encoded texts."""

    tokens_BLD: Tensor
    """Hidden states after the final LayerNorm, padded to the window, in the encoder's number type."""
    pooled_BD: Tensor
    """float32 hidden state at the first end mark, after the final LayerNorm, before any projection."""
    lengths_B: Tensor
    """int64 number of tokens that are not padding, both end marks included."""
    cut: tuple[str, ...]
    """Per text what did not fit into the window, as it was written; empty where everything did."""


def embed(backbone: Backbone, prompts: Sequence[str]) -> Text:
    """Encode each text to one window of tokens; equal texts are encoded once.

    A text that is too long is cut at the window's end and reported by one `PromptCut` warning. An empty list
    gives empty tensors. Raises InputError for a bare string in place of a list.
    """
    if isinstance(prompts, str):
        raise InputError(f"a list of texts was expected, not the text {prompts!r}", "write [text]")
    different = list(dict.fromkeys(prompts))
    text = _encode(backbone, different)
    if len(different) == len(prompts):
        return text
    return _repeated(text, [different.index(prompt) for prompt in prompts])


def _encode(backbone: Backbone, prompts: list[str]) -> Text:
    ids_BL, lengths_B, cut = _tokenize(backbone, prompts)
    for prompt, rest in zip(prompts, cut, strict=True):
        if rest:
            _warn(prompt, rest, backbone)
    encoder = backbone.text_encoder
    device = next(encoder.parameters()).device
    parts = [torch.zeros((0, backbone.window, int(encoder.config.hidden_size)), device=device)]
    with torch.no_grad():
        for start in range(0, len(ids_BL), ROWS):
            parts.append(encoder(ids_BL[start : start + ROWS].to(device)).last_hidden_state)
    tokens_BLD = torch.cat(parts[1:] or parts)
    end_B = (ids_BL == backbone.tokenizer.eos_token_id).int().argmax(1).to(device)
    pooled_BD = tokens_BLD[torch.arange(len(ids_BL), device=device), end_B].float()
    return Text(tokens_BLD, pooled_BD, lengths_B.to(device), cut)


def _repeated(text: Text, places: list[int]) -> Text:
    """The texts at `places`, in that order."""
    index = torch.as_tensor(places, device=text.tokens_BLD.device)
    cut = tuple(text.cut[place] for place in places)
    return Text(text.tokens_BLD[index], text.pooled_BD[index], text.lengths_B[index], cut)


def _tokenize(backbone: Backbone, prompts: Sequence[str]) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """ids_BL padded to the window, true lengths, and what was cut off each text."""
    tokenizer, window = backbone.tokenizer, backbone.window
    if not prompts:
        return torch.zeros((0, window), dtype=torch.long), torch.zeros(0, dtype=torch.long), ()
    encoded = tokenizer(list(prompts), return_offsets_mapping=True, truncation=False, verbose=False)
    rows, lengths, cut = [], [], []
    for prompt, ids, offsets in zip(prompts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        rest = ""
        if len(ids) > window:
            rest = prompt[offsets[window - 1][0] :].strip()
            ids = [*ids[: window - 1], tokenizer.eos_token_id]
        lengths.append(len(ids))
        cut.append(rest)
        rows.append([*ids, *[tokenizer.pad_token_id] * (window - len(ids))])
    return torch.tensor(rows), torch.tensor(lengths), tuple(cut)


def _warn(prompt: str, rest: str, backbone: Backbone) -> None:
    start = prompt if len(prompt) <= 40 else prompt[:37] + "..."
    room = backbone.window - 2
    message = f"{start!r} is longer than the {room} tokens that {backbone.name} reads; left out: {rest!r}"
    warnings.warn(PromptCut(message), stacklevel=4)
