"""Texts become tokens; what is too long is cut and said."""

from __future__ import annotations

import warnings

import pytest
import torch

from scenewright.backbone.model import Backbone
from scenewright.backbone.text import PromptCut, embed
from scenewright.errors import InputError
from scenewright.testing import tiny_backbone


@pytest.fixture(scope="module", params=["nano", "sd1", "sd2"])
def tiny(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(2, request.param)


def test_empty_list(tiny: Backbone) -> None:
    text = embed(tiny, [])
    assert text.tokens_BLD.shape == (0, tiny.window, tiny.context_width)
    assert text.pooled_BD.shape == (0, tiny.context_width)
    assert text.lengths_B.shape == (0,)
    assert text.cut == ()


def test_pooled_is_the_encoders_own(tiny: Backbone) -> None:
    prompts = ["a red car", "", "the cat and the dog on the grass"]
    text = embed(tiny, prompts)
    ids_BL = tiny.tokenizer(
        prompts, padding="max_length", max_length=tiny.window, return_tensors="pt"
    ).input_ids
    theirs = tiny.text_encoder(ids_BL)
    torch.testing.assert_close(text.tokens_BLD, theirs.last_hidden_state)
    torch.testing.assert_close(text.pooled_BD, theirs.pooler_output)
    assert text.lengths_B.tolist() == [5, 2, 10]
    assert text.pooled_BD.dtype == torch.float32
    assert text.cut == ("", "", "")


def test_pooled_is_float32_in_half_precision() -> None:
    tiny = tiny_backbone(0)
    tiny.text_encoder.to(torch.bfloat16)
    text = embed(tiny, ["a cat"])
    assert text.tokens_BLD.dtype == torch.bfloat16
    assert text.pooled_BD.dtype == torch.float32


def test_long_text_is_cut_at_the_window(tiny: Backbone) -> None:
    room = tiny.window - 2
    fits = " ".join(["cat"] * room)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = embed(tiny, [fits])
    with pytest.warns(PromptCut, match="left out: 'Dog of THE sky'") as caught:
        cut = embed(tiny, ["sky", f"{fits} Dog of THE sky"])
    assert len(caught) == 1
    assert str(room) in str(caught[0].message)
    assert cut.cut == ("", "Dog of THE sky")
    assert cut.lengths_B.tolist() == [3, tiny.window]
    torch.testing.assert_close(cut.pooled_BD[1], whole.pooled_BD[0])


def test_a_text_does_not_depend_on_its_neighbours(tiny: Backbone) -> None:
    prompts = [f"a cat {index}" for index in range(70)]
    together, alone = embed(tiny, prompts), embed(tiny, prompts[66:67])
    torch.testing.assert_close(together.tokens_BLD[66:67], alone.tokens_BLD)


def test_equal_texts_are_encoded_once_and_reported_once(tiny: Backbone) -> None:
    seen: list[int] = []
    hook = tiny.text_encoder.register_forward_hook(
        lambda module, given, out: seen.append(len(out.last_hidden_state))
    )
    long = " ".join(["cat"] * tiny.window)
    with pytest.warns(PromptCut) as caught:
        text = embed(tiny, ["", "a dog", long, "", long])
    hook.remove()
    assert seen == [3] and len(caught) == 1
    assert text.lengths_B.tolist() == [2, 4, tiny.window, 2, tiny.window]
    assert [bool(rest) for rest in text.cut] == [False, False, True, False, True]
    torch.testing.assert_close(text.tokens_BLD[:2], embed(tiny, ["", "a dog"]).tokens_BLD)
    assert torch.equal(text.tokens_BLD[2], text.tokens_BLD[4])


def test_bare_string_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="a list of texts"):
        embed(tiny, "a cat")


def test_an_end_mark_inside_a_text_ends_its_pooled_embedding() -> None:
    """The text encoder is causal: what follows the first end mark cannot reach it."""
    backbone = tiny_backbone(0)
    marked, plain = embed(
        backbone, [f"a red car {backbone.tokenizer.eos_token} in the rain", "a red car"]
    ).pooled_BD
    assert torch.allclose(marked, plain, atol=1e-6)
