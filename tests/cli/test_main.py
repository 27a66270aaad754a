"""The entry: overview, version, unknown commands, exit codes; fast and without torch."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer

from scenewright.cli import report
from scenewright.cli.commands import COMMANDS
from scenewright.errors import InputError, SceneError, ScenewrightError, StorageError

ENTRY = "import sys; from scenewright.cli.main import main; sys.exit(main())"
"""What the installed console script does."""


def process(*words: str, code: str = ENTRY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_help_lists_every_command_without_importing_them(cli) -> None:
    ended = cli("--help")
    assert ended.code == 0 and ended.err == ""
    for name, (_, line) in COMMANDS.items():
        assert name in ended.out and line.split(":")[0].split(",")[0] in ended.out
    code = f"import sys\ntry:\n    {ENTRY}\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    loaded = process("--help", code=code.replace("; ", "\n    ")).stderr.split()
    assert not {"torch", "numpy", "PIL", "diffusers", "scenewright.cli.generate", "scenewright.scene"} & set(
        loaded
    )


def test_help_takes_less_than_a_third_of_a_second() -> None:
    """In processor time, which is wall time where nothing else runs."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.3


def test_importing_the_package_is_cheap() -> None:
    done = process(code="import sys, scenewright; scenewright.Scene; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0
    done = process(code="import sys, scenewright; sys.exit('numpy' in sys.modules)")
    assert done.returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_without_torch(name: str) -> None:
    code = f"import sys\ntry:\n    {ENTRY}\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    done = process(name, "--help", code=code.replace("; ", "\n    "))
    assert done.returncode == 0 and done.stderr.split() == ["False"]
    assert "Usage: scenewright " + name in done.stdout


def test_version(cli) -> None:
    from scenewright.models.version import version

    ended = cli("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"scenewright {version()}\n", "")


def test_no_command_shows_the_overview(cli) -> None:
    ended = cli()
    assert ended.code == 2 and "generate" in ended.out + ended.err


def test_the_module_is_the_command() -> None:
    for module in ("scenewright", "scenewright.cli.main"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.startswith("scenewright ")


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (InputError("no", "yes"), 2, "error: no\nhint: yes\n"),
        (StorageError("full", "make room"), 2, "error: full\nhint: make room\n"),
        (SceneError("bad", path="box"), 2, "error: box: bad\nhint: docs/concepts/scene-format.md"),
        (ScenewrightError("broke", "mend"), 1, "error: broke\nhint: mend\n"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (typer.BadParameter("not so"), 2, "error: Invalid value: not so\nhint: scenewright --help"),
    ],
)
def test_exit_codes(fault: BaseException, code: int, said: str, capsys) -> None:
    def action() -> None:
        raise fault

    assert report.run(action) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and "Traceback" not in err


def test_bugs_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        report.run(lambda: 1 / 0)


def test_our_warnings_are_one_line_and_others_are_silent(capsys) -> None:
    def action() -> None:
        from scenewright.data.foreign import ClippedBoxes

        told = ClippedBoxes("3 of 9 boxes left the canvas")
        warnings.warn_explicit(told, None, "scenewright/data/coco.py", 1, module="scenewright.data.coco")
        warnings.warn_explicit("old", DeprecationWarning, "torch/x.py", 1, module="torch.x")

    assert report.run(action) == 0
    assert capsys.readouterr().err == "warning: 3 of 9 boxes left the canvas\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m scenewright models list | head -n 1',
        shell=True, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "SCENEWRIGHT_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("name") and "Traceback" not in done.stderr
