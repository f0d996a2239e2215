"""Copies of TRAITS, written by `make generate`: traits.py says why."""

from app.engine.config.rules import (
    ALPHA,
    BODY_NORM,
    COUNT,
    FACTOR,
    FOUR_WEIGHTS,
    LAYERS,
    MAX_CLASSES,
    MAX_DEPTH,
    MAX_WIDTH,
    NAMES,
    NORM,
    OPEN_SHARE,
    POSITIVE,
    SHARE,
    SWITCH,
    either,
    listed,
    number,
    one_of,
    whole,
)
from app.engine.config.traits import Architecture, Body, Form, Keys, Neck

BODIES: dict[str, Body] = {
    "resnet": Body(
        section="MODEL.RESNETS",
        strides={"stem": 4, "res2": 4, "res3": 8, "res4": 16, "res5": 32},
        dilation="MODEL.RESNETS.RES5_DILATION",
        first_weight="layer1.0.",
    ),
    "mobilenetv2": Body(
        section="MODEL.MOBILENETV2",
        strides={"mb2": 4, "mb3": 8, "mb4": 16, "mb5": 32, "mb4_wide": 16, "mb5_wide": 32},
        keys={
            # maps to return
            "OUT_FEATURES": (
                ["mb2", "mb3", "mb4", "mb5"],
                listed(one_of("mb2", "mb3", "mb4", "mb5", "mb4_wide", "mb5_wide")),
            ),
            "NORM": ("FrozenBN", BODY_NORM),
        },
        first_weight="features.0.",
        faster_exported=True,
    ),
    "mobilenetv3": Body(
        section="MODEL.MOBILENETV3",
        strides={
            "mv2": 4,
            "mv3": 8,
            "mv4": 16,
            "mv5": 32,
            "mv4_wide": 16,
            "mv5_wide": 32,
            "mv5_first": 32,
        },
        keys={
            # maps to return
            "OUT_FEATURES": (
                ["mv2", "mv3", "mv4", "mv5"],
                listed(one_of("mv2", "mv3", "mv4", "mv5", "mv4_wide", "mv5_wide", "mv5_first")),
            ),
            "NORM": ("FrozenBN", BODY_NORM),
            "NORM_EPS": (0.001, SHARE),  # added to variances; 1e-5 in torchvision's Faster R-CNN
            "REDUCED_TAIL": (
                False,
                SWITCH,
            ),  # half the channels from mv5 on, as in SSDLite from COCO
        },
        first_weight="features.0.",
        faster_exported=True,
    ),
    "efficientnet": Body(
        section="MODEL.EFFICIENTNET",
        strides={"ef2": 4, "ef3": 8, "ef4": 16, "ef5": 32},
        keys={
            "VARIANT": ("b4", ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")),
            # maps to return
            "OUT_FEATURES": (
                ["ef2", "ef3", "ef4", "ef5"],
                listed(one_of("ef2", "ef3", "ef4", "ef5")),
            ),
            "NORM": ("FrozenBN", BODY_NORM),
        },
        first_weight="features.0.",
        faster_exported=True,
    ),
    "regnet": Body(
        section="MODEL.REGNETS",
        strides={"stem": 2, "s1": 4, "s2": 8, "s3": 16, "s4": 32},
        keys={
            "STEM_WIDTH": (32, whole(1, 2048)),  # stem channels
            "DEPTH": (23, whole(1, MAX_DEPTH)),  # blocks in all stages together
            "W_A": (38.65, number(0, 1000)),  # slope of the width rule
            "W_0": (96, whole(8, 2048)),  # first width
            "W_M": (2.43, number(above=1, high=100)),  # ratio between stage widths
            "GROUP_WIDTH": (40, whole(1, 2048)),  # channels of one convolution group
            # squeeze-and-excitation width; 0 = RegNetX, 0.25 = RegNetY
            "SE_RATIO": (0.0, SHARE),
            "NORM": ("FrozenBN", BODY_NORM),
            # maps to return
            "OUT_FEATURES": (
                ["s1", "s2", "s3", "s4"],
                listed(one_of("stem", "s1", "s2", "s3", "s4")),
            ),
        },
    ),
    "vgg": Body(
        section="MODEL.VGG",
        strides={"vgg2": 4, "vgg3": 8, "vgg4": 16, "fc7": 16},
        keys={
            # maps to return
            "OUT_FEATURES": (
                ["vgg2", "vgg3", "vgg4"],
                listed(one_of("vgg2", "vgg3", "vgg4", "fc7")),
            ),
        },
        first_weight="features.0.",
    ),
}
NECKS: dict[str, Neck] = {
    "build_{}_fpn_backbone": Neck(extra_levels=1),
    "build_retinanet_{}_fpn_backbone": Neck(extra_levels=2, has_top_block=True),
    "build_ssd_{}_backbone": Neck(
        extra_levels=4,
        section="MODEL.SSD_LAYERS",
        keys={
            "CHANNELS": (
                [512, 256, 256, 128],
                listed(whole(2, MAX_WIDTH), least=4, most=4),
            ),  # of the extra maps
            # 2 halves a map, 1 takes two cells off it, without padding
            "STRIDES": ([2, 2, 2, 2], listed(whole(1, 2), least=4, most=4)),
            # depthwise 3x3 convolutions with norms, as in SSDLite; False: plain ones with biases
            "SEPARABLE": (True, SWITCH),
            "NORM": ("BN", BODY_NORM),  # of separable layers
            # of separable layers that halve a map: torchvision's, or TensorFlow's `SAME`
            "PADDING": ("symmetric", ("symmetric", "same")),
            # start of the learnt length of the first map's vectors of channels; 0: not normalised
            "L2_SCALE": (0.0, FACTOR),
        },
    ),
}
ARCHITECTURES: dict[str, Architecture] = {
    "GeneralizedRCNN": Architecture(
        in_features=("MODEL.RPN", "MODEL.ROI_HEADS"),
        anchored=("MODEL.RPN",),
        norms={
            "MODEL.ROI_BOX_HEAD.NORM": ("MODEL.ROI_BOX_HEAD.CONV_DIM",),
            "MODEL.ROI_MASK_HEAD.NORM": ("MODEL.ROI_MASK_HEAD.CONV_DIM",),
        },
        has_roi_heads=True,
        has_graph=True,
    ),
    "RetinaNet": Architecture(
        in_features=("MODEL.RETINANET",),
        anchored=("MODEL.RETINANET",),
        classes="MODEL.RETINANET",
        norms={"MODEL.RETINANET.NORM": ("MODEL.RETINANET.CONV_DIM", "MODEL.FPN.OUT_CHANNELS")},
        has_graph=True,
    ),
    "FCOS": Architecture(
        in_features=("MODEL.FCOS",),
        classes="MODEL.FCOS",
        section="MODEL.FCOS",
        keys={
            "NUM_CLASSES": (80, whole(1, MAX_CLASSES)),  # foreground classes
            "IN_FEATURES": (["p3", "p4", "p5", "p6", "p7"], NAMES),  # levels
            "NUM_CONVS": (4, LAYERS),  # tower depth without the last conv
            "NORM": ("GN", NORM),  # norm of the towers
            "PRIOR_PROB": (0.01, OPEN_SHARE),  # bias init -log((1-p)/p)
            # in strides; points this near an object's centre are positive
            "CENTER_SAMPLING_RADIUS": (1.5, POSITIVE),
            "FOCAL_LOSS_ALPHA": (0.25, ALPHA),  # focal balance
            "FOCAL_LOSS_GAMMA": (2.0, number(0, 100)),  # focal exponent
            "SCORE_THRESH_TEST": (0.2, SHARE),  # keep sqrt(class * centerness) > this
            "TOPK_CANDIDATES_TEST": (1000, COUNT),  # per level before NMS
            "NMS_THRESH_TEST": (0.6, SHARE),  # class-wise NMS IoU
            "CLIP_BEFORE_NMS": (False, SWITCH),  # clip boxes to the image before NMS, not after it
        },
        norms={"MODEL.FCOS.NORM": ("MODEL.FPN.OUT_CHANNELS",)},
        has_graph=True,
    ),
    "SSD": Architecture(
        in_features=("MODEL.SSD",),
        classes="MODEL.SSD",
        section="MODEL.SSD",
        keys={
            "NUM_CLASSES": (80, whole(1, MAX_CLASSES)),  # foreground classes
            "IN_FEATURES": (["p4", "p5", "p6", "p7", "p8", "p9"], NAMES),  # levels
            # order and shapes of the priors at a cell: torchvision / tensorflow
            "PRIOR_RULE": ("tensorflow", ("tensorflow", "torchvision")),
            # sides of square priors as shares of the input's, for each level and one more
            "SCALES": (
                [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0],
                listed(number(above=0, high=4), least=2, rising=True),
            ),
            # width / height, for each level or for all; torchvision adds squares and upright ones
            "ASPECT_RATIOS": (
                [[1.0, 2.0, 0.5, 3.0, 0.3333]],
                either(
                    listed(
                        listed(number(0.001, 1000), least=0),
                        more=", one list for all levels or one for each",
                    ),
                    listed(number(0.001, 1000)),
                ),
            ),
            "REDUCE_FIRST_LEVEL": (True, SWITCH),  # tensorflow: three priors on the finest level
            # pixels between the cells of each level; [] = the input's side / the map's
            "STEPS": ([], listed(POSITIVE, least=0)),
            "CLIP_PRIORS": (False, SWITCH),  # no side of a prior exceeds the input's
            # depthwise 3x3 convolutions with norms, as in SSDLite; False: plain ones with biases
            "SEPARABLE_HEAD": (False, SWITCH),
            "NORM": ("BN", BODY_NORM),  # of a separable head
            # classes exclude each other (softmax) or not (sigmoid)
            "SCORES": ("softmax", ("softmax", "sigmoid")),
            "IOU_THRESHOLD": (0.5, SHARE),  # overlap from which a prior belongs to an object
            "BBOX_REG_WEIGHTS": ((10.0, 10.0, 5.0, 5.0), FOUR_WEIGHTS),
            "SMOOTH_L1_LOSS_BETA": (1.0, FACTOR),  # 0 = L1
            "NEGATIVES_PER_POSITIVE": (3.0, FACTOR),  # the hardest ones of an image count
            "SCORE_THRESH_TEST": (0.01, SHARE),  # keep scores > this
            "TOPK_CANDIDATES_TEST": (100, COUNT),  # of each class before NMS
            "NMS_THRESH_TEST": (0.6, SHARE),  # class-wise NMS IoU
            "CLIP_BEFORE_NMS": (
                False,
                SWITCH,
            ),  # boxes end at the image's edges before NMS, not after
        },
        has_graph=True,
        fixed_size=True,
    ),
    "ProposalNetwork": Architecture(
        in_features=("MODEL.RPN",), anchored=("MODEL.RPN",), results=("box_proposals",)
    ),
    "PanopticFPN": Architecture(
        in_features=("MODEL.RPN", "MODEL.ROI_HEADS", "MODEL.SEM_SEG_HEAD"),
        anchored=("MODEL.RPN",),
        results=("bbox", "sem_seg", "panoptic_seg"),
        norms={
            "MODEL.ROI_BOX_HEAD.NORM": ("MODEL.ROI_BOX_HEAD.CONV_DIM",),
            "MODEL.ROI_MASK_HEAD.NORM": ("MODEL.ROI_MASK_HEAD.CONV_DIM",),
            "MODEL.SEM_SEG_HEAD.NORM": ("MODEL.SEM_SEG_HEAD.CONVS_DIM",),
        },
        has_roi_heads=True,
    ),
    "SemanticSegmentor": Architecture(
        in_features=("MODEL.SEM_SEG_HEAD",),
        results=("sem_seg",),
        norms={"MODEL.SEM_SEG_HEAD.NORM": ("MODEL.SEM_SEG_HEAD.CONVS_DIM",)},
    ),
}
FORMS: dict[str, Form] = {
    "detectron2": Form(),
    "onnx": Form(of_trainings=True, needs_graph=True),
    "int8": Form(
        of_trainings=True,
        condition="with a validation set; left out if it surely loses over one point of AP",
        needs_graph=True,
        needs_validation=True,
    ),
    "onnx-raw": Form(
        of_trainings=True, condition="of one-stage detectors", needs_graph=True, one_stage=True
    ),
    "safetensors": Form(),
}
ROI_HEADS = ("CascadeROIHeads", "Res5ROIHeads", "StandardROIHeads")
_ALL: tuple[Architecture | Body | Neck, ...] = (
    *ARCHITECTURES.values(),
    *BODIES.values(),
    *NECKS.values(),
)
SECTIONS: dict[str, Keys] = {each.section: each.keys for each in _ALL if each.keys}
"""Section of the config -> its keys, where detectron2 has no such section."""
