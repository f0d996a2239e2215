"""What is found: as arrays, one by one, as COCO's results, as a picture; of every kind of model."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine import load_model
from app.engine.errors import EngineError, ImageError
from app.engine.trained.found import Found, Vocabulary

KINDS = {
    "boxes": ("Mobile/retinanet_mobilenetv2_FPN_light.yaml", ["cat", "dog"]),
    "masks": ("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", ["cat", "dog"]),
    "keypoints": ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml", ["person"]),
    "panoptic": ("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml", ["cat", "dog"]),
}


@pytest.fixture(scope="module")
def found(save):
    """Kind of model -> what its untrained weights find in noise."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)

    def of(kind: str) -> Found:
        config, names = KINDS[kind]
        stuff = ["things", "sky", "grass"]
        more = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", "MODEL.STUFF_NAMES", str(stuff)]
        folder = save(config, names, *(more if kind == "panoptic" else []))
        return load_model(folder, lowest_score=0.0).detect(picture, threshold=0.0)

    cache: dict[str, Found] = {}
    return lambda kind: cache.setdefault(kind, of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(found, kind):
    got, count = found(kind), len(found(kind))
    assert count
    assert got.boxes.shape == (count, 4)
    assert got.boxes.dtype == got.scores.dtype == np.float32
    assert got.classes.dtype == np.int64
    assert len(got.class_names) == count
    assert (got.masks is not None) == (kind in ("masks", "panoptic"))
    assert (got.keypoints is not None) == (kind == "keypoints")
    assert got.masks is None or (got.masks.shape, got.masks.dtype) == ((count, 48, 80), np.bool_)
    assert got.keypoints is None or got.keypoints.shape == (count, 17, 3)
    assert (got.semantic is not None) == (kind == "panoptic")
    if kind == "panoptic":
        assert got.semantic.shape == got.panoptic[0].shape == (48, 80)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(found, kind, tmp_path):
    got = found(kind)
    drawn = got.draw(tmp_path / "a" / "drawn.png")
    assert drawn.size == (667, 400)
    with Image.open(tmp_path / "a/drawn.png") as written:
        assert written.size == drawn.size
    plain = got._open().resize(drawn.size)
    assert (np.asarray(drawn) != np.asarray(plain)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_results_for_coco(found, kind):
    got = found(kind)
    results = json.loads(json.dumps(got.to_coco(7)))
    assert len(results) == len(got)
    for row, result in enumerate(results):
        assert result["image_id"] == 7
        assert result["category_id"] == got.classes[row] + 1
        x, y, w, h = result["bbox"]
        np.testing.assert_allclose([x, y, x + w, y + h], got.boxes[row], atol=1e-3)
        if got.masks is not None:
            assert (coco_mask.decode(result["segmentation"]) == got.masks[row]).all()
        if got.keypoints is not None:
            points = np.array(result["keypoints"]).reshape(-1, 3) + np.array([0.5, 0.5, 0])
            np.testing.assert_allclose(points, got.keypoints[row], atol=1e-3)


def test_category_ids_are_those_of_the_training_data(save):
    folder = save(*KINDS["boxes"], "MODEL.CATEGORY_IDS", "[]")
    config = folder / "best/config.yaml"
    config.write_text(config.read_text().replace("CATEGORY_IDS: []", "CATEGORY_IDS: [17, 18]"))
    picture = np.zeros((48, 80, 3), dtype=np.uint8)
    got = load_model(folder, lowest_score=0.0).detect(picture, threshold=0.0)
    assert {result["category_id"] for result in got.to_coco("a")} <= {17, 18}


def make(num: int = 2) -> Found:
    raw = SimpleNamespace(
        image_size=(40, 60),
        boxes=np.array([[1, 2, 30, 20], [5, 5, 9, 9]], dtype=np.float32)[:num],
        scores=np.array([0.9, 0.4], dtype=np.float32)[:num],
        classes=np.array([1, 0])[:num],
    )
    return Found.of(
        raw,
        threshold=0.0,
        vocabulary=Vocabulary(("cat", "dog"), (1, 2)),
        picture=lambda: Image.new("RGB", (60, 40)),
    )


def test_objects_one_by_one():
    first, second = make()
    assert (first.box, first.class_id, first.class_name) == ((1, 2, 30, 20), 1, "dog")
    assert first.score == pytest.approx(0.9)
    assert second.class_name == "cat"
    assert repr(make()) == "Found(1 dog, 1 cat; 60 x 40 pixels)"


def test_nothing_found():
    nothing = make(0)
    assert (len(nothing), list(nothing), nothing.class_names, nothing.to_coco(1)) == (0, [], [], [])
    assert repr(nothing) == "Found(no objects; 60 x 40 pixels)"
    assert nothing.draw(min_side=0).size == (60, 40)


def test_pictures_have_names_of_pictures(tmp_path):
    with pytest.raises(EngineError, match=r"drawn\.txt: no name of a picture; let it end in \.jpg"):
        make().draw(tmp_path / "drawn.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_cannot_be_drawn_on(boxes_model, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    found = load_model(boxes_model).detect(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png: .*\(No such file"):
        found.draw()


def test_supervision(monkeypatch):
    """Its class takes these arguments (tried with supervision 0.31.2)."""
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(EngineError, match="needs the package supervision; install it"):
        make().to_supervision()
    module = ModuleType("supervision")
    module.Detections = SimpleNamespace
    monkeypatch.setitem(sys.modules, "supervision", module)
    found = make().to_supervision()
    assert found.xyxy.tolist() == [[1, 2, 30, 20], [5, 5, 9, 9]]
    assert found.mask is None
    assert found.confidence.tolist() == pytest.approx([0.9, 0.4])
    assert found.class_id.tolist() == [1, 0]
    assert found.data["class_name"].tolist() == ["dog", "cat"]
