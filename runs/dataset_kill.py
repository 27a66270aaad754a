"""Kill ``scenewright dataset build`` again and again, and compare what is left in the end with a quiet run.

    python runs/dataset_kill.py --total 200 --kills 20 --out runs/out/dataset-kill

Builds the same data set twice with the embedded model: once undisturbed, once with a disk that refuses files
of pictures at first, then with SIGKILL at random moments until it is done. Passes when both folders hold the
same bytes, every picture stands in the journal once, and no temporary file is left. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scenewright.flows.dataset import journal
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.verify import verify


def command(out: Path, total: int, more: Sequence[str]) -> list[str]:
    """The command line of a build."""
    return [
        *(sys.executable, "-m", "scenewright", "dataset", "build"),
        *("--vocabulary", "toybox", "--per-picture", "1", "--total", str(total), "--out", str(out)),
        *more,
    ]


def no_room() -> None:
    """In the child: files may not grow beyond 2 kB, so that pictures cannot be written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def done(out: Path) -> int:
    """Pictures in the journal."""
    return len(journal.read(out / journal.JOURNAL).entries)


def killed(words: list[str], out: Path, rng: random.Random, longest: float) -> bool:
    """Start a build and kill it some time after its first new picture; whether it was still alive."""
    before = done(out)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and done(out) == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, longest))
        alive = process.poll() is None
        process.kill()
    return alive


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def main() -> int:
    """Run it; 0 if nothing differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--total", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds from a new picture to a kill")
    parser.add_argument("--out", type=Path, default=Path("runs/out/dataset-kill"))
    parser.add_argument("rest", nargs="*", help="more options of `dataset build`, after --")
    given = parser.parse_args()
    quiet, cut, rng = given.out / "quiet", given.out / "killed", random.Random(0)
    subprocess.run(command(quiet, given.total, given.rest), check=True, stdout=subprocess.DEVNULL)
    words = command(cut, given.total, given.rest)
    full = subprocess.run(words, preexec_fn=no_room, capture_output=True, text=True, check=False)
    kills = 0
    while kills < given.kills and done(cut) < given.total:
        kills += killed(words, cut, rng, given.longest)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    names = Counter(one.name for one in Dataset.open(cut).journal)
    found = {
        "pictures": given.total,
        "kept": len(Dataset.open(cut).kept),
        "kills": kills,
        "full_disk_exit": full.returncode,
        "equal_bytes": contents(quiet) == contents(cut),
        "once_each": len(names) == given.total and set(names.values()) == {1},
        "temporary_files": len(list(cut.glob(".*"))),
        "problems": [str(one) for one in verify(Dataset.open(cut)).problems],
    }
    print(json.dumps(found))
    good = (
        found["equal_bytes"] and found["once_each"] and not found["temporary_files"] and not found["problems"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
