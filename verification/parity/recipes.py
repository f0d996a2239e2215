"""The configs that are recorded: one for each group of architectures, on small scenes.

Sampling of anchors and proposals is widened until everything is taken, so no random draw matters.
"""

from typing import Any

from verification.parity.golden import Recipe
from verification.parity.weights import C4, ONE_CLASS, Rule

ALL: list[Any] = [
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE",
    65536,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE",
    8192,
]
FEWER: list[Any] = [*ALL, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 128]
"""Heads on the maps themselves (C4) are slow; so are many convolutions on each proposal."""

SMALL_TEST: list[Any] = ["MODEL.RPN.POST_NMS_TOPK_TEST", 128]

STRONG: list[Rule] = [
    (r"box_predictor\.cls_score\.weight$", "conv", (4.0, True)),
    (r"box_predictor\.cls_score\.bias$", "affine", (0.0, 0.3)),
]
SURE: list[Rule] = [(r"^head\.cls_score\.bias$", "affine", (-2.0, 0.5))]

RECIPES: dict[str, Recipe] = {
    "retinanet_R_50_FPN_1x": Recipe("COCO-Detection/retinanet_R_50_FPN_1x.yaml"),
    "fcos_R_50_FPN_1x": Recipe("COCO-Detection/fcos_R_50_FPN_1x.py", overrides=SURE),
    "faster_rcnn_R_50_FPN_1x": Recipe(
        "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", train_opts=ALL
    ),
    "faster_rcnn_R_50_C4_1x": Recipe(
        "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
        opts=SMALL_TEST,
        overrides=C4,
        train_opts=FEWER,
    ),
    "faster_rcnn_R_50_DC5_1x": Recipe(
        "COCO-Detection/faster_rcnn_R_50_DC5_1x.yaml",
        opts=["MODEL.ROI_BOX_HEAD.FC_DIM", 128],
        train_opts=ALL,
    ),
    "fast_rcnn_R_50_FPN_1x": Recipe("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", train_opts=ALL),
    "rpn_R_50_FPN_1x": Recipe(
        "COCO-Detection/rpn_R_50_FPN_1x.yaml",
        opts=["MODEL.RPN.POST_NMS_TOPK_TEST", 100],
        train_opts=ALL,
    ),
    "mask_rcnn_R_50_FPN_1x": Recipe(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", train_opts=ALL
    ),
    "mask_rcnn_R_50_C4_1x": Recipe(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml",
        opts=SMALL_TEST,
        overrides=C4,
        # Here a point of a mask lies between two pixels, and rounding decides which one it takes.
        train_sizes=[(120, 160), (112, 176)],
        train_opts=FEWER,
        steps=1,
    ),
    "mask_rcnn_R_50_FPN_1x_giou": Recipe(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_giou.yaml", train_opts=ALL
    ),
    "mask_rcnn_R_50_FPN_1x_cls_agnostic": Recipe(
        "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml", train_opts=ALL
    ),
    "mask_rcnn_R_50_FPN_3x_gn": Recipe(
        "Misc/mask_rcnn_R_50_FPN_3x_gn.yaml", opts=SMALL_TEST, train_opts=FEWER
    ),
    "cascade_mask_rcnn_R_50_FPN_1x": Recipe(
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", train_opts=ALL
    ),
    "keypoint_rcnn_R_50_FPN_1x": Recipe(
        "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml",
        overrides=ONE_CLASS,
        train_opts=ALL,
        num_classes=1,
    ),
    "panoptic_fpn_R_50_1x": Recipe(
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml", train_opts=ALL
    ),
    "semantic_R_50_FPN_1x": Recipe("Misc/semantic_R_50_FPN_1x.yaml"),
    "mask_rcnn_regnetx_4gf_dds_fpn_1x": Recipe(
        "COCO-InstanceSegmentation/mask_rcnn_regnetx_4gf_dds_fpn_1x.py", steps=0
    ),
    "mask_rcnn_regnety_4gf_dds_fpn_1x": Recipe(
        "COCO-InstanceSegmentation/mask_rcnn_regnety_4gf_dds_fpn_1x.py", steps=0
    ),
    "mask_rcnn_regnety_4gf_dds_FPN_100ep_LSJ": Recipe(
        "new_baselines/mask_rcnn_regnety_4gf_dds_FPN_100ep_LSJ.py", overrides=STRONG, steps=0
    ),
    "mask_rcnn_R_50_FPN_100ep_LSJ": Recipe(
        "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py", steps=0
    ),
}
