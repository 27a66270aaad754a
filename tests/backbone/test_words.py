"""Class vectors: exactly the tokens of a name, whatever stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scenewright.backbone.text import PromptCut, embed
from scenewright.backbone.words import (
    STOP,
    TEMPLATE,
    class_vectors,
    find_spans,
    offsets_of,
    token_places,
)
from scenewright.errors import InputError
from scenewright.testing import tiny_backbone

BACKBONE = tiny_backbone(0)


def hidden(text: str, word: str, nth: int = 0) -> torch.Tensor:
    """Mean hidden state over the tokens of the nth `word`, found by counting tokens of what comes before."""
    start = -1
    for _ in range(nth + 1):
        start = text.index(word, start + 1)
    tokens = BACKBONE.tokenizer
    before = len(tokens(text[:start].strip())["input_ids"]) - 1
    count = len(tokens(word)["input_ids"]) - 2
    return embed(BACKBONE, [text]).tokens_BLD[0, before : before + count].mean(0)


def test_places_of_published_classes(golden_dir: Path) -> None:
    """The recorded positions of all VOC and COCO names in the published template and joint prompts."""
    folder = golden_dir / "grounding" / "given"
    table = json.loads((folder / "class_tokens.json").read_text())
    for name, told in table.items():
        text, pieces = TEMPLATE.format(name), ["a", "photograph", "of", "a", *told["pieces"]]
        start = text.index(name, len("a photograph of a"))
        span = (start, start + len(name))
        assert token_places(_offsets(text, pieces), span) == told["template_positions"]
    for told in json.loads((folder / "joint_prompt_tokens.json").read_text()):
        first, second = told["labels"]
        text = f"{first} and a {second}"
        pieces = [*table[first]["pieces"], "and", "a", *table[second]["pieces"]]
        assert len(pieces) + 2 == len(told["input_ids"])
        for name, start in ((first, 0), (second, len(first) + 7)):
            places = token_places(_offsets(text, pieces), (start, start + len(name)))
            assert places == told["positions"][name]


def _offsets(text: str, pieces: list[str]) -> list[tuple[int, int]]:
    """What a tokenizer says about pieces that make up a text, with its end marks."""
    found, at = [(0, 0)], 0
    for piece in pieces:
        bare = piece.removesuffix("</w>")
        at = text.index(bare, at)
        found.append((at, at + len(bare)))
        at += len(bare)
    return [*found, (0, 0)]


def test_template() -> None:
    vectors, used = class_vectors(BACKBONE, ["", ""], [["car", "blue cat"], ["dog"]])
    assert vectors.shape == (2, 2, 32) and used.tolist() == [[True, True], [True, False]]
    assert torch.allclose(vectors[0, 1], hidden("a photograph of a blue cat", "blue cat"))
    assert torch.allclose(vectors[1, 0], hidden("a photograph of a dog", "dog"))
    assert (vectors[1, 1] == 0).all() and vectors.dtype == torch.float32
    other, _ = class_vectors(BACKBONE, [""], [["cat"]], template="the {} on grass")
    assert torch.allclose(other[0, 0], hidden("the cat on grass", "cat"))


def test_joint() -> None:
    """Labels in one text, read at their own places, though one word occurs twice and one inside another."""
    vectors, _ = class_vectors(BACKBONE, [""], [["dog", "hot dog", "dog"]], "joint")
    text = "dog and a hot dog and a dog"
    assert torch.allclose(vectors[0, 0], hidden(text, "dog", 0))
    assert torch.allclose(vectors[0, 1], hidden(text, "hot dog"))
    assert torch.allclose(vectors[0, 2], hidden(text, "dog", 2))


def test_subtract_is_out_of_place() -> None:
    plain = class_vectors(BACKBONE, [""], [["car", "cat", "dog"]])[0][0]
    found = class_vectors(BACKBONE, [""], [["car", "cat", "dog"]], "subtract")[0][0]
    for k in range(3):
        others = [i for i in range(3) if i != k]
        assert torch.allclose(found[k], plain[k] - plain[others].sum(0), atol=1e-5)
    alone = class_vectors(BACKBONE, [""], [["car"]], "subtract")[0]
    assert torch.allclose(alone, class_vectors(BACKBONE, [""], [["car"]])[0], atol=1e-6)


def test_prompt() -> None:
    prompt = "a red car and the Dog in the grass"
    names = [["car", "dog", "cat", ("hound", "dog")]]
    vectors = class_vectors(BACKBONE, [prompt], names, "prompt")[0][0]
    assert torch.allclose(vectors[0], hidden(prompt, "car"))
    assert torch.allclose(vectors[1], hidden(prompt, "Dog"))
    assert torch.allclose(vectors[2], hidden("a photograph of a cat", "cat"))
    assert torch.allclose(vectors[3], vectors[1])


def test_case_synonyms_and_repeats() -> None:
    upper, lower = (class_vectors(BACKBONE, [""], [[name]])[0] for name in ("Batman", "batman"))
    assert torch.allclose(upper, lower) and torch.isfinite(upper).all()
    both = class_vectors(BACKBONE, [""], [[("car", "cat")]])[0][0, 0]
    each = class_vectors(BACKBONE, [""], [["car", "cat"]])[0][0]
    assert torch.allclose(both, each.mean(0), atol=1e-6)
    twice = class_vectors(BACKBONE, ["a dog on a dog"], [["dog"]], "prompt")[0][0, 0]
    first, second = hidden("a dog on a dog", "dog", 0), hidden("a dog on a dog", "dog", 1)
    assert torch.allclose(twice, (first + second) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("a dog beside a hot dog", ["dog", "hot dog"], [["dog"], ["hot dog"]]),
        ("a dog beside a hot dog", ["dog"], [["dog", "dog"]]),
        ("two dogs, a Dog and a dogma", ["dog"], [["dogs", "Dog"]]),
        ("buses and a bus", ["bus"], [["buses", "bus"]]),
        ("a baseball  bat, a bat", ["bat", "baseball bat"], [["bat"], ["baseball  bat"]]),
        ("a car", ["car", "car", "cat"], [["car"], ["car"], []]),
        ("a tv monitor", [("tv", "tv monitor", "monitor")], [["tv monitor"]]),
        ("a carrot", ["car"], [[]]),
        ("c++ (a [b])", ["c++", "[b]"], [["c++"], ["[b]"]]),
        ("", ["car"], [[]]),
    ],
)
def test_spans(text: str, names: list, expected: list[list[str]]) -> None:
    assert [[text[slice(*span)] for span in row] for row in find_spans(text, names)] == expected


def test_offsets_are_of_the_written_text() -> None:
    text = "A  RED\tcar,  a cat"
    for word in ("RED", "car", "cat"):
        start = text.index(word)
        places = token_places(offsets_of(BACKBONE, [text])[0], (start, start + len(word)))
        ids = BACKBONE.tokenizer(text)["input_ids"]
        assert [ids[i] for i in places] == BACKBONE.tokenizer(word)["input_ids"][1:-1]


def test_what_cannot_be_looked_for() -> None:
    for classes, words in (
        ([[]], "no classes"),
        (["car"], "give a list|the text 'car'"),
        ([[""]], "no name"),
        ([["  "]], "no name"),
        ([["of a"]], "names nothing"),
        ([["AND"]], "names nothing"),
        ([[()]], "a name or a list"),
        ([[("car", 7)]], "a name or a list"),
    ):
        for mode in ("template", "joint", "prompt"):
            with pytest.raises(InputError, match=words):
                class_vectors(BACKBONE, [""], classes, mode)
    with pytest.raises(InputError, match="joined"):
        class_vectors(BACKBONE, [""], [["car"]], "joined")
    with pytest.raises(InputError, match="one list per prompt"):
        class_vectors(BACKBONE, ["", ""], [["car"]])
    assert all(word == word.lower() for word in STOP)


def test_many_classes() -> None:
    """Fifty classes one by one are fine; in one text they do not fit, and that is said."""
    names = [[f"car {i}" for i in range(50)]]
    assert class_vectors(BACKBONE, [""], names)[0].shape == (1, 50, 32)
    with pytest.raises(InputError, match="reads 48") as caught:
        class_vectors(BACKBONE, [""], names, "joint")
    assert "template" in caught.value.hint


def test_a_prompt_that_is_cut_is_read_where_it_was_not() -> None:
    long = "a car and " + "the " * 60 + "dog"
    with pytest.warns(PromptCut):
        vectors = class_vectors(BACKBONE, [long], [["car", "dog"]], "prompt")[0][0]
        assert torch.allclose(vectors[0], hidden(long, "car"))
    assert torch.allclose(vectors[1], hidden("a photograph of a dog", "dog"))
