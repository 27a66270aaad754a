"""Where the files of each segmentation dataset lie: as it is downloaded, and as other projects prepare it.

Of the layouts of a vocabulary the first that is there is taken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelLayout:
    """Folders below the root of a dataset; {split} stands for the part.

    title    words about it
    ending   of label files, after the stem; `without` is an ending that is none
    codec    what label files hold, see `label_codecs`
    lists    files with the stems of a part, the first that is there is taken; empty: the folders tell
    words    the dataset's own words for (train, val); empty: those
    deep     whether folders have folders in them
    """

    title: str
    images: str
    labels: str
    ending: str
    codec: str
    lists: tuple[str, ...] = ()
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    deep: bool = False
    without: str = ""

    def parts(self, split: str) -> tuple[str, ...]:
        """What {split} may stand for."""
        return dict(self.words).get(split, (split,))

    def words_of(self, part: str) -> str:
        """Where its label files and its list are, for messages."""
        place = f"{self.labels.format(split=part)}/…{self.ending}"
        return f"{place} of {self.lists[0].format(split=part)}" if self.lists and part else place


_LONG = (("train", ("training",)), ("val", ("validation",)))
_YEARS = (("train", ("train2017", "train2014")), ("val", ("val2017", "val2014")))
_VOC_LISTS = "ImageSets/Segmentation/{split}.txt"
_CONTEXT_LISTS = ("ImageSets/SegmentationContext/{split}.txt", "{split}.txt", "ImageSets/Main/{split}.txt")


def _voc() -> tuple[LabelLayout, ...]:
    found = []
    for base in ("VOCdevkit/VOC2012/", "VOC2012/", ""):
        for folder in ("SegmentationClassAug", "SegmentationClass"):
            lists: tuple[str, ...] = (f"{base}{_VOC_LISTS}",)
            if folder.endswith("Aug"):  # made of VOC and SBD; its list of training pictures has 10 582
                lists = (
                    f"{base}ImageSets/Segmentation/{{split}}_aug.txt",
                    f"{base}ImageSets/SegmentationAug/{{split}}.txt",
                )
            found.append(
                LabelLayout(
                    title=f"VOC 2012, {folder}", images=f"{base}JPEGImages", labels=f"{base}{folder}",
                    ending=".png", codec="ids", lists=lists,
                )
            )  # fmt: skip
    for base in ("benchmark_RELEASE/dataset/", "dataset/", ""):
        found.append(
            LabelLayout(
                title="Semantic Boundaries Dataset", images=f"{base}img", labels=f"{base}cls", ending=".mat",
                codec="voc-matlab", lists=(f"{base}{{split}}.txt",),
            )
        )  # fmt: skip
    return tuple(found)


def _context(classes: int) -> tuple[LabelLayout, ...]:
    prepared = {
        59: ("annotations_detectron2/pc59_{split}", "annotations_ctx59/{split}"),
        459: ("annotations_detectron2/pc459_{split}", "annotations_ctx459/{split}"),
    }[classes]
    found = []
    for base in ("VOCdevkit/VOC2010/", "VOC2010/", ""):
        pictures = f"{base}JPEGImages"
        lists = tuple(dict.fromkeys((*(f"{base}{one}" for one in _CONTEXT_LISTS), *_CONTEXT_LISTS)))
        if classes == 59:
            for folder in (
                "59_context_labels",
                f"{base}59_context_labels",
                f"{base}SegmentationClassContext",
            ):
                found.append(
                    LabelLayout(
                        title="Pascal-Context, the 59 classes", images=pictures, labels=folder, ending=".png",
                        codec="ids", lists=lists,
                    )
                )  # fmt: skip
        for folder in ("trainval", f"{base}trainval", f"{base}context/trainval"):
            found.append(
                LabelLayout(
                    title="Pascal-Context, MATLAB", images=pictures, labels=folder, ending=".mat",
                    codec="context-matlab", lists=lists,
                )
            )  # fmt: skip
        for folder in prepared:
            ending = ".png" if classes == 59 else ".tif"
            for images in (pictures, f"{base}images/{{split}}"):
                found.append(
                    LabelLayout(
                        title="Pascal-Context, prepared", images=images, labels=f"{base}{folder}",
                        ending=ending, codec="contiguous",
                    )
                )  # fmt: skip
    return tuple(found)


def _ade() -> tuple[LabelLayout, ...]:
    found = []
    for base in ("ADEChallengeData2016/", ""):
        images = f"{base}images/{{split}}"
        found += [
            LabelLayout(
                title="ADE20K, 150 classes", images=images, labels=f"{base}annotations/{{split}}",
                ending=".png", codec="ids", words=_LONG,
            ),
            LabelLayout(
                title="ADE20K, 150 classes, prepared", images=images,
                labels=f"{base}annotations_detectron2/{{split}}", ending=".png", codec="contiguous",
                words=_LONG,
            ),
        ]  # fmt: skip
    return tuple(found)


def _ade_full() -> tuple[LabelLayout, ...]:
    found = []
    for base in ("ADE20K_2021_17_01/", "ADE20K_2016_07_26/", ""):
        for folder in ("images/ADE/{split}", "images/{split}"):
            found.append(
                LabelLayout(
                    title="ADE20K, full", images=f"{base}{folder}", labels=f"{base}{folder}",
                    ending="_seg.png", codec="ade-segments", words=_LONG, deep=True,
                )
            )  # fmt: skip
        found.append(
            LabelLayout(
                title="ADE20K, full, prepared", images=f"{base}images_detectron2/{{split}}",
                labels=f"{base}annotations_detectron2/{{split}}", ending=".tif", codec="contiguous",
                words=_LONG,
            )
        )  # fmt: skip
    return tuple(found)


def _coco() -> tuple[LabelLayout, ...]:
    maps = ("stuffthingmaps/{split}", "annotations/{split}", "{split}_maps", "labels/{split}")
    found = [
        LabelLayout(
            title="COCO-Stuff, pixel maps", images=images, labels=labels, ending=".png", codec="coco-codes",
            words=_YEARS, without="_labelTrainIds.png",
        )
        for images in ("images/{split}", "{split}")
        for labels in maps
    ]  # fmt: skip
    return (
        *found,
        LabelLayout(
            title="COCO-Stuff, prepared", images="images/{split}", labels="annotations_detectron2/{split}",
            ending=".png", codec="contiguous", words=_YEARS,
        ),
        LabelLayout(
            title="COCO-Stuff 10k, MATLAB", images="images", labels="annotations", ending=".mat",
            codec="coco-matlab", lists=("imageLists/{split}.txt",), words=(("val", ("test",)),),
        ),
    )  # fmt: skip


LAYOUTS: dict[str, tuple[LabelLayout, ...]] = {
    "voc": _voc(),
    "pascal-context": _context(59),
    "pascal-context-459": _context(459),
    "ade20k": _ade(),
    "ade20k-full": _ade_full(),
    "coco-stuff": _coco(),
}
"""By vocabulary, in the order in which they are looked for."""
