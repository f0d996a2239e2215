"""Two-stage, panoptic and semantic architectures on narrow networks: behaviour, not numbers."""

import numpy as np
import pytest
import torch

from app.engine.config import get_config
from app.engine.errors import ConfigError, DatasetError
from app.engine.modeling.build import build_detector
from app.engine.modeling.roi_heads.cascade import _ScaleGradient
from app.engine.structures.masks import PolygonMasks
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth, Proposals

SIZES = [(64, 96), (50, 40)]


def config(architecture="GeneralizedRCNN", heads="StandardROIHeads", **switches):
    cfg = get_config()
    model = cfg.MODEL
    model.DEVICE = "cpu"
    model.META_ARCHITECTURE = architecture
    model.RESNETS.STEM_OUT_CHANNELS = 8
    model.RESNETS.RES2_OUT_CHANNELS = 16
    model.RESNETS.WIDTH_PER_GROUP = 4
    model.RESNETS.NORM = "BN"
    model.ROI_HEADS.NAME = heads
    model.ROI_HEADS.NUM_CLASSES = 3
    model.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    model.ROI_BOX_HEAD.NUM_FC = 1
    model.ROI_BOX_HEAD.FC_DIM = 16
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = 3
    model.ROI_MASK_HEAD.CONV_DIM = 8
    model.ROI_KEYPOINT_HEAD.CONV_DIMS = (8,)
    model.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 4
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = 20
    cfg.TEST.DETECTIONS_PER_IMAGE = 6
    if heads == "Res5ROIHeads":
        model.RESNETS.OUT_FEATURES = ["res4"]
    else:
        model.BACKBONE.NAME = "build_resnet_fpn_backbone"
        model.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
        model.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
        model.FPN.OUT_CHANNELS = 32
        model.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
        model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
        model.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
        model.SEM_SEG_HEAD.CONVS_DIM = 32
        model.SEM_SEG_HEAD.NUM_CLASSES = 5
    for key, value in switches.items():
        model[key] = value
    return cfg


def built(*args, **kwargs):
    torch.manual_seed(0)
    return build_detector(config(*args, **kwargs))


def samples(counts=(2, 1), *, proposals=False, **replaced):
    """One image for each of `counts`, with so many objects in it."""
    generator = torch.Generator().manual_seed(5)
    batch = []
    for i, (count, (height, width)) in enumerate(zip(counts, SIZES, strict=False)):
        boxes = torch.tensor([[4.0, 5, 30, 36], [10, 10, 38, 30]])[:count]
        keypoints = torch.cat((boxes[:, None, :2] + 3, torch.full((count, 1, 1), 2.0)), dim=2)
        truth = {
            "masks": PolygonMasks(
                [[np.array([x, y, x2, y, x2, y2])] for x, y, x2, y2 in boxes.numpy().astype(float)]
            ),
            "keypoints": keypoints.expand(-1, 4, -1),
            **replaced,
        }
        classes = torch.arange(count)
        batch.append(
            Sample(
                torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8),
                (height * 2, width),
                GroundTruth(boxes, classes, **truth),
                Proposals((height, width), boxes + 1, torch.zeros(count)) if proposals else None,
                torch.ones(height, width, dtype=torch.int64),
                f"image {i}",
            )
        )
    return batch


ARCHITECTURES = [
    pytest.param({}, id="boxes"),
    pytest.param({"MASK_ON": True, "KEYPOINT_ON": True}, id="masks and keypoints"),
    pytest.param({"heads": "Res5ROIHeads", "MASK_ON": True}, id="c4 with masks"),
    pytest.param({"heads": "CascadeROIHeads", "MASK_ON": True}, id="cascade"),
    pytest.param({"architecture": "PanopticFPN", "MASK_ON": True}, id="panoptic"),
    pytest.param({"architecture": "SemanticSegmentor"}, id="semantic"),
    pytest.param({"architecture": "ProposalNetwork"}, id="proposals"),
]


def model_of(switches):
    cfg = config(**switches)
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = switches.get("heads") == "CascadeROIHeads"
    torch.manual_seed(0)
    return build_detector(cfg)


@pytest.mark.parametrize("switches", ARCHITECTURES)
@pytest.mark.parametrize("counts", [(2, 1), (2, 0), (0, 0), (1,)], ids=str)
def test_losses_are_finite_and_trainable_whatever_the_objects(switches, counts):
    losses = model_of(switches).train().losses(samples(counts))
    assert all(loss.dim() == 0 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


@pytest.mark.parametrize("switches", ARCHITECTURES)
def test_detections_are_in_pixels_of_the_original(switches):
    model = model_of(switches).eval()
    batch = samples()
    with torch.no_grad():
        together = model(batch)
        alone = [model([sample])[0] for sample in batch]
    for found, one, sample in zip(together, alone, batch, strict=True):
        height, width = sample.original_size
        assert found.image_size == (height, width)
        assert (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert (found.boxes >= 0).all()
        assert len(found) == len(one)
        if found.masks is not None:
            assert found.masks.shape == (len(found), height, width)
            assert found.masks.dtype == torch.bool
        if found.keypoints is not None:
            assert found.keypoints.shape == (len(found), 4, 3)
        if found.semantic is not None:
            assert found.semantic.shape == (5, height, width)
        if found.panoptic is not None:
            assert found.panoptic[0].shape == (height, width)


@pytest.mark.parametrize("switches", ARCHITECTURES)
def test_dense_probabilities_lie_between_0_and_1(switches):
    model = model_of(switches).eval()
    with torch.no_grad():
        maps = model.dense_class_probs(samples())
    assert maps
    for level in maps:
        assert level.dim() == 4
        assert len(level) == 2
        assert ((level >= 0) & (level <= 1)).all()


@pytest.mark.parametrize("switches", ARCHITECTURES[:5])
def test_class_vectors_when_asked_for(switches):
    model = model_of(switches).eval()
    model.keep_class_probs = True
    with torch.no_grad():
        found = model.detect(samples())
    for detections in found:
        assert detections.class_probs.shape == (len(detections), 4)
        torch.testing.assert_close(detections.class_probs.sum(dim=1), torch.ones(len(detections)))


def test_order_of_the_losses():
    losses = model_of({"MASK_ON": True, "KEYPOINT_ON": True}).train().losses(samples())
    assert list(losses) == [
        "loss_cls",
        "loss_box_reg",
        "loss_mask",
        "loss_keypoint",
        "loss_rpn_cls",
        "loss_rpn_loc",
    ]
    cascade = model_of({"heads": "CascadeROIHeads"}).train().losses(samples())
    assert list(cascade)[:4] == [
        "loss_cls_stage0",
        "loss_box_reg_stage0",
        "loss_cls_stage1",
        "loss_box_reg_stage1",
    ]


def test_proposals_from_data():
    cfg = config()
    cfg.MODEL.PROPOSAL_GENERATOR.NAME, cfg.MODEL.LOAD_PROPOSALS = "PrecomputedProposals", True
    torch.manual_seed(0)
    model = build_detector(cfg)
    assert not any("rpn" in name for name in model.state_dict())
    losses = model.train().losses(samples(proposals=True))
    assert list(losses) == ["loss_cls", "loss_box_reg"]
    with torch.no_grad():
        assert len(model.eval().detect(samples(proposals=True))[0]) > 0
    with pytest.raises(DatasetError, match="image 0 has no precomputed proposals"):
        model.detect(samples())
    with pytest.raises(ConfigError, match="precomputed"):
        model.dense_class_probs(samples())


def test_gradients_of_a_cascade_are_shared_out():
    model = model_of({"heads": "CascadeROIHeads"}).train()
    pooled = torch.ones(1, 2, requires_grad=True)
    _ScaleGradient.apply(pooled, 1 / len(model.roi_heads.matchers)).sum().backward()
    torch.testing.assert_close(pooled.grad, torch.full((1, 2), 1 / 3))


def test_infinite_images_give_no_detections():
    model = model_of({}).eval()
    sample = Sample(torch.full((3, 64, 64), float("nan")), (64, 64))
    with torch.no_grad():
        assert len(model.detect([sample])[0]) == 0


def test_objects_without_masks_stop_mask_training():
    model = model_of({"MASK_ON": True}).train()
    with pytest.raises(DatasetError, match="without masks"):
        model.losses(samples(masks=None))


def refused(change, architecture="GeneralizedRCNN", heads="StandardROIHeads", **switches):
    cfg = config(architecture, heads, **switches)
    change(cfg.MODEL)
    return cfg


def set_to(path, value):
    def change(model):
        *sections, key = path.split(".")
        for section in sections:
            model = model[section]
        model[key] = value

    return change


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        pytest.param(refused(set_to("ROI_HEADS.NAME", "X")), "ROI_HEADS.NAME", id="heads"),
        pytest.param(refused(set_to("ROI_BOX_HEAD.NAME", "")), "FastRCNNConvFCHead", id="box head"),
        pytest.param(
            refused(set_to("ROI_HEADS.IN_FEATURES", ["p9"])), "the network has p2", id="unknown map"
        ),
        pytest.param(
            refused(set_to("RPN.IN_FEATURES", ["p2", "p9"])),
            "RPN.IN_FEATURES",
            id="unknown rpn map",
        ),
        pytest.param(
            refused(set_to("PROPOSAL_GENERATOR.NAME", "X")), "PROPOSAL_GENERATOR", id="generator"
        ),
        pytest.param(
            refused(lambda model: None, heads="CascadeROIHeads"),
            "CLS_AGNOSTIC_BBOX_REG",
            id="cascade of class-wise boxes",
        ),
        pytest.param(
            refused(set_to("ROI_BOX_CASCADE_HEAD.IOUS", (0.4, 0.6, 0.7)), heads="CascadeROIHeads"),
            "IOUS starts with 0.4",
            id="cascade and first overlap",
        ),
        pytest.param(
            refused(set_to("ROI_BOX_CASCADE_HEAD.IOUS", (0.5, 0.6)), heads="CascadeROIHeads"),
            "has 2 numbers and BBOX_REG_WEIGHTS 3",
            id="cascade of unequal lists",
        ),
        pytest.param(
            refused(set_to("ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True), heads="Res5ROIHeads"),
            "TRAIN_ON_PRED_BOXES",
            id="c4 on predicted boxes",
        ),
        pytest.param(
            refused(set_to("KEYPOINT_ON", True), heads="Res5ROIHeads"),
            "KEYPOINT_ON",
            id="c4 keypoints",
        ),
        pytest.param(
            refused(lambda model: None, "PanopticFPN"), "MASK_ON", id="panoptic without masks"
        ),
        pytest.param(
            refused(set_to("PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"), "ProposalNetwork"),
            "makes proposals",
            id="a proposal network without RPN",
        ),
        pytest.param(
            refused(set_to("SEM_SEG_HEAD.IN_FEATURES", []), "SemanticSegmentor"),
            "SEM_SEG_HEAD.IN_FEATURES",
            id="semantic on nothing",
        ),
    ],
)
def test_what_cannot_work_is_refused(cfg, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        build_detector(cfg)


def test_instance_loss_weight_and_switching_the_merge_off():
    cfg = config("PanopticFPN", MASK_ON=True)
    torch.manual_seed(0)
    plain = build_detector(cfg).train()
    cfg.MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT = 0.5
    cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED = False
    torch.manual_seed(0)
    weighted = build_detector(cfg).train()
    torch.manual_seed(1)
    whole = plain.losses(samples())
    torch.manual_seed(1)
    half = weighted.losses(samples())
    for name, loss in whole.items():
        factor = 0.5 if name in ("loss_box_reg", "loss_mask") else 1.0
        assert half[name].item() == pytest.approx(loss.item() * factor, rel=1e-5)
    with torch.no_grad():
        (found,) = weighted.eval().detect(samples((1,)))
    assert found.panoptic is None
    assert found.semantic is not None


def test_image_counts_reach_the_federated_loss():
    cfg = config()
    cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = True
    cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS = True
    cfg.MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES = 2
    model = build_detector(cfg)
    model.set_image_counts(torch.tensor([4.0, 9.0, 0.0]))
    assert model.roi_heads.box_predictor.fed_loss_cls_weights.tolist() == [2.0, 3.0, 0.0]
    assert model.train().losses(samples())["loss_cls"].isfinite()


@pytest.mark.parametrize("switches", ARCHITECTURES)
def test_mixed_precision_trains_and_detects(switches):
    model = model_of(switches).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.losses(samples())
        assert all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        with torch.no_grad():
            found = model.eval().detect(samples())
    assert all(detections.boxes.dtype == torch.float32 for detections in found)
    assert all(detections.scores.dtype == torch.float32 for detections in found)


@pytest.mark.parametrize("switches", ARCHITECTURES)
def test_validation_losses_need_no_gradient(switches):
    model = model_of(switches).train()
    with torch.no_grad():
        assert all(not loss.requires_grad for loss in model.losses(samples()).values())


@pytest.mark.parametrize("variant", ["b0", "b4"])
@pytest.mark.parametrize("heads", ["Res5ROIHeads", "StandardROIHeads"])
def test_efficientnet_as_c4_body(variant, heads):
    cfg = config(heads="Res5ROIHeads", MASK_ON=heads == "Res5ROIHeads")
    cfg.MODEL.BACKBONE.NAME = "build_efficientnet_backbone"
    cfg.MODEL.EFFICIENTNET.VARIANT = variant
    cfg.MODEL.EFFICIENTNET.OUT_FEATURES = ["ef4"]
    cfg.MODEL.RPN.IN_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["ef4"]
    cfg.MODEL.ROI_HEADS.NAME = heads
    torch.manual_seed(0)
    model = build_detector(cfg).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    sum(model.losses(samples()).values()).backward()
    optimizer.step()
    after = dict(model.named_parameters())
    for part in ("backbone.features.5", "proposal_generator", "roi_heads"):
        names = [name for name in before if name.startswith(part)]
        assert any(not torch.equal(before[name], after[name]) for name in names), part
    with torch.no_grad():
        found, _ = model.eval().detect(samples())
    assert len(found) == cfg.TEST.DETECTIONS_PER_IMAGE
    assert (found.masks is not None) == cfg.MODEL.MASK_ON
