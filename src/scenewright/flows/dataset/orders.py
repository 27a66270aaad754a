"""Orders: jobs with the classes that a labeller will look for in their pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenewright.errors import InputError
from scenewright.evaluate.asked import mentioned
from scenewright.flows.jobs import Job
from scenewright.models.labellers.protocol import wanted_class
from scenewright.scene import Vocabulary
from scenewright.scene.files import to_json_bytes


@dataclass(frozen=True)
class Order:
    """A picture to make: `wanted` is, for each instance by id, the labeller's class that it is of."""

    job: Job
    wanted: Mapping[str, str]

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The wanted classes, each once."""
        return tuple(dict.fromkeys(self.wanted.values()))


def orders(jobs: Sequence[Job], vocabulary: Vocabulary) -> list[Order]:
    """The jobs as orders. Raises InputError, naming the job, when a scene names no class, or one that the
    labeller does not know."""
    found = []
    for job in jobs:
        if not job.scene.instances:
            raise InputError(
                f"{job.name}: the scene has no instances, so there is nothing to label",
                'list its classes: [{"prompt": "a cat on a car", "classes": ["cat", "car"]}]',
            )
        wanted = {}
        for one in job.scene.instances:
            try:
                wanted[one.id] = wanted_class(one, vocabulary)
            except InputError as fault:
                raise InputError(f"{job.name}: {fault}", fault.hint) from fault
        found.append(Order(job, wanted))
    return found


def unmentioned(wanted: Sequence[Order], vocabulary: Vocabulary) -> tuple[str, ...]:
    """A note when prompts do not name what is looked for: such pictures will mostly be refused."""
    found = []
    for one in wanted:
        said = mentioned(one.job.scene.prompt, vocabulary)
        placed = {item.id for item in one.job.scene.instances if item.location_box is not None}
        missing = [name for id, name in one.wanted.items() if id not in placed and name not in said]
        if missing:
            found.append((one.name, missing[0]))
    if not found:
        return ()
    name, word = found[0]
    return (
        f"{len(found)} of {len(wanted)} prompts do not name a class that is looked for; the first is {name}, "
        f"without {word!r}: most of these pictures will be refused",
    )


def digest(wanted: Sequence[Order]) -> str:
    """sha256, in hex, of all that is asked for: names, scenes, seeds, classes, order."""
    found = hashlib.sha256()
    for one in wanted:
        job = one.job
        found.update(to_json_bytes([job.name, job.scene.to_json(), job.seed, dict(one.wanted)]) + b"\n")
    return found.hexdigest()
