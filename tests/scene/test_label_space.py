"""Label spaces: ids to outputs and back, true maps of Records from labels, masks and asked maps."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.scene import IGNORE, Box, Instance, Mask, Record, Scene, SemanticMap, Vocabulary
from scenewright.scene.label_space import LabelSpace, class_map
from scenewright.world import town, toybox

THINGS = LabelSpace.of("toybox", things=True)


def record(instances, masks, labels=None, asked=None):
    scene = Scene(prompt="toys", size_wh=(16, 8), instances=instances, semantic_map=asked)
    return Record(image=np.zeros((8, 16, 3), np.uint8), scene=scene, masks=masks, labels=labels)


def mask(rows, columns):
    array = np.zeros((8, 16), bool)
    array[rows, columns] = True
    return Mask.from_array(array)


def test_things_of_the_toybox_and_everything_of_the_town():
    assert THINGS.names == ("background", *toybox.CLASSES) and THINGS.background == 0
    assert THINGS.classes == toybox.CLASSES and len(THINGS) == 39 and len(THINGS.behind) == 12
    streets = LabelSpace.of("town")
    assert streets.names == town.CLASSES == streets.classes and streets.background == IGNORE
    every = LabelSpace.of("toybox")
    assert len(every) == 51 and every.behind == () and every.names[-1] == "building"
    with pytest.raises(InputError, match="has no background"):
        LabelSpace.of("cityscapes", things=True)


def test_outputs_and_back():
    labels = np.array([[0, 7, 38], [39, 255, IGNORE]], np.uint16)
    outputs = THINGS.outputs(labels)
    assert outputs.tolist() == [[0, 7, 38], [0, IGNORE, IGNORE]]
    voc = LabelSpace.of("voc")
    ids = np.array([[one.id for one in Vocabulary.load("voc")] + [255]], np.uint16)
    assert voc.outputs(ids).tolist() == [[*range(1, 21), IGNORE]]
    back = voc.labels(voc.outputs(ids))
    assert back.vocabulary == "voc" and back.labels().tolist() == [[*ids[0, :-1].tolist(), IGNORE]]


def test_positions_of_names_and_synonyms():
    assert THINGS.positions(["car", "TV", "puppy"]) == tuple(
        THINGS.names.index(name) for name in ("car", "tvmonitor", "dog")
    )
    assert THINGS.position("sky") == 0 and THINGS.position("dragon") is None
    with pytest.raises(InputError) as fault:
        THINGS.positions(["carr"])
    assert "car" in fault.value.hint


def test_scored_classes_have_the_outputs_as_ids():
    scored = THINGS.scored()
    assert scored.background.id == 0 and [one.id for one in scored] == list(range(1, 39))
    assert scored.find("tv").id == THINGS.position("tv")
    streets = LabelSpace.of("town").scored()
    assert streets.background is None and [one.id for one in streets] == list(range(19))


def test_the_map_of_a_drawing_is_its_own_from_labels_and_from_masks():
    drawn = toybox.draw(70_003, count=(4, 5))
    whole = drawn.record()
    things = np.where(drawn.semantic <= 38, drawn.semantic, 0)
    assert np.array_equal(class_map(whole, THINGS), things)
    assert np.array_equal(class_map(whole.replace(labels=None), THINGS), things)
    street = town.draw(70_004).record()
    assert np.array_equal(class_map(street, LabelSpace.of("town")), street.labels.labels())


def test_masks_above_and_below_one_another_by_hand():
    instances = (
        Instance(phrase="a red car", category="car", id="small"),
        Instance(phrase="a sofa", category="sofa", id="large"),
        Instance(phrase="dog", id="above", z=1),
        Instance(phrase="a green dragon", category="dragon", id="strange"),
        Instance(phrase="a cat", category="cat", id="lost", box=Box(0.5, 0.0, 1.0, 1.0)),
    )
    masks = {
        "small": mask(slice(0, 2), slice(0, 2)),
        "large": mask(slice(0, 4), slice(0, 4)),
        "above": mask(slice(1, 6), slice(1, 2)),
        "strange": mask(slice(6, 8), slice(0, 12)),
    }
    found = class_map(record(instances, masks), THINGS)
    car, sofa, dog = THINGS.positions(["car", "sofa", "dog"])
    wanted = np.zeros((8, 16), int)
    wanted[:, 8:] = IGNORE
    wanted[:4, :4] = sofa
    wanted[:2, :2] = car
    wanted[1:6, 1] = dog
    wanted[6:, :12] = IGNORE
    assert np.array_equal(found, wanted)
    bare = class_map(record(instances[:1], {"small": masks["small"]}), LabelSpace.of("coco-stuff"))
    assert bare[0, 0] == LabelSpace.of("coco-stuff").position("car")
    assert bare[7, 15] == LabelSpace.of("coco-stuff").background


def test_the_asked_map_is_the_last_resort():
    asked = SemanticMap.from_labels(np.full((8, 16), 3, np.uint16), "town")
    space = LabelSpace.of("town")
    assert (class_map(record((), {}, asked=asked), space) == 3).all()
    own = SemanticMap.from_labels(np.full((8, 16), 5, np.uint16), "town")
    assert (class_map(record((), {}, labels=own, asked=asked), space) == 5).all()
    with pytest.raises(InputError, match="neither masks nor labels"):
        class_map(record((), {}, asked=asked), THINGS)
