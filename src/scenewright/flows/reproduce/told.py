"""What the caption alone asks for: phrases name all colours of a scene, its caption leaves out some."""

from __future__ import annotations

import re
from dataclasses import replace

from scenewright.evaluate.asked import Asked, AskedScene
from scenewright.scene import Scene


def told_scene(asked: AskedScene, scene: Scene) -> AskedScene:
    """`asked` without the attributes that the scene's caption does not tell.

    A caption tells an attribute if it stands in it before the noun of the phrase, with at most one word
    between them: "a red metallic car" tells the colour of "a red metallic car", "a metallic car" does not.
    """
    phrases = {one.id: one.phrase for one in scene.instances}
    return replace(asked, asked=tuple(_told(one, phrases[one.instance], scene.prompt) for one in asked.asked))


def _told(one: Asked, phrase: str, prompt: str) -> Asked:
    values = set(one.attributes.values())
    words = [word for word in phrase.lower().split() if word not in values]
    noun = " ".join(words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words)
    kept = {
        name: value
        for name, value in one.attributes.items()
        if re.search(rf"\b{re.escape(value)} (?:\w+ )?{re.escape(noun)}\b", prompt.lower())
    }
    return replace(one, attributes=kept)
