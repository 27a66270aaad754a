"""A small COCO data set, and judges of other people's making at tiny size: real classes, random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from scenewright.scene import Mask, Vocabulary

SIZES = ((96, 64), (64, 96), (80, 80))
NAMES = {1: "person", 17: "cat", 3: "car"}
THINGS = (
    # picture, id, category, x, y, width, height, crowd
    (139, 1001, 1, 10, 8, 30, 40, 0),
    (139, 1002, 17, 50, 20, 32, 30, 0),
    (285, 1003, 3, 5, 40, 50, 44, 0),
    (285, 1010, 1, 2, 2, 60, 20, 1),
    (632, 1004, 17, 8, 8, 24, 24, 0),
    (632, 1005, 3, 40, 36, 36, 40, 0),
)


def data_set(folder: Path, *, validation: bool = True) -> Path:
    """Three pictures with six annotations, one of them a crowd, and captions beside them; the file."""
    part = "val2017" if validation else "train2017"
    images, sizes = [], {}
    for id, (width, height) in zip((139, 285, 632), SIZES, strict=True):
        sizes[id] = (width, height)
        name = f"{id:012d}.jpg"
        url = f"http://images.cocodataset.org/{part}/{name}"
        images.append({"id": id, "file_name": name, "width": width, "height": height, "coco_url": url})
    rows = [_row(sizes[row[0]], *row) for row in THINGS]
    file = folder / f"instances_{part}.json"
    categories = [{"id": id, "name": name, "supercategory": "thing"} for id, name in NAMES.items()]
    file.write_text(json.dumps({"info": {}, "images": images, "annotations": rows, "categories": categories}))
    captions = [
        {"id": k, "image_id": one["id"], "caption": f"A picture of things {k}."}
        for k, one in enumerate(images)
    ]
    (folder / f"captions_{part}.json").write_text(json.dumps({"images": images, "annotations": captions}))
    return file


def _row(size_wh, picture, id, category, x, y, width, height, crowd):
    bits = np.zeros(size_wh[::-1], bool)
    bits[y : y + height, x : x + width] = True
    bits[y, x] = False  # no plain rectangle
    mask = Mask.from_array(bits)
    return {
        "id": id, "image_id": picture, "category_id": category, "iscrowd": crowd, "area": mask.area_px,
        "bbox": [x, y, width, height],
        "segmentation": {"size": list(mask.size_hw), "counts": mask.counts},
    }  # fmt: skip


def segmenter(folder: Path) -> Path:
    """A Mask2Former of COCO's classes."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=swin, hidden_dim=32, feature_size=32, mask_feature_size=32, num_queries=6,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16,
        encoder_feedforward_dim=16, id2label=dict(enumerate(Vocabulary.load("coco").names)),
    )  # fmt: skip
    return _saved(Mask2FormerForUniversalSegmentation(config), folder)


def boxer(folder: Path) -> Path:
    """A YOLOS of three classes, one of which is none: boxes without masks."""
    from transformers import YolosConfig, YolosForObjectDetection

    torch.manual_seed(1)
    config = YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
        patch_size=16, num_detection_tokens=5, id2label={0: "N/A", 1: "cat", 2: "car"},
    )  # fmt: skip
    return _saved(YolosForObjectDetection(config), folder)


def clip(folder: Path) -> Path:
    """A CLIP with its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    from scenewright.testing.tiny import tiny_tokenizer

    torch.manual_seed(2)
    tokenizer = tiny_tokenizer(77)
    end = tokenizer.eos_token_id
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    text = {**small, **ends, "vocab_size": len(tokenizer)}
    vision = {**small, "image_size": 32, "patch_size": 8}
    net = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    tokenizer.save_pretrained(folder)
    return _saved(net, folder, size={"shortest_edge": 32})


def _saved(net, folder: Path, **said) -> Path:
    net.save_pretrained(folder)
    size = {"size": {"shortest_edge": 64, "longest_edge": 128}, **said}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder
