"""Standardised token states: the same texts, zero mean and unit spread, nothing else changed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from scenewright.errors import InputError
from scenewright.train.standardise import standardise, word_states
from scenewright.train.text import TextConfig, fresh_encoder, learn_tokenizer, tokenize
from scenewright.world import toybox


@pytest.fixture(scope="module")
def encoder_and_texts():
    texts = [toybox.draw(seed).scene.prompt for seed in range(60)]
    tokenizer = learn_tokenizer(texts, 700, 48)
    torch.manual_seed(0)
    encoder = fresh_encoder(TextConfig(width=32, layers=1, heads=2), tokenizer)
    with torch.no_grad():  # as training leaves it: nearly everything in common
        norm = encoder.get_submodule(
            next(n for n, _ in encoder.named_modules() if n.endswith("final_layer_norm"))
        )
        norm.weight.mul_(0.1)
        norm.bias.add_(4.0)
    return encoder.eval(), tokenize(tokenizer, texts, 48)


@torch.no_grad()
def test_states_of_words_are_standardised_and_a_linear_map_undoes_it(encoder_and_texts):
    encoder, (ids_BL, ends_B) = encoder_and_texts
    changed = copy.deepcopy(encoder)
    before_BLD = encoder(ids_BL).last_hidden_state
    before_KD = word_states(before_BLD, ends_B)
    standardise(changed, before_KD)
    after_BLD = changed(ids_BL).last_hidden_state
    after_KD = word_states(after_BLD, ends_B)
    torch.testing.assert_close(after_KD.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    torch.testing.assert_close(after_KD.std(0), torch.ones(32), atol=1e-4, rtol=0)
    undone_BLD = after_BLD * before_KD.std(0) + before_KD.mean(0)
    torch.testing.assert_close(undone_BLD, before_BLD, atol=1e-5, rtol=1e-5)


def test_start_marks_and_padding_are_not_counted():
    hidden_BLD = torch.arange(8.0).view(2, 4, 1)
    assert word_states(hidden_BLD, torch.tensor([1, 2])).flatten().tolist() == [1.0, 5.0, 6.0]


def test_a_dimension_that_never_changes_stays_finite(encoder_and_texts):
    encoder = copy.deepcopy(encoder_and_texts[0])
    states_KD = torch.randn(50, 32)
    states_KD[:, 3] = 7.0
    standardise(encoder, states_KD)
    assert all(torch.isfinite(p).all() for p in encoder.parameters())


def test_refusals(encoder_and_texts):
    with pytest.raises(InputError, match="at least two states"):
        standardise(copy.deepcopy(encoder_and_texts[0]), torch.zeros(1, 32))
    with pytest.raises(InputError, match="final layer norm"):
        standardise(nn.Linear(2, 2), torch.randn(4, 2))
