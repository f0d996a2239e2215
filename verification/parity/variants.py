"""Small recordings of every option of two-stage and segmentation models.

The networks are narrow and the scenes small, so all of them are checked in seconds. One samples
anchors and proposals at random, to prove that both engines draw the same from the same seed.
"""

from typing import Any

from verification.parity.golden import Recipe
from verification.parity.recipes import ALL, SURE
from verification.parity.weights import Rule

NARROW: list[Any] = [
    "MODEL.RESNETS.STEM_OUT_CHANNELS",
    16,
    "MODEL.RESNETS.RES2_OUT_CHANNELS",
    32,
    "MODEL.RESNETS.WIDTH_PER_GROUP",
    8,
    "MODEL.FPN.OUT_CHANNELS",
    32,
    "MODEL.ROI_BOX_HEAD.FC_DIM",
    64,
    "MODEL.ROI_MASK_HEAD.CONV_DIM",
    32,
    "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS",
    (32, 32),
    "MODEL.SEM_SEG_HEAD.CONVS_DIM",
    32,
    "MODEL.ROI_HEADS.NUM_CLASSES",
    7,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN",
    100,
    "MODEL.RPN.POST_NMS_TOPK_TEST",
    60,
    "TEST.DETECTIONS_PER_IMAGE",
    40,
]
PYRAMID: list[Any] = [
    *NARROW,
    "MODEL.ANCHOR_GENERATOR.SIZES",
    [[8], [16], [32], [64], [128]],
]
ONE_MAP: list[Any] = [*NARROW, "MODEL.ANCHOR_GENERATOR.SIZES", [[16, 32, 64]]]
# Group norm needs multiples of 32 channels.
GROUPED: list[Any] = [
    *PYRAMID,
    "MODEL.RESNETS.STEM_OUT_CHANNELS",
    32,
    "MODEL.RESNETS.RES2_OUT_CHANNELS",
    64,
    "MODEL.RESNETS.WIDTH_PER_GROUP",
    32,
    "MODEL.ROI_BOX_HEAD.CONV_DIM",
    32,
]
# Twenty of sixty classes: those of the batch, and others drawn by the number of their images.
FEDERATED: list[Any] = [
    *("MODEL.ROI_HEADS.NUM_CLASSES", 60, "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True),
    *("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", True, "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES", 20),
]
AUGMENTED: list[Any] = [
    *("TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", (64, 96, 160), "TEST.AUG.MAX_SIZE", 200),
]
PERSON: list[Rule] = [
    (r"box_predictor\.cls_score\.weight$", "conv", (0.6, True)),
    (r"box_predictor\.cls_score\.bias$", "affine_bg", (0.0, 0.3, 1.0)),
]
# Of many random blocks, rounding would grow until detectron2 does not find its own boxes again.
CALM: list[Rule] = [
    (r"\.conv3\.norm\.weight$", "affine", (0.1, 0.05)),
    (r"\.conv2_offset\.weight$", "conv", (0.1, True)),
]
NO_BACKGROUND: list[Rule] = [(r"box_predictor(\.\d)?\.cls_score\.bias$", "affine", (-2.0, 0.3))]
SIXTY_CLASSES: dict[str, Any] = {"num_classes": 60, "overrides": NO_BACKGROUND}

FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
MASK = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
KEYPOINT = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml"
PANOPTIC = "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml"


RETINANET = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"


def _recipe(config: str, opts: list[Any], *changes: Any, **kwargs: Any) -> Recipe:
    kwargs.setdefault("num_classes", 7)
    kwargs.setdefault("train_opts", ALL)
    kwargs.setdefault("lr", 0.0005)
    kwargs.setdefault("steps", 2)
    return Recipe(
        config,
        opts=[*opts, *changes],
        sizes=[(96, 128, 144, 192), (128, 96, 128, 96)],
        train_sizes=[(96, 128), (80, 112)],
        **kwargs,
    )


VARIANTS: dict[str, Recipe] = {
    "retinanet": _recipe(
        RETINANET,
        PYRAMID,
        *("MODEL.RETINANET.NUM_CLASSES", 7),
        train_opts=[],
        overrides=SURE,
    ),
    "retinanet_group_norm_giou": _recipe(
        RETINANET,
        PYRAMID,
        *("MODEL.RETINANET.NUM_CLASSES", 7, "MODEL.RETINANET.NORM", "GN"),
        *("MODEL.FPN.OUT_CHANNELS", 64),
        *("MODEL.RETINANET.NUM_CONVS", 2, "MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "giou"),
        *("MODEL.RETINANET.FOCAL_LOSS_GAMMA", 1.5, "MODEL.RETINANET.IOU_THRESHOLDS", [0.3, 0.6]),
        train_opts=[],
        overrides=SURE,
    ),
    "faster": _recipe(FASTER, PYRAMID),
    "faster_sampled": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 64, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32),
        train_opts=[],
    ),
    "faster_r18": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
        *("MODEL.RESNETS.STEM_OUT_CHANNELS", 64, "MODEL.RESNETS.WIDTH_PER_GROUP", 64),
    ),
    "faster_r101": _recipe(FASTER, PYRAMID, "MODEL.RESNETS.DEPTH", 101, overrides=CALM),
    "faster_resnext": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.RESNETS.NUM_GROUPS", 4, "MODEL.RESNETS.STRIDE_IN_1X1", False),
        *("MODEL.PIXEL_STD", [57.375, 57.12, 58.395]),
        overrides=[(r"stem\.conv1\.norm\.running_var$", "affine", (2.0, 0.5))],
    ),
    "fast": _recipe("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", PYRAMID),
    "rpn_c4": _recipe("COCO-Detection/rpn_R_50_C4_1x.yaml", ONE_MAP),
    "rpn_three_convs": _recipe(
        "COCO-Detection/rpn_R_50_FPN_1x.yaml", PYRAMID, "MODEL.RPN.CONV_DIMS", [-1, 48, 32]
    ),
    "mask": _recipe(MASK, PYRAMID),
    "mask_c4": _recipe("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml", ONE_MAP),
    "mask_dc5": _recipe("COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x.yaml", ONE_MAP),
    "mask_group_norm": _recipe("Misc/mask_rcnn_R_50_FPN_3x_gn.yaml", GROUPED, lr=0.0001),
    "mask_scratch_group_norm": _recipe(
        "Misc/scratch_mask_rcnn_R_50_FPN_3x_gn.yaml", GROUPED, lr=0.00001
    ),
    # Without a GPU, detectron2's synchronised norms cannot train.
    "mask_sync_norm": _recipe("Misc/mask_rcnn_R_50_FPN_3x_syncbn.yaml", GROUPED, steps=0),
    "mask_lvis": _recipe(
        "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
        PYRAMID,
        *("MODEL.ROI_HEADS.NUM_CLASSES", 60, "TEST.DETECTIONS_PER_IMAGE", 100),
        num_classes=60,
    ),
    "mask_agnostic": _recipe(
        "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml",
        PYRAMID,
        *("MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True),
    ),
    "mask_giou": _recipe("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_giou.yaml", PYRAMID),
    "faster_diou_ciou": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.RPN.BBOX_REG_LOSS_TYPE", "diou", "MODEL.RPN.BBOX_REG_LOSS_WEIGHT", 2.0),
        *("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "ciou"),
    ),
    "mask_pred_boxes": _recipe(MASK, PYRAMID, "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True),
    "faster_sigmoid": _recipe(
        FASTER, PYRAMID, "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True, overrides=NO_BACKGROUND
    ),
    "faster_ignoring": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.RPN.BOUNDARY_THRESH", 0, "MODEL.RPN.LOSS_WEIGHT", 0.5),
        *("MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.3, 0.5], "MODEL.ROI_HEADS.IOU_LABELS", [0, -1, 1]),
        *("MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", False, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE", 6),
        *("MODEL.RPN.SMOOTH_L1_BETA", 0.11, "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA", 0.5),
        *("MODEL.ANCHOR_GENERATOR.OFFSET", 0.5, "MODEL.FPN.FUSE_TYPE", "avg"),
        *("MODEL.RPN.BBOX_REG_WEIGHTS", (2.0, 2.0, 1.0, 1.0)),
    ),
    "faster_many_classes": _recipe(
        FASTER,
        PYRAMID,
        *("MODEL.ROI_HEADS.NUM_CLASSES", 60, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0001),
        *("TEST.DETECTIONS_PER_IMAGE", 300),
        num_classes=60,
    ),
    "faster_roi_align_v1": _recipe(
        "Detectron1-Comparisons/faster_rcnn_R_50_FPN_noaug_1x.yaml", PYRAMID
    ),
    "faster_roi_pool": _recipe(FASTER, PYRAMID, "MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIPool"),
    "mask_deform_v1": _recipe("Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5.yaml", PYRAMID, lr=0.0001),
    "mask_deform_v2": _recipe(
        "Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5.yaml",
        PYRAMID,
        *("MODEL.RESNETS.DEFORM_MODULATED", True, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2),
    ),
    "cascade_x152_deform": _recipe(
        "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv.yaml",
        GROUPED,
        *("MODEL.RESNETS.NUM_GROUPS", 4, "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
        overrides=CALM,
        lr=0.0001,
    ),
    "panoptic_cascade_deform": _recipe(
        "Misc/panoptic_fpn_R_101_dconv_cascade_gn_3x.yaml", GROUPED, overrides=CALM, lr=0.0001
    ),
    "keypoint_roi_align_v1": _recipe(
        "Detectron1-Comparisons/keypoint_rcnn_R_50_FPN_1x.yaml",
        PYRAMID,
        *("MODEL.ROI_HEADS.NUM_CLASSES", 1, "TEST.DETECTIONS_PER_IMAGE", 15),
        overrides=PERSON,
        num_classes=1,
    ),
    "keypoint": _recipe(
        KEYPOINT,
        PYRAMID,
        *("MODEL.ROI_HEADS.NUM_CLASSES", 1, "TEST.DETECTIONS_PER_IMAGE", 15),
        overrides=PERSON,
        num_classes=1,
    ),
    "keypoint_fixed_divisor": _recipe(
        KEYPOINT,
        PYRAMID,
        *("MODEL.ROI_HEADS.NUM_CLASSES", 1, "TEST.DETECTIONS_PER_IMAGE", 15),
        *("MODEL.ROI_KEYPOINT_HEAD.NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS", False),
        *("MODEL.ROI_KEYPOINT_HEAD.LOSS_WEIGHT", 4.0),
        overrides=PERSON,
        num_classes=1,
    ),
    "cascade": _recipe("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", PYRAMID),
    "panoptic": _recipe(
        PANOPTIC,
        PYRAMID,
        *("MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT", 0.5),
        *("MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT", 200),
        *("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", 0.3),
    ),
    "faster_federated": _recipe(FASTER, [*PYRAMID, *FEDERATED], **SIXTY_CLASSES),
    "cascade_federated": _recipe(
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", [*PYRAMID, *FEDERATED], **SIXTY_CLASSES
    ),
    "mask_augmented": _recipe(MASK, [*PYRAMID, *AUGMENTED], steps=0),
    "mask_c4_augmented": _recipe(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml", [*ONE_MAP, *AUGMENTED], steps=0
    ),
    "cascade_augmented": _recipe(
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", [*PYRAMID, *AUGMENTED], steps=0
    ),
    "semantic": _recipe("Misc/semantic_R_50_FPN_1x.yaml", PYRAMID),
}
