"""Options that would change nothing beside the others are refused, in the same words by every command, before
anything is loaded; with their partners they are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scenewright.errors import InputError, ignored
from scenewright.flows.options import GenerateOptions, check_given, parse_classes

ALONE = [
    (
        "segment a.png --classes cat --refine-steps 3",
        "--refine-steps was given without --refine",
        "add --refine",
    ),
    (
        "segment a.png --classes cat --refine-strength 0.5",
        "--refine-strength was given without --refine",
        "add",
    ),
    ("segment a.png --classes cat --overlap 0.25", "--overlap was given without --tile", "--tile 1000"),
    ("segment a.png --classes cat --threshold 0.7", "--threshold was given without --background", "add that"),
    (
        "segment a.png --classes cat --background none --threshold 0.7",
        "without --background threshold",
        "add",
    ),
    ("mask-denoiser a.png --model d --members 1 --align none", "--align was given with --members 1", "10"),
    (
        "generate --prompt cat --ground-rule argmax --cutouts",
        "--ground-rule, --cutouts were given",
        "add --ground",
    ),
    ("generate --prompt cat --crop 96", "--crop was given without label maps", "--vocabulary"),
    (
        "generate a.png --vocabulary voc --crop 96",
        "--crop was given with label maps alone",
        "generation list",
    ),
    (
        "generate a.png --vocabulary voc --format coco",
        "--format was given without scene files",
        "leave it out",
    ),
    ("generate --prompt cat --format coco", "--format was given without scene files", "leave it out"),
    ("generate --prompt cat --window-stride 0.5", "--window-stride was given without --windows", "uniform"),
    ("generate --prompt cat --fusion-share 0.1", "--fusion-share was given without --fusion", "--fusion 2"),
    ("generate --prompt cat --fusion-share 0.1 --windows uniform", "without --fusion and", "--fusion 2"),
    ("generate --prompt cat --merge box", "--merge was given without --mis", "--mis 0.36"),
    ("generate --prompt cat --guidance 1 --negative fog", "--negative was given with --guidance 1", "4"),
    ("generate --prompt cat --no-layout --gate 0.3", "--gate was given with --no-layout", "leave it out"),
    (
        "generate --prompt cat --no-layout --no-scaleu",
        "--no-scaleu was given with --no-layout",
        "leave it out",
    ),
    ("generate --from a.png --remove cat --weather snowy", "--weather was given with --from", "leave it out"),
    ("generate --from a.png --remove cat --cutouts", "--cutouts was given without --ground", "add --ground"),
    ("evaluate semantic out --vocabulary town", "--vocabulary was given without --segmenter", "--segmenter"),
    ("evaluate semantic out --segmenter s --judge a", "--judge was given with --segmenter", "leave it out"),
    ("evaluate semantic out --segmenter s --stride 8", "--stride was given without --window", "--window 512"),
    (
        "evaluate instances out --model nano --dtype auto",
        "--model, --dtype were given without --protocol",
        "box",
    ),
    (
        "evaluate instances a --protocol box --pictures o --steps 9",
        "--steps was given with --pictures",
        "leave",
    ),
    ("evaluate ovss d --benchmark voc20 --threshold 0.3", "--threshold was given without the rule", "add"),
    ("evaluate ovss d --benchmark voc20 --maps m --tile 512", "--tile was given with --maps", "leave it out"),
    ("evaluate held-out --out o", "--out was given without a set", "toybox-1"),
    ("dataset import gta d --presume-prompts", "--presume-prompts was given with gta", "leave it out"),
    ("dataset import d --split val", "--split was given without a dataset of streets", "gta d"),
    (
        "dataset build a.png --vocabulary voc --policy top1",
        "--policy was given with label maps",
        "leave it out",
    ),
    (
        "dataset build a.png --vocabulary voc --per-picture 1 --least-score 0",
        "--per-picture, --least-score",
        "",
    ),
    (
        "dataset build a.png --vocabulary voc --doubtful keep",
        "--doubtful was given without --labeller",
        "FOLDER",
    ),
    (
        "dataset build a.png --vocabulary voc --template {classes}",
        "--template was given without --weather",
        "even",
    ),
    (
        "dataset build a.png --vocabulary voc --rare 1",
        "--rare was given without a folder of label maps",
        "name",
    ),
    ("dataset build a.json --total 9", "--total was given with scene files", "--count"),
    ("dataset build a.json --weather even", "--weather was given without label maps", "MAPS --vocabulary"),
    ("dataset build --classes cat --count 2", "--count was given without scene files", "leave it out"),
    ("dataset build --classes cat --split 2", "--split was given without --grammar", "--grammar seen"),
    ("dataset build --classes cat --verifier none --least-agreement 0.1", "with --verifier none", "verifier"),
    ("dataset build --classes cat --fusion-share 0.1", "--fusion-share was given without --fusion", "2"),
    (
        "dataset build --classes cat --dry-run --retry-failed",
        "--retry-failed was given with --dry-run",
        "leave",
    ),
    ("train --list --set a=b", "--set was given without a recipe", "train RECIPE --list"),
    ("train vae --list --resume --out o", "--out, --resume were given with --list", "leave them out"),
    ("reproduce grounding --data d --pictures 9", "--pictures was given with --data", "leave it out"),
    (
        "reproduce grounding --data d --tested 0 --labeller x",
        "--labeller was given with --data",
        "leave it out",
    ),
    (
        "reproduce segdiffusion --variant one-pass --members 3",
        "--members was given without the variant mask-denoiser",
        "add --variant mask-denoiser",
    ),
]


@pytest.mark.parametrize(("command", "said", "hint"), ALONE, ids=[case[0] for case in ALONE])
def test_options_without_their_partners(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*command.split())
    told, advice = ended.err.splitlines()
    assert ended.code == 2 and not ended.out and said in told and told.endswith("would be ignored")
    assert advice.startswith("hint: ") and hint in advice and "leave" in advice
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("segment a.png --classes cat --refine d --refine-steps 3", "a.png"),
        ("segment a.png --classes cat --tile 512 --overlap 0.5", "a.png"),
        ("segment a.png --classes cat --background threshold --threshold 0.7", "a.png"),
        ("generate a.json --vocabulary cityscapes --crop 96", "a.json"),
        ("generate a.json --fusion 2 --fusion-share 0.1 --window-stride 0.5", "a.json"),
        ("evaluate ovss d --vocabulary voc --background threshold --threshold 0.3", "there is no folder d"),
        ("evaluate instances a --protocol box --steps 9", "a"),
    ],
)
def test_options_with_their_partners(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*command.split())
    assert ended.code == 2 and said in ended.err and "ignored" not in ended.err


def test_fields_count_with_what_a_record_was_made_with() -> None:
    check_given(GenerateOptions(windows="tapered"), {"window_stride", "steps"})
    check_given(GenerateOptions(mis=0.3), {"merge"})
    with pytest.raises(InputError, match="--window-stride was given without"):
        check_given(GenerateOptions(), {"window_stride"})


def test_what_is_left_out_is_said() -> None:
    one, two = ignored(["--a"], "with --b", ""), ignored(["--a", "--c"], "without --b", "add --b")
    assert (one.message, one.hint) == ("--a was given with --b and would be ignored", "leave it out")
    assert (two.message, two.hint) == (
        "--a, --c were given without --b and would be ignored", "add --b, or leave them out",
    )  # fmt: skip


def test_empty_classes_name_their_option(cli: Callable) -> None:
    ended = cli("segment", "a.png", "--classes", ",")
    assert ended.code == 2 and "number 1 of --classes ',' is empty" in ended.err
    assert "hint: --classes cat --classes dog, or --classes cat,dog\n" in ended.err
    ended = cli("segment", "a.png", "--classes", "cat", "--behind", "sky,")
    assert "number 2 of --behind 'sky,'" in ended.err and "hint: --behind cat --behind dog" in ended.err
    assert parse_classes(["cat", "dog,horse"]) == ("cat", "dog", "horse")
