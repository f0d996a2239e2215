"""Small valid files of every kind, from which the mutations start."""

import io
import json
import pickle
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

ENV: dict[str, Any] = {
    "input": {
        "root_dir": "/in",
        "models_dir": "in/models",
        "training_index_file": "/in/train-index.tsv",
        "val_index_file": "''",
        "config_file": "/in/config.yaml",
    },
    "output": {"root_dir": "/out", "monitor_file": "/out/monitor.txt"},
    "protocol_version": "1.1.0",
    "run_training": "true",
    "run_mining": "false",
    "task_id": "t0000001000001234567890123456780",
}

SETTINGS: dict[str, Any] = {
    "class_names": ["cat", "red box", "ü"],
    "gpu_id": "'0, 1'",
    "gpu_count": "2",
    "object_type": "2",
    "batch_size": "8",
    "config_file": "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml",
    "learning_rate": "0.001",
    "max_iter": "100",
    "amp": "off",
    "ema": "'False'",
    "export_format": "ark:raw",
    "args_options": "--resume SOLVER.GAMMA 0.5",
    "pretrained_model_params": ["/in/models/a/model.pth"],
    "model_params_path": ["/in/models/a/model.pth", "/in/models/a/config.yaml"],
    "ymir_saved_file_patterns": ".pth,.yaml",
    "conf_threshold": "0.2",
    "mining_algorithm": "aldd",
    "class_distribution_scores": "1.0,0.5,2",
    "image_size": "320",
    "seed": "7",
}

ENGINE: dict[str, Any] = {
    "_BASE_": "base.yaml",
    "MODEL": {
        "META_ARCHITECTURE": "RetinaNet",
        "WEIGHTS": "detectron2://ImageNetPretrained/MSRA/R-50.pkl",
        "RETINANET": {"NUM_CLASSES": 3, "IOU_THRESHOLDS": [0.4, 0.5]},
        "ANCHOR_GENERATOR": {
            "SIZES": '!!python/object/apply:eval ["[[x, x * 2**(1.0/3)] for x in [32, 64]]"]'
        },
    },
    "SOLVER": {"IMS_PER_BATCH": 16, "BASE_LR": 0.01, "STEPS": "(60000, 80000)"},
    "INPUT": {"MIN_SIZE_TRAIN": "(640, 800)", "CROP": {"ENABLED": False}},
    "VERSION": 2,
}

OPTIONS = "--resume SOLVER.GAMMA 0.5 SOLVER.STEPS (10,20) MODEL.WEIGHTS='' INPUT.FORMAT=RGB"

INDEX = "/in/assets/a b.jpg\t/in/annotations/1.txt\n/in/assets/ü.png\t/in/annotations/2.txt\n"

ARK = "0, 1, 2, 10, 12, 0.75, 0.0\n1, 0, 0, 31, 23, -1.0, 0.0\n0,3,3,4,4\n"

YOLO = (
    "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.4 0.1 0.2 0.3 0.9\ncat 0.5 0.5 1 1\n1 .5 .5 .2 .2 .5 .5 2\n"
)

VOC = """<annotation><folder>a</folder><filename>/in/assets/x.png</filename>
<size><width>32</width><height>24</height><depth>3</depth></size><segmented>0</segmented>
<object><name>cat</name><pose>unknown</pose><truncated>unknown</truncated><bndbox><xmin>1</xmin>
<ymin>2</ymin><xmax>10</xmax><ymax>12</ymax><rotate_angle>0.0000</rotate_angle></bndbox>
<difficult>0</difficult><box_quality>-1.0</box_quality></object>
<object><name>dog</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>
<difficult>1</difficult></object></annotation>"""

HOSTILE_XML = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    '<?xml version="1.0" encoding="utf-16"?>',
    '<?xml version="1.0" encoding="nonsense"?>',
    "<?xml version='1.1'?>",
    *("&x;", "&amp;", "&#0;", "&#xD800;", "<![CDATA[", "]]>", "<!--", "-->", "<a>" * 5000, "<"),
    *("<object/>", "<object><name/></object>", "<bndbox/>", "</annotation>", 'x="y"'),
)

COCO: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "image.png", "height": 24, "width": 32, "neg_category_ids": [1]},
        {"id": 2, "file_name": "other.png", "height": 24, "width": 32},
    ],
    "categories": [
        {"id": 0, "name": "cat", "keypoints": ["a", "b"], "isthing": 1, "frequency": "f"},
        {"id": 1, "name": "dog", "synonyms": ["hound"], "isthing": 0},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 0,
            "bbox": [1, 2, 10, 12],
            "area": 120,
            "iscrowd": 0,
            "segmentation": [[1, 2, 11, 2, 11, 14]],
            "keypoints": [3, 3, 2, 0, 0, 0],
        },
        {
            "id": 2,
            "image_id": 1,
            "category_id": 1,
            "bbox": [0, 0, 32.5, 24],
            "area": 20.5,
            "iscrowd": 1,
            "segmentation": {"size": [24, 32], "counts": [100, 68, 600]},
        },
        {
            "id": 3,
            "image_id": 2,
            "category_id": 1,
            "bbox": [0, 0, 3, 4],
            "area": 12,
            "segmentation": {"size": [24, 32], "counts": "Q11<0d0"},
        },
    ],
}

LABELME: dict[str, Any] = {
    "imagePath": "image.png",
    "imageData": None,
    "imageHeight": 24,
    "imageWidth": 32,
    "shapes": [
        {"label": "cat", "shape_type": "rectangle", "points": [[1, 2], [11, 14]]},
        {"label": "dog", "shape_type": "circle", "points": [[9, 9], [9, 12]]},
        {"label": "cat", "points": [[1, 2], [11, 2], [11, 14]], "group_id": 1},
        {"label": "cat", "points": [[1, 2], [11, 2], [11, 14]], "group_id": 1},
        {"label": "dog", "shape_type": "mask", "points": [[5, 4], [7, 5]], "mask": "iVBORw0KGgo="},
        {"label": "dog", "shape_type": "rotation", "points": [[1, 2], [11, 2], [11, 14], [1, 14]]},
    ],
}

CVAT = """<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label>
</labels></task></meta><image id="0" name="image.png" subset="Train" width="32" height="24">
<box label="cat" xtl="1" ytl="2" xbr="11" ybr="14" rotation="30.5" occluded="1"/>
<polygon label="dog" points="1.0,2.0;11.0,2.0;11.0,14.0" group_id="1"/>
<polygon label="dog" points="1.0,2.0;11.0,2.0;11.0,14.0" group_id="1"/>
<ellipse label="cat" cx="9" cy="9" rx="5" ry="3" rotation="10"/>
<mask label="dog" rle="1, 2, 1, 2" left="5" top="4" width="3" height="2"/></image></annotations>"""

FOUND_BOXES: dict[str, Any] = {
    "detection": {
        "image.png": {
            "boxes": [
                {"box": {"x": 1, "y": 2, "w": 9, "h": 8}, "class_name": "cat", "score": 0.5},
                {"box": {"x": 0, "y": 0, "w": 32, "h": 24}, "class_name": "a: b", "score": 1},
            ]
        },
        "other.png": {"boxes": []},
    }
}

FOUND_MASKS: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "image.png", "width": 32, "height": 24}],
    "categories": [{"id": 0, "name": "cat"}],
    "annotations": [
        {
            "image_id": 1,
            "category_id": 0,
            "bbox": [1, 2, 9, 8],
            "confidence": 0.5,
            "segmentation": {"size": [24, 32], "counts": [100, 8, 16, 8, 636]},
        }
    ],
}

LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/01ab23cd-image.png"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "a",
                        "type": "rectanglelabels",
                        "original_width": 32,
                        "value": {
                            "x": 10,
                            "y": 20,
                            "width": 30,
                            "height": 40,
                            "rotation": 15,
                            "rectanglelabels": ["cat"],
                        },
                    },
                    {
                        "id": "b",
                        "type": "polygonlabels",
                        "value": {"points": [[1, 2], [50, 2], [50, 60]], "polygonlabels": ["dog"]},
                    },
                    {
                        "id": "c",
                        "type": "ellipselabels",
                        "value": {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5, "labels": ["dog"]},
                    },
                ],
            }
        ],
    }
]

DATA_YAML: dict[str, Any] = {
    "path": ".",
    "train": "images/train",
    "val": ["images/val", "list.txt"],
    "names": {0: "cat", 1: "dog"},
}

PANOPTIC: dict[str, Any] = {
    "images": COCO["images"],
    "categories": COCO["categories"],
    "annotations": [
        {
            "image_id": image_id,
            "file_name": name,
            "segments_info": [{"id": 1, "category_id": 0}, {"id": 2, "category_id": 1}],
        }
        for image_id, name in ((1, "image.png"), (2, "other.png"))
    ],
}

PACKAGE: dict[str, Any] = {
    "best_stage_name": "a",
    "model_stages": {"a": {"files": ["model.pth", "config.yaml"], "mAP": 0.5}},
    "executor_config": {"class_names": ["cat", "dog"]},
}

PROPOSALS: dict[str, Any] = {
    "ids": [1, 2],
    "boxes": [[[0, 0, 4, 4], [1, 1, 9, 9]], [[2, 2, 5, 5]]],
    "objectness_logits": [[0.5, 0.7], [0.1]],
    "bbox_mode": 0,
}

MANIFEST: dict[str, Any] = {
    "format": 1,
    "checkpoints": [{"file": "a.pt", "sha256": "0" * 64, "size": 100}, {"file": "b.pt"}],
}


def picture(size: tuple[int, int] = (24, 32)) -> Image.Image:
    """A smooth colourful picture."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return Image.fromarray(np.stack((x * 8, y * 10, 255 - x * 4), axis=2).astype(np.uint8))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header promises side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    return data


@cache
def pictures() -> dict[str, bytes]:
    """A file of every image format that is read, by name."""
    plain = picture()
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": _saved(plain, "JPEG", exif=exif.tobytes()),
        "progressive": _saved(plain, "JPEG", progressive=True),
        "cmyk": _saved(plain.convert("CMYK"), "JPEG"),
        "png": _saved(plain, "PNG", exif=exif.tobytes()),
        "palette": _saved(plain.quantize(8), "PNG", transparency=0),
        "png16": _saved(Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32)), "PNG"),
        "gif": _saved(plain, "GIF", save_all=True, append_images=[plain.rotate(90)]),
        "bmp": _saved(plain, "BMP"),
        "webp": _saved(plain, "WEBP", exif=exif.tobytes()),
        "ppm": _saved(plain, "PPM"),
        "ppm16": b"P6 32 24 65535\n" + np.arange(2304, dtype=">u2").tobytes(),
        "jpeg2000": _saved(plain, "JPEG2000"),
        "tiff": _saved(plain, "TIFF", exif=exif.tobytes()),
        "lzw": _saved(plain, "TIFF", compression="tiff_lzw"),
        "tiff16": _saved(Image.fromarray(np.arange(96, dtype=np.uint16).reshape(8, 12)), "TIFF"),
        "float": _saved(plain.convert("F"), "TIFF"),
        "mpo": _saved(plain, "MPO", save_all=True, append_images=[plain]),
    }


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "backbone.conv.weight": torch.arange(8.0).reshape(2, 4),
        "head.bias": torch.zeros(3, dtype=torch.float16),
        "steps": torch.tensor(3),
    }


@cache
def torch_files() -> tuple[bytes, bytes]:
    """Weights as torch.save's zip archive and in its older format."""
    content = {"model": _tensors(), "iteration": 7, "class_names": ["cat"], "trainer": {"x": 0.5}}
    files = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        files.append(buffer.getvalue())
    return files[0], files[1]


@cache
def pickle_files() -> tuple[bytes, ...]:
    """Model zoo files in several protocols."""
    model = {name: tensor.numpy() for name, tensor in _tensors().items()}
    content = {"model": model, "__author__": "x", "matching_heuristics": True}
    return tuple(pickle.dumps(content, protocol=protocol) for protocol in (0, 2, 4, 5))


@cache
def proposal_pickle() -> bytes:
    """Precomputed proposals as detectron2 keeps them."""
    return pickle.dumps(
        {
            "ids": PROPOSALS["ids"],
            "boxes": [np.array(boxes, np.float32) for boxes in PROPOSALS["boxes"]],
            "objectness_logits": [np.array(x) for x in PROPOSALS["objectness_logits"]],
            "bbox_mode": 0,
        },
        protocol=2,
    )


@cache
def proposal_npz() -> bytes:
    """Precomputed proposals as numpy arrays in a zip archive."""
    buffer = io.BytesIO()
    boxes = np.concatenate([np.array(boxes, np.float32) for boxes in PROPOSALS["boxes"]])
    logits = np.concatenate(PROPOSALS["objectness_logits"])
    np.savez(buffer, ids=[1, 2], counts=[2, 1], boxes=boxes, objectness_logits=logits)
    return buffer.getvalue()


@cache
def safetensors_file() -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and the bytes behind it."""
    data = safetensors.torch.save(_tensors())
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]
