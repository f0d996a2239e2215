"""Whole runs of instance segmentation: from COCO annotations to stages with mask AP and COCO."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.checkpoint.saved_model import save_model
from app.engine.modeling.build import build_detector
from app.tasks.__main__ import run_tasks
from app.tasks.args_options import EngineOptions
from app.tasks.engine_config import training_config
from app.tasks.failures import contract_error
from app.tasks.train import stage_metrics
from executor.errors import ObjectTypeError
from executor.hyperparameters import TrainHyperparameters

CLASSES = ["red box", "blue box"]
SETTINGS = {
    "object_type": 4,
    "config_file": "configs/Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml",
    "max_iter": 2,
    "learning_rate": 0.001,
    "image_size": 64,
    "args_options": (
        "MODEL.WEIGHTS '' MODEL.FPN.OUT_CHANNELS 32 MODEL.ROI_BOX_HEAD.FC_DIM 32 "
        "MODEL.ROI_MASK_HEAD.CONV_DIM 16 MODEL.RPN.POST_NMS_TOPK_TEST 30"
    ),
}


def nothing(_fraction: float) -> None:
    """Progress that nobody looks at."""


def coco_objects(image: Path, number: int) -> list[dict[str, Any]]:
    """The boxes of the ark file beside `image` with masks of every kind that a platform sends."""
    height, width = np.asarray(Image.open(image)).shape[:2]
    annotation = image.parents[1] / f"annotations/{image.stem}.txt"
    objects: list[dict[str, Any]] = []
    for line in annotation.read_text().splitlines():
        class_id, x0, y0, x1, y1 = (int(value) for value in line.split(", ")[:5])
        box = [x0, y0, x1 - x0 + 1, y1 - y0 + 1]
        polygon = [x0, y0, x1 + 1, y0, x1 + 1, y1 + 1, x0, y1 + 1]
        code = coco_mask.frPyObjects([[float(v) for v in polygon]], height, width)[0]
        rle = {"counts": code["counts"].decode(), "size": [height, width]}
        kinds: list[Any] = [[polygon], rle]
        objects.append(
            {
                "image_id": number,
                "category_id": class_id,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "confidence": -1.0,
                "segmentation": kinds[len(objects) % 2],
            }
        )
    return objects


@pytest.fixture
def seg_tree(tree: Any) -> Any:
    """The tree with one COCO file for training and validation, as `seg-coco:raw` has it."""
    images = sorted((tree.root / "in/assets").glob("[0-9].png"))
    annotations = [
        annotation
        for number, image in enumerate(images, start=1)
        for annotation in coco_objects(image, number)
    ]
    # A plain box has an empty mask; a mask model cannot learn from it.
    annotations.append({**annotations[0], "segmentation": {}})
    content = {
        "images": [
            {"id": number, "file_name": image.name, "width": 96, "height": 64}
            for number, image in enumerate(images, start=1)
        ],
        "categories": [{"id": 1, "name": "blue box"}, {"id": 0, "name": "red box"}],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, start=1)],
    }
    coco = tree.root / "in/annotations/coco-annotations.json"
    coco.write_text(json.dumps(content))
    lines = [f"{image}\t{coco}" for image in images]
    tree.write_index("train-index.tsv", lines[:6])
    tree.write_index("val-index.tsv", lines[4:])
    return tree


@pytest.fixture
def with_mask_model(tree: Any) -> Any:
    """The tree with a mask model that says something of every image."""
    torch.manual_seed(0)
    hp = TrainHyperparameters(class_names=tuple(CLASSES), **SETTINGS)
    options = EngineOptions(overrides=tuple(SETTINGS["args_options"].split()))
    cfg = training_config(hp, options, device="cpu", num_images=6)
    model = build_detector(cfg)
    torch.nn.init.normal_(model.roi_heads.mask_head.predictor.weight, std=1.0)
    save_model(
        model,
        cfg,
        CLASSES,
        name="stage_a",
        directory=tree.root / "in/models",
        iteration=1,
        metrics={},
    )
    return tree


def model_files(tree: Any) -> list[str]:
    return [str(path) for path in (tree.root / "in/models").rglob("*") if path.is_file()]


def test_training_reports_masks_and_boxes(seg_tree: Any) -> None:
    seg_tree.write_env(run_training=True)
    seg_tree.write_config(**SETTINGS, export_format="seg-coco:raw", eval_period=1)
    run_tasks(seg_tree.env, nothing)

    result = yaml.safe_load((seg_tree.out / "models/result.yaml").read_text())
    assert result["object_type"] == 4
    for name, stage in result["model_stages"].items():
        assert 0 <= stage["maskAP"] <= 1
        assert 0 <= stage["boxAP"] <= 1
        assert stage["mAP"] == stage["maskAP"]
        config = yaml.safe_load((seg_tree.out / "models" / name / "config.yaml").read_text())
        assert config["MODEL"]["MASK_ON"] is True
        assert config["TEST"]["METRIC"] == "segm/AP50"
        card = (seg_tree.out / "models" / name / "model_card.md").read_text()
        assert "| finds | boxes and masks |" in card
        assert f"mAP (AP50 of masks, as in result.yaml): {stage['mAP']:.4f}." in card
        assert " AP of masks | " in card


def test_infer_writes_coco(with_mask_model: Any) -> None:
    tree = with_mask_model
    broken = tree.root / "in/assets/broken.jpg"
    broken.write_bytes(b"<html>")
    cut = tree.root / "in/assets/cut.png"
    whole = (tree.root / "in/assets/0.png").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    index = tree.root / "in/candidate-index.tsv"
    index.write_text(f"{broken}\n{index.read_text()}{cut}\n")
    tree.write_env(run_infer=True)
    tree.write_config(
        model_params_path=model_files(tree),
        conf_threshold=0.0,
        image_size=64,
        object_type=4,
        draw=2,
    )
    run_tasks(tree.env, nothing)

    (drawn,) = (tree.out / "pictures").iterdir()  # the first image is broken
    assert drawn.name == "000002_cand img_0.jpg"
    content = json.loads((tree.out / "infer-result.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert list(names.values()) == [Path(p).name for p in index.read_text().splitlines()]
    sizes = {image["file_name"]: (image["height"], image["width"]) for image in content["images"]}
    assert sizes["broken.jpg"] == (0, 0)
    assert sizes["cand img_0.png"] == sizes["cut.png"] == (64, 96)
    assert content["categories"] == [{"id": 0, "name": "red box"}, {"id": 1, "name": "blue box"}]
    assert content["annotations"]
    for annotation in content["annotations"]:
        check_annotation(annotation, names)


def test_an_interrupted_run_leaves_the_same_masks(with_mask_model: Any) -> None:
    class Killed(BaseException):
        """Nothing catches it."""

    def interrupt(fraction: float) -> None:
        if fraction > 0.9:
            raise Killed

    tree = with_mask_model
    index = tree.root / "in/candidate-index.tsv"
    links = [tree.root / f"in/assets/link_{number}.png" for number in range(9)]
    for link, target in zip(links, index.read_text().splitlines() * 3, strict=True):
        link.symlink_to(target)
    tree.write_index("candidate-index.tsv", list(map(str, links)))
    tree.write_env(run_infer=True)
    tree.write_config(conf_threshold=0.0, image_size=64, object_type=4, batch_size=2)
    run_tasks(tree.env, nothing)
    expected = (tree.out / "infer-result.json").read_bytes()
    with pytest.raises(Killed):
        run_tasks(tree.env, interrupt)
    run_tasks(tree.env, nothing)
    assert (tree.out / "infer-result.json").read_bytes() == expected


def check_annotation(annotation: dict[str, Any], names: dict[int, str]) -> None:
    """What the platform's parser demands of an object."""
    assert names[annotation["image_id"]] not in ("broken.jpg", "cut.png")
    assert annotation["category_id"] in (0, 1)
    assert all(isinstance(value, int) for value in annotation["bbox"])
    x, y, w, h = annotation["bbox"]
    assert w >= 1 <= h
    assert 0 <= x <= x + w <= 96
    assert 0 <= y <= y + h <= 64
    code = annotation["segmentation"]
    assert isinstance(code["counts"], str)
    assert code["size"] == [64, 96]
    mask = coco_mask.decode({**code, "counts": code["counts"].encode()})
    assert mask.sum() == annotation["area"] > 0
    # The mask lies inside its box, up to the rounding of the box.
    assert mask[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1].sum() == mask.sum()
    assert 0 <= annotation["confidence"] <= 1


def test_a_mask_model_serves_boxes_too(with_mask_model: Any) -> None:
    with_mask_model.write_env(run_infer=True)
    with_mask_model.write_config(
        model_params_path=model_files(with_mask_model), conf_threshold=0.0, image_size=64
    )
    run_tasks(with_mask_model.env, nothing)
    found = json.loads((with_mask_model.out / "infer-result.json").read_text())["detection"]
    assert len(found) == 3
    assert any(image["boxes"] for image in found.values())


@pytest.mark.parametrize("algorithm", ["entropy", "aldd", "cald"])
def test_mining_with_a_mask_model(with_mask_model: Any, algorithm: str) -> None:
    with_mask_model.write_env(run_mining=True)
    with_mask_model.write_config(
        model_params_path=model_files(with_mask_model),
        mining_algorithm=algorithm,
        image_size=64,
        object_type=4,
    )
    run_tasks(with_mask_model.env, nothing)
    ranked = (with_mask_model.out / "result.tsv").read_text().splitlines()
    assert len({line.split("\t")[0] for line in ranked}) == 3


def test_no_candidates(with_mask_model: Any) -> None:
    with_mask_model.write_index("candidate-index.tsv", [])
    with_mask_model.write_env(run_infer=True)
    with_mask_model.write_config(model_params_path=model_files(with_mask_model), object_type=4)
    run_tasks(with_mask_model.env, nothing)
    content = json.loads((with_mask_model.out / "infer-result.json").read_text())
    assert content["images"] == content["annotations"] == []
    assert len(content["categories"]) == 2


def test_fine_tuning_with_other_classes(with_mask_model: Any, seg_tree: Any) -> None:
    seg_tree.write_env(run_training=True)
    settings = {**SETTINGS, "class_names": ["blue box", "green box", "red box"]}
    seg_tree.write_config(**settings, pretrained_model_params=model_files(with_mask_model))
    run_tasks(seg_tree.env, nothing)
    result = yaml.safe_load((seg_tree.out / "models/result.yaml").read_text())
    assert result["model_stages"]


def test_a_mask_model_needs_masks(tree: Any) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**SETTINGS)
    with pytest.raises(ObjectTypeError, match="seg-coco:raw") as caught:
        run_tasks(tree.env, nothing)
    assert contract_error(caught.value) is caught.value


@pytest.mark.parametrize(
    ("object_type", "expected"),
    [
        pytest.param(2, {"mAP": 0.5, "maskAP": 0.25, "boxAP": 0.5}, id="boxes"),
        pytest.param(4, {"mAP": 0.25, "maskAP": 0.25, "boxAP": 0.5}, id="masks"),
    ],
)
def test_the_best_stage_is_best_at_the_task(object_type: int, expected: dict[str, float]) -> None:
    assert stage_metrics({"bbox/AP50": 50.0, "segm/AP50": 25.0}, object_type) == expected


def test_undefined_masks_count_as_nothing() -> None:
    metrics = {"bbox/AP50": 50.0, "segm/AP50": float("nan"), "tp": 3}
    assert stage_metrics(metrics, 4) == {"mAP": 0.0, "maskAP": 0.0, "boxAP": 0.5, "tp": 3}
