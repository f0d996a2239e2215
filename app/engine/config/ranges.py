"""The allowed values of each key: numbers, lists of numbers, names.

Other values would cause a traceback, a loss of NaN, or a model that learns nothing. The upper
bounds are far above all sensible values; they keep a typing error from requesting more memory
than any machine has.
"""

from collections.abc import Iterator

from app.engine.config.declared import SECTIONS
from app.engine.config.faults import Fault, Leaves, shown
from app.engine.config.rules import (
    ALPHA,
    ANY_NAMES,
    COUNT,
    FACTOR,
    FOUR_WEIGHTS,
    IDS,
    ITERATIONS,
    LABEL,
    LAYERS,
    LIMIT,
    MAX_CLASSES,
    MAX_COUNT,
    MAX_DEPTH,
    MAX_ITERATIONS,
    MAX_SIDE,
    MAX_WIDTH,
    NAME,
    NAMES,
    NORM,
    OPEN_SHARE,
    POSITIVE,
    RESOLUTION,
    SAMPLES,
    SHARE,
    SIDE,
    SIDE_OR_AS_IS,
    SWITCH,
    THRESHOLDS,
    WIDTH,
    Rule,
    either,
    listed,
    number,
    one_of,
    row,
    text,
    whole,
)
from app.engine.config.smells import SmellName

_ANCHOR_SIDE = number(1, MAX_SIDE)
_ASPECT = number(0.001, 1000)


def _for_each_level(rule: Rule) -> Rule:
    return either(
        listed(listed(rule), more=", one list for all feature maps or one for each"), listed(rule)
    )


_LOSS = {"BBOX_REG_LOSS_WEIGHT": FACTOR, "BBOX_REG_WEIGHTS": FOUR_WEIGHTS, "SMOOTH_L1_BETA": FACTOR}
_POOLER = {"POOLER_RESOLUTION": RESOLUTION, "POOLER_SAMPLING_RATIO": SAMPLES}
_SAMPLING = {"BATCH_SIZE_PER_IMAGE": COUNT, "POSITIVE_FRACTION": number(above=0, high=1)}
_MATCHING = {"IOU_THRESHOLDS": THRESHOLDS, "IOU_LABELS": listed(LABEL, least=2)}

RULES: dict[str, dict[str, Rule]] = {
    "": {
        "VERSION": Rule("2", "2", lambda value: value == 2),
        "OUTPUT_DIR": text(words="the path of a folder"),
        "SEED": whole(-(2**32), 2**32 - 1),
        "CUDNN_BENCHMARK": SWITCH,
        "VIS_PERIOD": ITERATIONS,
    },
    "GLOBAL": {"HACK": number()},
    "MODEL": {
        "LOAD_PROPOSALS": SWITCH,
        "MASK_ON": SWITCH,
        "KEYPOINT_ON": SWITCH,
        "DEVICE": text(r"cpu|meta|cuda(:\d{1,3})?", "cpu, cuda or cuda:N"),
        "WEIGHTS": text(words="a path or an address, or '' for none"),
        "PIXEL_MEAN": listed(number(-1e6, 1e6), more=", one per channel"),
        "PIXEL_STD": listed(number(1e-6, 1e6), more=", one per channel"),
        "CLASS_NAMES": ANY_NAMES,
        "CATEGORY_IDS": IDS,
        "STUFF_NAMES": ANY_NAMES,
        "STUFF_IDS": IDS,
        "KEYPOINT_NAMES": ANY_NAMES,
    },
    "MODEL.BACKBONE": {"FREEZE_AT": whole(0, 5)},
    "MODEL.FPN": {
        "IN_FEATURES": ANY_NAMES,
        "OUT_CHANNELS": WIDTH,
        "NORM": NORM,
        "TOP_BLOCK_IN_FEATURE": text(words="a feature map"),
        "SEPARABLE": SWITCH,
    },
    "MODEL.PROPOSAL_GENERATOR": {"MIN_SIZE": whole(0, MAX_SIDE)},
    "MODEL.ANCHOR_GENERATOR": {
        "SIZES": _for_each_level(_ANCHOR_SIDE),
        "ASPECT_RATIOS": _for_each_level(_ASPECT),
        "OFFSET": number(0, below=1),
    },
    "MODEL.RPN": {
        "IN_FEATURES": NAMES,
        "BOUNDARY_THRESH": whole(-MAX_COUNT),
        **_MATCHING,
        **_SAMPLING,
        **_LOSS,
        "LOSS_WEIGHT": FACTOR,
        "PRE_NMS_TOPK_TRAIN": COUNT,
        "PRE_NMS_TOPK_TEST": COUNT,
        "POST_NMS_TOPK_TRAIN": COUNT,
        "POST_NMS_TOPK_TEST": COUNT,
        "NMS_THRESH": SHARE,
        "SCORE_THRESH": SHARE,
        "CONV_DIMS": listed(
            Rule(
                "",
                f"whole numbers from 1 to {MAX_WIDTH}, or -1 for the width of the input",
                lambda value: WIDTH.allows(value) or (type(value) is int and value == -1),
            ),
            most=MAX_DEPTH,
        ),
    },
    "MODEL.ROI_HEADS": {
        "NUM_CLASSES": whole(1, MAX_CLASSES),
        "IN_FEATURES": NAMES,
        **_MATCHING,
        **_SAMPLING,
        "SCORE_THRESH_TEST": SHARE,
        "NMS_THRESH_TEST": SHARE,
        "PROPOSAL_APPEND_GT": SWITCH,
    },
    "MODEL.ROI_BOX_HEAD": {
        **_LOSS,
        **_POOLER,
        "NUM_FC": LAYERS,
        "FC_DIM": whole(1, 65_536),
        "NUM_CONV": LAYERS,
        "CONV_DIM": WIDTH,
        "NORM": NORM,
        "CLS_AGNOSTIC_BBOX_REG": SWITCH,
        "TRAIN_ON_PRED_BOXES": SWITCH,
        "USE_FED_LOSS": SWITCH,
        "USE_SIGMOID_CE": SWITCH,
        "FED_LOSS_FREQ_WEIGHT_POWER": number(0, 10),
        "FED_LOSS_NUM_CLASSES": whole(1, MAX_CLASSES),
    },
    "MODEL.ROI_BOX_CASCADE_HEAD": {
        "BBOX_REG_WEIGHTS": listed(FOUR_WEIGHTS, more=", one for each stage"),
        "IOUS": listed(SHARE, rising=True, more=", one for each stage"),
    },
    "MODEL.ROI_MASK_HEAD": {
        **_POOLER,
        "NUM_CONV": LAYERS,
        "CONV_DIM": WIDTH,
        "NORM": NORM,
        "CLS_AGNOSTIC_MASK": SWITCH,
    },
    "MODEL.ROI_KEYPOINT_HEAD": {
        **_POOLER,
        "CONV_DIMS": listed(WIDTH, most=MAX_DEPTH),
        "NUM_KEYPOINTS": whole(1, 1000),
        "MIN_KEYPOINTS_PER_IMAGE": whole(0),
        "NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": SWITCH,
        "LOSS_WEIGHT": FACTOR,
    },
    "MODEL.SEM_SEG_HEAD": {
        "IN_FEATURES": NAMES,
        "IGNORE_VALUE": whole(0, 65_535),
        "NUM_CLASSES": whole(1, MAX_CLASSES),
        "CONVS_DIM": WIDTH,
        "COMMON_STRIDE": Rule("1, 2, 4, 8, 16 or 32", "", lambda v: v in (1, 2, 4, 8, 16, 32)),
        "NORM": NORM,
        "LOSS_WEIGHT": FACTOR,
    },
    "MODEL.PANOPTIC_FPN": {"INSTANCE_LOSS_WEIGHT": FACTOR},
    "MODEL.PANOPTIC_FPN.COMBINE": {
        "ENABLED": SWITCH,
        "OVERLAP_THRESH": SHARE,
        "STUFF_AREA_LIMIT": number(0),
        "INSTANCES_CONFIDENCE_THRESH": SHARE,
    },
    "MODEL.RETINANET": {
        "NUM_CLASSES": whole(1, MAX_CLASSES),
        "IN_FEATURES": NAMES,
        "NUM_CONVS": LAYERS,
        "NORM": NORM,
        "PRIOR_PROB": OPEN_SHARE,
        "FOCAL_LOSS_ALPHA": ALPHA,
        "FOCAL_LOSS_GAMMA": number(0, 100),
        "SCORE_THRESH_TEST": SHARE,
        "TOPK_CANDIDATES_TEST": COUNT,
        "NMS_THRESH_TEST": SHARE,
        **_MATCHING,
        "BBOX_REG_WEIGHTS": FOUR_WEIGHTS,
        "SMOOTH_L1_LOSS_BETA": FACTOR,
        "CONV_DIM": whole(0, MAX_WIDTH),
        "CLIP_BEFORE_NMS": SWITCH,
        "SEPARABLE": SWITCH,
    },
    "MODEL.RESNETS": {
        "OUT_FEATURES": listed(one_of("stem", "res2", "res3", "res4", "res5")),
        "NUM_GROUPS": whole(1, 1024),
        "NORM": NORM,
        "WIDTH_PER_GROUP": whole(1, 1024),
        "STRIDE_IN_1X1": SWITCH,
        "NORM_EPS": SHARE,
        "RES2_OUT_CHANNELS": whole(1, 2048),
        "STEM_OUT_CHANNELS": whole(1, 2048),
        "DEFORM_ON_PER_STAGE": listed(SWITCH, least=4, most=4),
        "DEFORM_MODULATED": SWITCH,
        "DEFORM_NUM_GROUPS": whole(1, 1024),
    },
    "INPUT": {
        "MIN_SIZE_TRAIN": listed(SIDE_OR_AS_IS),
        "MAX_SIZE_TRAIN": LIMIT,
        "MIN_SIZE_TEST": SIDE_OR_AS_IS,
        "MAX_SIZE_TEST": LIMIT,
        "FLOAT_WHITE": number(0, 1e38),
        "FIXED_SIZE": either(
            Rule("[]", "", lambda value: value in ([], ())),
            listed(SIDE, least=2, most=2, more=" (height, width)"),
        ),
        "COLOR_JITTER": SHARE,
        "RECOMPUTE_BOXES": SWITCH,
        "KEYPOINT_FLIP_PAIRS": listed(
            either(listed(NAME, least=2, most=2), listed(whole(0), least=2, most=2)), least=0
        ),
    },
    "INPUT.CROP": {
        "ENABLED": SWITCH,
        "SIZE": listed(number(above=0, high=MAX_SIDE), least=2, most=2),
    },
    "INPUT.LSJ": {
        "ENABLED": SWITCH,
        "SIZE": listed(SIDE, least=2, most=2, more=" (height, width)"),
        "MIN_SCALE": number(0.001, 100),
        "MAX_SCALE": number(0.001, 100),
    },
    "INPUT.TILES": {
        "SIZE": SIDE_OR_AS_IS,
        "OVERLAP": SIDE_OR_AS_IS,
        "WHOLE_IMAGE": SWITCH,
        "MIN_VISIBLE": number(above=0, high=1),
        "RANDOM_SHARE": SHARE,
    },
    "DATASETS": {
        "TRAIN": ANY_NAMES,
        "PROPOSAL_FILES_TRAIN": ANY_NAMES,
        "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": COUNT,
        "TEST": ANY_NAMES,
        "PROPOSAL_FILES_TEST": ANY_NAMES,
        "PRECOMPUTED_PROPOSAL_TOPK_TEST": COUNT,
        "ACCEPTED_SMELLS": listed(one_of(*SmellName), least=0),
        "TRAIN_REPEAT_FACTOR": listed(row("name, number above 0", NAME, POSITIVE), least=0),
    },
    "DATALOADER": {
        "NUM_WORKERS": whole(0, 128),
        "ASPECT_RATIO_GROUPING": SWITCH,
        "REPEAT_THRESHOLD": FACTOR,
        "REPEAT_SQRT": SWITCH,
        "FILTER_EMPTY_ANNOTATIONS": SWITCH,
        "RANDOM_SUBSET_RATIO": number(above=0, high=1),
    },
    "SOLVER": {
        "MAX_ITER": whole(1, MAX_ITERATIONS),
        "BASE_LR": FACTOR,
        "BASE_LR_END": FACTOR,
        "MOMENTUM": number(0, below=1),
        "NESTEROV": SWITCH,
        "WEIGHT_DECAY": FACTOR,
        "WEIGHT_DECAY_NORM": FACTOR,
        "GAMMA": number(above=0, high=1),
        "STEPS": listed(ITERATIONS, least=0, rising=True),
        "NUM_DECAYS": whole(0, 1000),
        "WARMUP_FACTOR": SHARE,
        "WARMUP_ITERS": ITERATIONS,
        "RESCALE_INTERVAL": SWITCH,
        "CHECKPOINT_PERIOD": ITERATIONS,
        "IMS_PER_BATCH": COUNT,
        "REFERENCE_WORLD_SIZE": whole(0, 100_000),
        "BIAS_LR_FACTOR": number(0, 1000),
        "WEIGHT_DECAY_BIAS": either(FACTOR, Rule("None", "", lambda value: value is None)),
        "MAX_MINUTES": number(0, 1_000_000),
        "ACCUMULATE": COUNT,
        "DDP_FP16_COMPRESSION": SWITCH,
        "WINOGRAD": SWITCH,
    },
    "SOLVER.CLIP_GRADIENTS": {
        "ENABLED": SWITCH,
        "CLIP_VALUE": number(above=0),
        "NORM_TYPE": Rule(
            "a number from 1, or inf", "", lambda value: isinstance(value, float) and value >= 1
        ),
    },
    "SOLVER.AMP": {"ENABLED": SWITCH},
    "SOLVER.EMA": {"ENABLED": SWITCH, "DECAY": number(0, below=1)},
    "TEST": {
        "EXPECTED_RESULTS": listed(
            row("task, metric, number, tolerance from 0", NAME, NAME, number(), number(0)), least=0
        ),
        "EVAL_PERIOD": ITERATIONS,
        "KEYPOINT_OKS_SIGMAS": listed(POSITIVE, least=0),
        "DETECTIONS_PER_IMAGE": COUNT,
        "METRIC": NAME,
        "EVAL_SHARE": SHARE,
        "PATIENCE": whole(0),
    },
    "TEST.AUG": {"ENABLED": SWITCH, "MIN_SIZES": listed(SIDE), "MAX_SIZE": LIMIT, "FLIP": SWITCH},
    "TEST.PRECISE_BN": {"ENABLED": SWITCH, "NUM_ITER": COUNT},
}
"""Section -> key -> rule. Keys with a list of choices are in `support.CHOICES`, those of bodies,
necks and architectures that detectron2 lacks in `declared.py`."""

RANGES = {
    f"{section}.{key}" if section else key: rule
    for section, rules in RULES.items()
    for key, rule in rules.items()
} | {
    f"{section}.{key}": rule
    for section, keys in SECTIONS.items()
    for key, (_, rule) in keys.items()
    if isinstance(rule, Rule)
}
"""Dotted key -> rule."""


def out_of_range(leaves: Leaves) -> Iterator[Fault]:
    """Yield a fault for each value that breaks the rule of its key."""
    for key, rule in RANGES.items():
        if not rule.allows(leaves[key]):
            yield Fault(key, f"{key} is {shown(leaves[key])}, but must be {rule.words}")
