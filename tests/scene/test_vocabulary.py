"""Class lists: what ships, synonyms, colours, and files of the user."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scenewright.errors import InputError, StorageError
from scenewright.scene import Vocabulary
from scenewright.scene.io import read_labels
from scenewright.scene.vocabulary import ALIASES, available, default_colour

SIZES = {
    "voc": 20, "coco": 80, "coco-stuff": 171, "ade20k": 150, "ade20k-full": 847, "pascal-context": 59,
    "pascal-context-459": 459, "cityscapes": 19,
}  # fmt: skip


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_shipped_lists(name, size):
    vocabulary = Vocabulary.load(name)
    assert len(vocabulary) == size == len(set(vocabulary.names)) or name == "ade20k-full"
    assert vocabulary.source and vocabulary.title
    for entry in vocabulary:
        assert vocabulary.by_id(entry.id) == entry
        assert name == "ade20k-full" or vocabulary.find(entry.name) == entry
        assert entry.name == entry.name.strip() != ""


@pytest.mark.parametrize("name", available())
def test_everything_that_ships_loads_and_writes_itself(name):
    vocabulary = Vocabulary.load(name)
    assert Vocabulary.from_json(vocabulary.to_json(), "x", "x") == vocabulary
    assert all(synonym in vocabulary for entry in vocabulary for synonym in entry.synonyms)


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    assert Vocabulary.load(alias) == Vocabulary.load(ALIASES[alias])


@pytest.mark.parametrize(
    ("vocabulary", "word", "name"),
    [
        ("voc", "airplane", "aeroplane"), ("voc", "TV", "tvmonitor"), ("voc", "tv monitor", "tvmonitor"),
        ("voc", "potted plant", "pottedplant"), ("voc", "Potted-Plant", "pottedplant"),
        ("voc", "couch", "sofa"), ("voc", "dining_table", "diningtable"), ("voc", "motorcycle", "motorbike"),
        ("coco", "aeroplane", "airplane"), ("coco", "sofa", "couch"), ("coco", "tvmonitor", "tv"),
        ("coco", "motorbike", "motorcycle"), ("coco", "pottedplant", "potted plant"),
        ("coco", "mobile phone", "cell phone"), ("coco-stuff", "brick wall", "wall-brick"),
        ("coco-stuff", "sky", "sky-other"), ("ade20k", "couch", "sofa"), ("ade20k", "monitor", "monitor"),
        ("cityscapes", "motorbike", "motorcycle"), ("cityscapes", "tree", "vegetation"),
        ("pascal-context-459", "hot air balloon", "hot-airballoon"),
    ],
)  # fmt: skip
def test_synonyms(vocabulary, word, name):
    found = Vocabulary.load(vocabulary)
    assert found.find(word).name == name and word in found
    assert found.classes[found.index(word)].name == name


def test_published_numbers_and_colours():
    voc, city = Vocabulary.load("voc"), Vocabulary.load("cityscapes")
    assert [voc.find(n).id for n in ("aeroplane", "person", "tvmonitor")] == [1, 15, 20]
    assert voc.find("aeroplane").colour == (128, 0, 0) and voc.find("person").colour == (192, 128, 128)
    assert voc.background is not None and voc.background.id == 0 and voc.ignore == 255
    assert (city.find("car").id, city.find("car").code, city.find("car").colour) == (13, 26, (0, 0, 142))
    assert city.background is None and not city.find("road").thing
    assert sum(entry.thing for entry in Vocabulary.load("coco-stuff")) == 80
    assert sum(entry.thing for entry in Vocabulary.load("ade20k")) == 100


def test_coco_ids_are_those_of_the_files(data_dir):
    for name, file in (("coco", "instances"), ("coco-stuff", "stuff")):
        vocabulary = Vocabulary.load(name)
        written = json.loads((data_dir / "coco100" / "annotations" / f"{file}_train2017.json").read_text())
        for row in written["categories"]:
            if row["name"] != "other":
                entry = vocabulary.find(row["name"])
                assert (entry.name, entry.code or entry.id) == (row["name"], row["id"])


def test_city_colours_are_those_of_the_files(data_dir):
    from PIL import Image

    with Image.open(data_dir / "gta_labels" / "06835_labelTrainIds.png") as picture:
        palette = np.array(picture.getpalette()).reshape(-1, 3)
        coloured = np.asarray(picture.convert("RGB"))
    city = Vocabulary.load("cityscapes")
    assert [tuple(palette[entry.id]) for entry in city] == [entry.colour for entry in city]
    labels = read_labels(data_dir / "gta_labels" / "06835_labelTrainIds.png")
    known = labels < 19
    assert np.array_equal(city.colours(labels)[known], coloured[known])
    assert (city.colours(np.array([[255, 200]])) == 255).all()


def test_default_colours_differ():
    assert len({default_colour(k) for k in range(1000)}) == 1000


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="no vocabulary 'cityscape'") as caught:
        Vocabulary.load("cityscape")
    assert "'cityscapes'" in caught.value.hint
    with pytest.raises(InputError) as caught:
        Vocabulary.load("voc").find("pottedplan")
    assert "'pottedplant'" in caught.value.hint
    with pytest.raises(InputError, match="no class with id 99"):
        Vocabulary.load("voc").by_id(99)


def test_files_of_the_user(tmp_path):
    path = tmp_path / "farm.yaml"
    path.write_text("classes:\n- cow\n- {name: tractor, synonyms: [traction engine], colour: '#c81e1e'}\n")
    farm = Vocabulary.load(str(path))
    assert farm.name == "farm" and farm.names == ("cow", "tractor")
    assert farm.find("Traction Engine").id == 2 and farm.find("tractor").colour == (200, 30, 30)
    assert farm.background is not None and farm.background.id == 0
    (tmp_path / "b.json").write_text('["cow", "barn"]')
    assert Vocabulary.load(str(tmp_path / "b.json")).names == ("cow", "barn")
    assert Vocabulary.from_names("x", ["a", "b"]).by_id(2).name == "b"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "'classes' must be"),
        ('{"classes": []}', "'classes' must be"),
        ('{"clases": ["a"]}', "unknown key 'clases'"),
        ('{"classes": [""]}', "needs a 'name'"),
        ('{"classes": [3]}', r"classes\[0\]"),
        ('{"classes": [{"name": "a", "id": -1}]}', r"classes\[0\]\.id"),
        ('{"classes": [{"name": "a", "id": 1.5}]}', r"classes\[0\]\.id"),
        ('{"classes": [{"name": "a", "colour": [1, 2]}]}', "red, green, blue"),
        ('{"classes": [{"name": "a", "colour": [1, 2, 300]}]}', "0..255"),
        ('{"classes": [{"name": "a", "thing": "yes"}]}', "true or false"),
        ('{"classes": [{"name": "a", "synonyms": "b"}]}', "synonyms"),
        ('{"classes": [{"name": "a", "id": 4}, {"name": "b", "id": 4}]}', "id 4 to two classes"),
        ("3", "a list of classes"),
        ("", "empty"),
    ],
)
def test_broken_files(content, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        Vocabulary.load(str(path))


def test_broken_yaml_and_missing_files(tmp_path):
    (tmp_path / "a.yaml").write_text("classes: [a, {b")
    with pytest.raises(InputError, match="is not YAML"):
        Vocabulary.load(str(tmp_path / "a.yaml"))
    with pytest.raises(StorageError, match="no file"):
        Vocabulary.load(str(tmp_path / "b.yaml"))
