"""``train``: list, keys, a run, its advice; errors come as the package's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scenewright.cli.train import command
from scenewright.errors import InputError

TASKS = Path(__file__).resolve().parents[1] / "train" / "tiny_tasks.py"
CONV = f"{TASKS}:conv"


def invoke(*words):
    app = typer.Typer(add_completion=False)
    app.command()(command)
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, InputError):
        raise done.exception
    return done


def test_list_shows_recipes_with_their_first_line():
    done = invoke("--list")
    assert done.exit_code == 0
    found = json.loads(invoke("--list", "--json").stdout)
    assert [line.split()[0] for line in done.stdout.splitlines() if line] == list(found)


def test_list_of_a_recipe_shows_every_key_with_overrides():
    done = invoke(CONV, "--list", "--set", "loop.steps=7")
    assert "loop.steps=7" in done.stdout.splitlines() and "task.width=8" in done.stdout.splitlines()
    assert json.loads(invoke(CONV, "--list", "--json").stdout)["loop.steps"] == 20


def test_train_stop_and_resume(tmp_path):
    short = [CONV, "--set", "loop.steps=4", "--out", tmp_path / "out"]
    done = invoke(*short, "--set", "loop.stop_after_minutes=1e-9")
    assert done.exit_code == 0
    assert (
        f"--set loop.steps=4 --set loop.stop_after_minutes=1e-9 --out {tmp_path / 'out'} --resume"
        in done.stderr
    )
    done = invoke(*short, "--resume", "--json")
    summary = json.loads(done.stdout)
    assert (summary["finished"], summary["step"], done.exit_code) == (True, 4, 0)
    assert invoke(*short, "--resume").stdout == f"{tmp_path / 'out' / 'export'}\n"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "no recipe", "--list"),
        (["nothing-like-it"], "no recipe 'nothing-like-it'", "recipes are"),
        ([CONV, "--set", "loop.stesp=1"], "no key 'loop.stesp'", "did you mean loop.steps?"),
        ([CONV, "--set", "loop.steps=-1"], "at least 1", ""),
        ([CONV, "--set", "loop.steps=many"], "whole number", "digits"),
    ],
)
def test_errors(tmp_path, words, message, hint):
    with pytest.raises(InputError, match=message) as caught:
        invoke(*words, "--out", tmp_path / "out")
    assert hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_help_does_not_import_torch():
    code = "import sys, scenewright.cli.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
