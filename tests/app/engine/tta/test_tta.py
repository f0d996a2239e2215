"""Detections of several views are merged rightly: mirrored images, single views, empty images."""

from pathlib import Path

import pytest
import torch
from torch import nn

from app.engine.config import CfgNode, get_config, load_config
from app.engine.cpu.prepare import prepare_for_inference
from app.engine.errors import ConfigError
from app.engine.evaluation.evaluate import evaluate
from app.engine.modeling.build import build_detector
from app.engine.modeling.roi_heads.instance_maps import InstanceMaps
from app.engine.predictor import Predictor
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.targets import Proposals
from app.engine.tta import AugmentedDetector
from app.engine.tta.augmented_detector import Merge
from app.engine.tta.views import View, ViewSpec

CONFIGS = Path(__file__).parents[4] / "configs"
TINY = {
    "MODEL.DEVICE": "cpu",
    "MODEL.RESNETS.DEPTH": "18",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": "64",
    "MODEL.RESNETS.STRIDE_IN_1X1": "False",
    "MODEL.FPN.OUT_CHANNELS": "32",
    "MODEL.RPN.PRE_NMS_TOPK_TEST": "50",
    "MODEL.RPN.POST_NMS_TOPK_TEST": "20",
    "MODEL.ROI_BOX_HEAD.FC_DIM": "32",
    "MODEL.ROI_HEADS.NUM_CLASSES": "3",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "0.2",
    "MODEL.RETINANET.NUM_CLASSES": "3",
    "MODEL.RETINANET.NUM_CONVS": "1",
    "MODEL.FCOS.NUM_CLASSES": "3",
    "MODEL.FCOS.NUM_CONVS": "1",
    "MODEL.FCOS.NORM": "",
    "MODEL.ROI_MASK_HEAD.NUM_CONV": "1",
    "MODEL.ROI_MASK_HEAD.CONV_DIM": "16",
    "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": "(16,)",
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": "16",
    "MODEL.SEM_SEG_HEAD.NORM": "",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": "5",
    "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT": "10",
    "TEST.AUG.ENABLED": "True",
}
ARCHITECTURES = {
    "RetinaNet": "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
    "FCOS": "COCO-Detection/fcos_R_50_FPN_1x.yaml",
    "proposals": "COCO-Detection/rpn_R_50_FPN_1x.yaml",
    "masks": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    "cascade": "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml",
    "keypoints": "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml",
    "panoptic": "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml",
    "semantic": "Misc/semantic_R_50_FPN_1x.yaml",
}


def config(name: str, **settings: str) -> CfgNode:
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    if name == "keypoints":
        overrides["MODEL.ROI_HEADS.NUM_CLASSES"] = "1"
    return load_config(
        CONFIGS / ARCHITECTURES[name], [x for pair in overrides.items() for x in pair]
    )


def detector(cfg: CfgNode):
    """Seeded, with scores that differ."""
    torch.manual_seed(0)
    model = build_detector(cfg).eval()
    layers = [m for name, m in model.named_modules() if name.rpartition(".")[2] == "cls_score"]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.3)
        nn.init.zeros_(layer.bias)
        # Fresh layers without trained norms are too loud: bring class logits to deviation 1.
        layer.register_forward_hook(lambda _, __, logits: logits / logits.std().clamp(min=1e-6))
    return model


def augmented(name: str, **settings: str) -> AugmentedDetector:
    cfg = config(name, **settings)
    return AugmentedDetector.around(detector(cfg), cfg)


def picture(height: int = 64, width: int = 96, *, original=None, seed: int = 1) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand((1, 3, height // 8, width // 8), generator=generator) * 255
    image = nn.functional.interpolate(rough, (height, width), mode="bilinear")[0]
    return Sample(image.byte(), original or (height, width))


def mirrored(sample: Sample) -> Sample:
    return Sample(sample.image.flip(-1), sample.original_size)


def assert_alike(found: Detections, expected: Detections) -> None:
    assert found.image_size == expected.image_size
    assert len(found) == len(expected)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
    assert torch.equal(found.classes, expected.classes)
    for ours, theirs in ((found.masks, expected.masks), (found.keypoints, expected.keypoints)):
        assert (ours is None) == (theirs is None)
    if found.masks is not None and expected.masks is not None:
        assert (found.masks != expected.masks).float().mean() < 1e-3
    if found.keypoints is not None and expected.keypoints is not None:
        assert found.keypoints.shape == expected.keypoints.shape
    if expected.semantic is not None:
        assert found.semantic is not None
        agree = found.semantic.argmax(0) == expected.semantic.argmax(0)
        assert agree.float().mean() > 0.999


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_view_is_the_plain_answer(name: str) -> None:
    one = augmented(name, TEST__AUG__MIN_SIZES="(64,)", TEST__AUG__FLIP="False")
    # Keypoints are read off maps as large as their box, here in the original image.
    sample = picture(original=None if name == "keypoints" else (128, 192))
    with torch.no_grad():
        (expected,), (found,) = one.model.detect([sample]), one.detect([sample])
    assert len(expected) > 3 or name == "semantic"
    if name in ("RetinaNet", "FCOS"):
        # They suppress before boxes are cut at the edges of the image.
        expected = one.merge([expected], expected.image_size)
    assert_alike(found, expected)
    if expected.keypoints is not None:
        torch.testing.assert_close(found.keypoints, expected.keypoints, atol=1e-3, rtol=1e-3)
    if expected.panoptic is not None:
        assert found.panoptic is not None
        assert (found.panoptic[0] == expected.panoptic[0]).float().mean() > 0.99


def unmirrored(found: Detections) -> Detections:
    width = found.image_size[1]
    x0, y0, x1, y1 = found.boxes.unbind(1)
    return Detections(
        found.image_size,
        torch.stack((width - x1, y0, width - x0, y1), 1),
        found.scores,
        found.classes,
        masks=None if found.masks is None else found.masks.flip(-1),
        semantic=None if found.semantic is None else found.semantic.flip(-1),
    )


@pytest.mark.parametrize("name", ["RetinaNet", "FCOS", "masks", "semantic"])
def test_mirroring_the_image_mirrors_the_answer(name: str) -> None:
    both = augmented(name, TEST__AUG__MIN_SIZES="(64,)")
    sample = picture()
    (found,), (expected,) = both.detect([mirrored(sample)]), both.detect([sample])
    assert_alike(unmirrored(found), expected)
    with torch.no_grad():
        (plain,), (other,) = both.model.detect([sample]), both.model.detect([mirrored(sample)])
    if name != "semantic":
        # Alone the network is not so even-handed.
        assert len(plain) != len(other) or not torch.allclose(
            unmirrored(other).boxes, plain.boxes, atol=1.0
        )


def test_mirrored_keypoints_change_sides() -> None:
    both = augmented("keypoints", TEST__AUG__MIN_SIZES="(64,)")
    sample = picture()
    (found,), (expected,) = both.detect([mirrored(sample)]), both.detect([sample])
    assert len(expected) > 3
    x, y, score = found.keypoints[:, list(both.views.keypoint_flip)].unbind(2)
    back = torch.stack((sample.size[1] - x, y, score), 2)
    # Places are read off a grid of whole pixels, whose centres are mirrored onto one another.
    torch.testing.assert_close(back[..., 2], expected.keypoints[..., 2], atol=1e-3, rtol=1e-3)
    close = (back[..., :2] - expected.keypoints[..., :2]).abs().amax(2) < 1.01
    assert close.float().mean() > 0.95


@pytest.mark.parametrize("name", ["RetinaNet", "masks", "keypoints", "panoptic", "proposals"])
def test_an_image_without_objects(name: str) -> None:
    model = augmented(name, TEST__AUG__MIN_SIZES="(32, 64)")
    model.merge = Merge(2.0 if name != "proposals" else 1e9, 0.5, 100)
    (found,) = model.detect([picture(original=(30, 40))])
    assert len(found) == 0
    with torch.no_grad():
        (plain,) = model.model.detect([picture(original=(30, 40))])
    if plain.masks is not None:
        assert found.masks.shape == (0, 30, 40)
    if plain.keypoints is not None:
        assert found.keypoints.shape == (0, 17, 3)


@pytest.mark.parametrize("name", ["masks", "keypoints", "panoptic", "RetinaNet"])
def test_boxes_alone_are_the_same_boxes(name: str) -> None:
    model = augmented(name, TEST__AUG__MIN_SIZES="(32, 64)")
    (whole,), (boxes,) = model.detect([picture()]), model.detect_boxes([picture()])
    assert torch.equal(boxes.boxes, whole.boxes)
    assert boxes.masks is None
    assert boxes.keypoints is None
    assert boxes.panoptic is None


def test_no_images() -> None:
    assert augmented("RetinaNet").detect([]) == []


def test_masks_are_averaged_and_unflipped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = augmented("masks", TEST__AUG__MIN_SIZES="(64,)")
    one = torch.tensor([[10.0, 10, 50, 50]])
    left = torch.zeros((1, 1, 28, 28))
    left[..., :14] = 1.0

    def boxes(samples):
        return [
            Detections(s.size, one, torch.ones(1), torch.zeros(1).long()) for s in samples[:1]
        ] + [Detections.empty(s.size) for s in samples[1:]]

    def maps(samples, detections):
        assert [d.boxes[0].tolist() for d in detections] == [[10, 10, 50, 50], [46, 10, 86, 50]]
        # The mirrored view has the object's half on the other side.
        return [InstanceMaps(left), InstanceMaps(left.flip(-1))]

    monkeypatch.setattr(model.model, "detect_boxes", boxes)
    monkeypatch.setattr(model.model, "instance_maps", maps)
    (found,) = model.detect([picture()])
    expected = torch.zeros((64, 96), dtype=torch.bool)
    expected[10:50, 10:30] = True
    assert torch.equal(found.masks[0], expected)


def test_boxes_of_views_are_united_and_suppressed_within_their_class() -> None:
    merge = Merge(1e-8, 0.5, 3)
    first = Detections(
        (50, 50),
        torch.tensor([[0.0, 0, 20, 20], [30, 30, 60, 60]]),
        torch.tensor([0.6, 0.5]),
        torch.tensor([0, 0]),
    )
    second = Detections(
        (50, 50),
        torch.tensor([[0.0, 0, 20, 21], [0, 0, 20, 20], [5, 5, 9, 9]]),
        torch.tensor([0.9, 0.7, 1e-9]),
        torch.tensor([0, 1, 0]),
    )
    found = merge([first, second], (50, 50))
    assert found.boxes.tolist() == [[0, 0, 20, 21], [0, 0, 20, 20], [30, 30, 50, 50]]
    assert found.classes.tolist() == [0, 1, 0]
    assert found.class_probs is None


def test_class_vectors_follow_their_boxes() -> None:
    model = augmented("RetinaNet", TEST__AUG__MIN_SIZES="(64,)")
    model.keep_class_probs = True
    (found,) = model.detect([picture()])
    assert found.class_probs is not None
    chosen = found.class_probs.gather(1, found.classes[:, None])[:, 0]
    torch.testing.assert_close(chosen, found.scores)


def test_views_are_run_in_detectron2s_batches_of_three() -> None:
    cfg = config("RetinaNet", TEST__AUG__MIN_SIZES="(32, 64)")
    groups = list(ViewSpec.from_config(cfg)(picture()))
    assert [[(v.sample.size[0], v.mirrored) for v in group] for group in groups] == [
        [(32, False), (32, True), (64, False)],
        [(64, True)],
    ]


def test_views_keep_to_the_largest_size_and_carry_proposals() -> None:
    cfg = config("RetinaNet", TEST__AUG__MIN_SIZES="(32, 200)", TEST__AUG__MAX_SIZE="120")
    boxes = torch.tensor([[0.0, 0, 48, 64]])
    sample = Sample(
        picture().image, (640, 960), proposals=Proposals((64, 96), boxes, torch.zeros(1))
    )
    views = [view for group in ViewSpec.from_config(cfg)(sample) for view in group]
    assert [view.sample.size for view in views] == [(32, 48), (32, 48), (80, 120), (80, 120)]
    assert [view.mirrored for view in views] == [False, True, False, True]
    assert all(view.sample.original_size == (640, 960) for view in views)
    plain, other = (view.sample.proposals for view in views[:2])
    assert plain.boxes.tolist() == [[0, 0, 24, 32]]
    assert other.boxes.tolist() == [[24, 0, 48, 32]]
    assert plain.image_size == other.image_size == (32, 48)


def test_a_box_is_placed_in_a_view_and_back() -> None:
    view = View(picture(32, 48, original=(64, 96)), mirrored=True)
    found = Detections((64, 96), torch.tensor([[0.0, 2, 10, 20]]), torch.ones(1), torch.zeros(1))
    placed = view.place(found)
    assert placed.boxes.tolist() == [[43, 1, 48, 10]]
    assert placed.image_size == (32, 48)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        pytest.param("RetinaNet", {"TEST__AUG__MIN_SIZES": "()"}, "MIN_SIZES", id="no sizes"),
        pytest.param("RetinaNet", {"TEST__AUG__MIN_SIZES": "(0,)"}, "MIN_SIZES", id="size 0"),
        pytest.param(
            "keypoints",
            {"MODEL__ROI_KEYPOINT_HEAD__NUM_KEYPOINTS": "5"},
            "TEST.AUG.FLIP",
            id="unknown keypoints",
        ),
    ],
)
def test_settings_that_cannot_be_honoured(name: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ViewSpec.from_config(config(name, **settings))


def test_the_predictor_looks_several_times() -> None:
    cfg = config("RetinaNet", TEST__AUG__MIN_SIZES="(32, 64)")
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128
    model = detector(cfg)
    predictor = Predictor(model, cfg)
    image = picture().image.permute(1, 2, 0).numpy()
    (found,) = predictor.detect([image])
    prepared = prepare_for_inference(model)  # which knows nothing of the hooks above
    (expected,) = AugmentedDetector.around(prepared, cfg).detect([picture()])
    assert_alike(found, expected)
    assert not predictor.model.model.training


def test_evaluation_reports_both(tmp_path, make_records) -> None:
    cfg = config("masks", TEST__AUG__MIN_SIZES="(32,)")
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.DATALOADER.NUM_WORKERS = 64, 128, 0
    model = detector(cfg).train()
    seen = []
    result = evaluate(
        model,
        cfg,
        make_records(2),
        ["a", "b", "c"],
        on_batch=lambda samples, _: seen.append(len(samples)),
    )
    assert {"bbox/AP", "bbox_TTA/AP", "segm_TTA/AP50", "bbox_TTA/AR"} <= set(result.metrics)
    assert result.num_images == 2
    assert seen == [1, 1, 1, 1]
    assert model.training


def test_it_is_off_unless_asked_for() -> None:
    assert not get_config().TEST.AUG.ENABLED
