"""Every key of the config: where it takes effect, or why no other value is accepted.

The table is compared with the code: models are built, and a run is trained and evaluated, with a
config that records which code reads it.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from app.engine.config import CfgNode, check_supported, get_config
from app.engine.config.support import CHOICES, wrong_values
from app.engine.data.datasets import catalog
from app.engine.data.loading.ground_truth import GroundTruthMapper
from app.engine.data.loading.mapper import TestMapper, TrainMapper
from app.engine.data.loading.samplers import train_stream
from app.engine.data.transforms.augmentation import train_augmentations
from app.engine.errors import ConfigError
from app.engine.evaluation.evaluate import build_evaluators, evaluate
from app.engine.modeling.backbones import BODIES
from app.engine.modeling.build import META_ARCHITECTURES, build_detector
from app.engine.modeling.necks import NECKS
from app.engine.predictor import Predictor
from app.engine.solver import build_optimizer, build_schedule
from app.engine.structures.record import ImageRecord
from app.engine.training.process.precision import training_dtype
from app.engine.training.request import TrainRequest
from app.engine.training.train import train

ROOT = Path(__file__).parents[4]
KNOWN = dict(get_config().leaves())

WHERE = """
data.transforms.augmentation:
    INPUT.MIN_SIZE_TRAIN +MIN_SIZE_TRAIN_SAMPLING +MAX_SIZE_TRAIN +RANDOM_FLIP
    INPUT.CROP.ENABLED +TYPE +SIZE INPUT.FORMAT +COLOR_JITTER INPUT.LSJ.ENABLED +SIZE
    +MIN_SCALE +MAX_SCALE
data.datasets.catalog:
    DATASETS.TRAIN +PROPOSAL_FILES_TRAIN +TEST +PROPOSAL_FILES_TEST
data.images.depth:
    INPUT.BITS_PER_SAMPLE +FLOAT_WHITE
data.datasets.filters:
    MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE DATALOADER.FILTER_EMPTY_ANNOTATIONS
data.loading.ground_truth:
    INPUT.MASK_FORMAT +RECOMPUTE_BOXES INPUT.TILES.MIN_VISIBLE
data.transforms.tile_crop:
    INPUT.TILES.RANDOM_SHARE
structures.size:
    INPUT.MIN_SIZE_TEST +MAX_SIZE_TEST +FIXED_SIZE
structures.tiles:
    INPUT.TILES.SIZE +OVERLAP +WHOLE_IMAGE
data.transforms.keypoints:
    MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS MODEL.KEYPOINT_NAMES INPUT.KEYPOINT_FLIP_PAIRS
data.loading.loader:
    DATALOADER.NUM_WORKERS +ASPECT_RATIO_GROUPING
data.loading.mapper:
    MODEL.LOAD_PROPOSALS DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN +PRECOMPUTED_PROPOSAL_TOPK_TEST
data.loading.samplers:
    DATASETS.TRAIN_REPEAT_FACTOR DATALOADER.SAMPLER_TRAIN +REPEAT_THRESHOLD +REPEAT_SQRT
    +RANDOM_SUBSET_RATIO
evaluation.evaluate:
    TEST.AUG.ENABLED
evaluation.keypoint_sigmas:
    TEST.KEYPOINT_OKS_SIGMAS
layers.precision:
    FLOAT32_PRECISION
layers.roi_pool:
    MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION +POOLER_SAMPLING_RATIO +POOLER_TYPE
    MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION +POOLER_SAMPLING_RATIO +POOLER_TYPE
    MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION +POOLER_SAMPLING_RATIO +POOLER_TYPE
modeling.anchors:
    MODEL.ANCHOR_GENERATOR.NAME +SIZES +ASPECT_RATIOS +OFFSET
modeling.backbones:
    MODEL.BACKBONE.NAME
modeling.backbones.resnet:
    MODEL.BACKBONE.FREEZE_AT MODEL.RESNETS.DEPTH +OUT_FEATURES +NUM_GROUPS +NORM
    +WIDTH_PER_GROUP +STRIDE_IN_1X1 +RES5_DILATION +RES2_OUT_CHANNELS +STEM_OUT_CHANNELS
    +DEFORM_ON_PER_STAGE +DEFORM_MODULATED +DEFORM_NUM_GROUPS +NORM_EPS
modeling.build:
    MODEL.DEVICE +META_ARCHITECTURE
modeling.meta_arch.generalized_rcnn:
    MODEL.PIXEL_MEAN +PIXEL_STD
modeling.meta_arch.panoptic_fpn:
    MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT MODEL.PANOPTIC_FPN.COMBINE.ENABLED
modeling.meta_arch.retinanet:
    MODEL.RETINANET.NUM_CLASSES +IN_FEATURES +NUM_CONVS +IOU_THRESHOLDS +IOU_LABELS
    +PRIOR_PROB +SCORE_THRESH_TEST +TOPK_CANDIDATES_TEST +NMS_THRESH_TEST +BBOX_REG_WEIGHTS
    +FOCAL_LOSS_GAMMA +FOCAL_LOSS_ALPHA +SMOOTH_L1_LOSS_BETA +BBOX_REG_LOSS_TYPE +NORM
    +CONV_DIM +SEPARABLE +CLIP_BEFORE_NMS TEST.DETECTIONS_PER_IMAGE
modeling.necks.fpn:
    MODEL.FPN.IN_FEATURES +OUT_CHANNELS +NORM +FUSE_TYPE +SEPARABLE
modeling.necks.retinanet_fpn:
    MODEL.FPN.TOP_BLOCK_IN_FEATURE
modeling.panoptic:
    MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH +STUFF_AREA_LIMIT +INSTANCES_CONFIDENCE_THRESH
modeling.proposals:
    MODEL.PROPOSAL_GENERATOR.MIN_SIZE MODEL.RPN.PRE_NMS_TOPK_TRAIN +PRE_NMS_TOPK_TEST
    +POST_NMS_TOPK_TRAIN +POST_NMS_TOPK_TEST +NMS_THRESH +SCORE_THRESH
modeling.roi_heads:
    MODEL.ROI_HEADS.NAME
modeling.roi_heads.assignment:
    MODEL.ROI_HEADS.NUM_CLASSES +IOU_THRESHOLDS +IOU_LABELS +BATCH_SIZE_PER_IMAGE
    +POSITIVE_FRACTION +PROPOSAL_APPEND_GT
modeling.roi_heads.box_head:
    MODEL.ROI_BOX_HEAD.NUM_FC +FC_DIM +NUM_CONV +CONV_DIM +NORM
modeling.roi_heads.box_predictor:
    MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE +BBOX_REG_LOSS_WEIGHT +BBOX_REG_WEIGHTS
    +SMOOTH_L1_BETA +CLS_AGNOSTIC_BBOX_REG
modeling.roi_heads.cascade:
    MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS +IOUS
modeling.roi_heads.class_loss:
    MODEL.ROI_BOX_HEAD.USE_FED_LOSS +USE_SIGMOID_CE +FED_LOSS_FREQ_WEIGHT_POWER
    +FED_LOSS_NUM_CLASSES
modeling.roi_heads.keypoint_head:
    MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS +NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS +LOSS_WEIGHT
modeling.roi_heads.mask_head:
    MODEL.ROI_MASK_HEAD.NUM_CONV +CONV_DIM +NORM +CLS_AGNOSTIC_MASK
modeling.roi_heads.detection_filter:
    MODEL.ROI_HEADS.SCORE_THRESH_TEST +NMS_THRESH_TEST
modeling.roi_heads.standard:
    MODEL.MASK_ON +KEYPOINT_ON MODEL.ROI_HEADS.IN_FEATURES MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES
modeling.rpn:
    MODEL.PROPOSAL_GENERATOR.NAME MODEL.RPN.IN_FEATURES +BOUNDARY_THRESH +IOU_THRESHOLDS
    +IOU_LABELS +BATCH_SIZE_PER_IMAGE +POSITIVE_FRACTION +BBOX_REG_LOSS_TYPE
    +BBOX_REG_LOSS_WEIGHT +BBOX_REG_WEIGHTS +SMOOTH_L1_BETA +LOSS_WEIGHT +CONV_DIMS
modeling.semantic_head:
    MODEL.SEM_SEG_HEAD.IN_FEATURES +IGNORE_VALUE +NUM_CLASSES +CONVS_DIM +COMMON_STRIDE +NORM
    +LOSS_WEIGHT
solver.optimizer:
    SOLVER.MOMENTUM +NESTEROV +WEIGHT_DECAY +WEIGHT_DECAY_NORM +BIAS_LR_FACTOR
    +WEIGHT_DECAY_BIAS SOLVER.CLIP_GRADIENTS.ENABLED +CLIP_TYPE +CLIP_VALUE +NORM_TYPE
    SOLVER.OPTIMIZER
solver.schedule:
    SOLVER.LR_SCHEDULER_NAME +MAX_ITER +BASE_LR +BASE_LR_END +GAMMA +STEPS +NUM_DECAYS
    +WARMUP_FACTOR +WARMUP_ITERS +WARMUP_METHOD +RESCALE_INTERVAL +REFERENCE_WORLD_SIZE
training.state.build_run:
    SEED SOLVER.IMS_PER_BATCH +ACCUMULATE +DDP_FP16_COMPRESSION +WINOGRAD SOLVER.EMA.ENABLED +DECAY
training.state.timed_plan:
    SOLVER.MAX_MINUTES TEST.EVAL_PERIOD +EVAL_SHARE
training.validation.model_selector:
    TEST.PRECISE_BN.ENABLED +NUM_ITER TEST.METRIC +PATIENCE
training.process.precision:
    SOLVER.AMP.ENABLED +DTYPE CUDNN_BENCHMARK
training.loop.trainer:
    SOLVER.CHECKPOINT_PERIOD TEST.EXPECTED_RESULTS VIS_PERIOD
tta.views:
    TEST.AUG.MIN_SIZES +MAX_SIZE +FLIP
"""
"""Module of app.engine: keys that take effect there (`+` stands for the last key's section). The
keys that an extension declares take effect in its own file."""

EXTENSIONS = {**BODIES, **NECKS, **META_ARCHITECTURES}

ONLY_DEFAULT = {
    "MODEL.ANCHOR_GENERATOR.ANGLES": ("[[0]]", "rotated boxes are not part of this engine"),
    "MODEL.ROI_BOX_HEAD.NAME": ("Other", "FastRCNNConvFCHead"),
    "MODEL.RPN.HEAD_NAME": ("Other", "StandardRPNHead"),
    "MODEL.ROI_MASK_HEAD.NAME": ("Other", "MaskRCNNConvUpsampleHead"),
    "MODEL.ROI_KEYPOINT_HEAD.NAME": ("Other", "KRCNNConvDeconvUpsampleHead"),
    "MODEL.SEM_SEG_HEAD.NAME": ("Other", "SemSegFPNHead"),
}
"""Key -> a value that is refused, and words of the reason: nothing reads what cannot change."""

OUTSIDE = {
    "DATASETS.ACCEPTED_SMELLS": "app/cli/data_sets.py",
    "DATASETS.ANNOTATED_FRAME": "app/cli/data_sets.py",
    "MODEL.CLASS_NAMES": "app/engine/trained/output_names.py",
    "MODEL.CATEGORY_IDS": "app/cli/detect.py",
    "MODEL.STUFF_IDS": "app/cli/detect.py",
    "MODEL.STUFF_NAMES": "app/cli/names.py",
    "MODEL.WEIGHTS": "app/tasks/start_weights.py",
    "OUTPUT_DIR": "app/cli/train.py",
    "VERSION": "app/engine/config/upgrade.py",
}
"""Key -> the file outside the engine's rooms that reads it."""

WITHOUT_EFFECT = {
    "GLOBAL.HACK": "detectron2's scratch value, which nothing of detectron2 reads either",
}
"""Key -> why it is accepted all the same."""


def where() -> dict[str, str]:
    """Key -> module."""
    table: dict[str, str] = {}
    module = section = ""
    for word in WHERE.split():
        if word.endswith(":"):
            module = word[:-1]
            continue
        key = f"{section}.{word[1:]}" if word.startswith("+") else word
        section = key.rpartition(".")[0]
        assert key not in table, key
        table[key] = module
    for extension in EXTENSIONS.values():
        traits = sys.modules[extension.__module__].TRAITS
        for key in traits.keys:
            table[f"{traits.section}.{key}"] = extension.__module__.removeprefix("app.engine.")
    return table


def shown_in(name: str) -> str:
    """A config file that names an extension which declares keys."""
    neck = name.replace("{}", "[a-z0-9]+")
    words = re.compile(rf"_{name}_|META_ARCHITECTURE: {name}\b|NAME: {neck}\b")
    paths = sorted((ROOT / "configs").rglob("*.yaml"))
    path = next(path for path in paths if words.search(path.read_text(encoding="utf-8")))
    return str(path.relative_to(ROOT / "configs"))


@dataclass(frozen=True)
class Build:
    """A config file and what is changed in it."""

    name: str
    overrides: tuple[tuple[str, str], ...] = ()


BUILDS = [
    Build("COCO-Detection/retinanet_R_50_FPN_1x.yaml"),
    Build("COCO-Detection/rpn_R_50_FPN_1x.yaml"),
    Build("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml"),
    Build("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml"),
    Build("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml"),
    Build("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml"),
    Build("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml"),
    Build(
        "Mobile/faster_rcnn_mobilenetv2_FPN.yaml",
        (
            ("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", "True"),
            ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", "True"),
        ),
    ),
    *(
        Build(shown_in(name))
        for name, extension in EXTENSIONS.items()
        if sys.modules[extension.__module__].TRAITS.keys
    ),
]
LIGHT = "Mobile/retinanet_mobilenetv2_FPN_light.yaml"
RUN = {
    "MODEL.RETINANET.NUM_CLASSES": "2",
    "MODEL.MOBILENETV2.NORM": "BN",
    "MODEL.BACKBONE.FREEZE_AT": "0",
    "INPUT.MIN_SIZE_TRAIN": "(96,)",
    "INPUT.MIN_SIZE_TEST": "96",
    "SOLVER.IMS_PER_BATCH": "2",
    "SOLVER.MAX_ITER": "1",
    "SOLVER.MAX_MINUTES": "100",
    "SOLVER.EMA.ENABLED": "True",
    "SOLVER.CLIP_GRADIENTS.ENABLED": "True",
    "TEST.PRECISE_BN.ENABLED": "True",
    "TEST.PRECISE_BN.NUM_ITER": "1",
    "TEST.AUG.ENABLED": "True",
    "TEST.AUG.MIN_SIZES": "(96,)",
    "INPUT.COLOR_JITTER": "0.1",
    "INPUT.CROP.ENABLED": "True",
    "INPUT.TILES.SIZE": "64",
    "DATALOADER.NUM_WORKERS": "0",
    "SEED": "1",
}


def records(folder: Path) -> list[ImageRecord]:
    made = []
    for number in range(2):
        path = folder / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        box = np.array([[5, 5, 70, 70]], np.float32)
        made.append(ImageRecord(path, 96, 96, box, np.array([number]), number))
    return made


@pytest.fixture(scope="module")
def used(
    tmp_path_factory: pytest.TempPathFactory,
    watched: Callable[..., CfgNode],
    readers: dict[str, set[str]],
) -> dict[str, set[str]]:
    """Modules that read each key when everything is done once."""
    for build in BUILDS:
        with torch.device("meta"):
            build_detector(watched(build.name, {"MODEL.DEVICE": "meta", **dict(build.overrides)}))
    _solve(watched)
    _load(watched, records(tmp_path_factory.mktemp("images")))
    _run(watched, tmp_path_factory.mktemp("run"))
    return readers


def _solve(watched: Callable[..., CfgNode]) -> None:
    model = nn.Linear(1, 1)
    for schedule in CHOICES["SOLVER.LR_SCHEDULER_NAME"]:
        cfg = watched(LIGHT, {"SOLVER.LR_SCHEDULER_NAME": schedule, "SOLVER.OPTIMIZER": "SGD"})
        build_schedule(cfg, build_optimizer(cfg, model))
    training_dtype(watched(LIGHT, {"SOLVER.AMP.ENABLED": "True"}), torch.device("cpu"))


def _load(watched: Callable[..., CfgNode], made: list[ImageRecord]) -> None:
    for sampler in CHOICES["DATALOADER.SAMPLER_TRAIN"]:
        next(train_stream(watched(LIGHT, {"DATALOADER.SAMPLER_TRAIN": sampler}), made, seed=0))
    masks = watched("new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.yaml")
    train_augmentations(masks)
    GroundTruthMapper.from_config(masks)
    keypoints = watched("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml")
    TrainMapper.from_config(keypoints)
    build_evaluators(keypoints, made, ["person"])
    proposals = watched(
        "COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml",
        {f"DATASETS.{key}": "()" for key in ("TRAIN", "PROPOSAL_FILES_TRAIN", "TEST")},
    )
    TrainMapper.from_config(proposals)
    TestMapper.from_config(proposals)
    catalog.evaluation_datasets(proposals, Path())
    unknown = watched(LIGHT, {"DATASETS.TRAIN": "('nothing',)"})
    with pytest.raises(ConfigError, match="nothing"):
        catalog.train_dataset(unknown, Path())


def _run(watched: Callable[..., CfgNode], folder: Path) -> None:
    cfg = watched(LIGHT, {**RUN, "OUTPUT_DIR": str(folder / "out")})
    made = records(folder)
    output_dir = Path(cfg.OUTPUT_DIR)
    train(TrainRequest(cfg, made, ["a", "b"], output_dir, val_records=made[:1]))
    assert (folder / "out/last/model.pth").is_file()
    model = build_detector(cfg)
    evaluate(model, cfg, made[:1], ["a", "b"])
    Predictor(model, cfg)


def test_the_tables_name_every_key_once() -> None:
    tables = [where(), ONLY_DEFAULT, OUTSIDE, WITHOUT_EFFECT]
    named = [key for table in tables for key in table]
    assert sorted(named) == sorted(KNOWN)


def test_every_key_is_read_where_the_table_says(used: dict[str, set[str]]) -> None:
    wrong = {
        key: sorted(used.get(key, ()))
        for key, module in where().items()
        if f"app.engine.{module}" not in used.get(key, ())
    }
    assert not wrong


@pytest.mark.parametrize("key", ONLY_DEFAULT)
def test_what_nothing_reads_cannot_be_changed(key: str) -> None:
    value, reason = ONLY_DEFAULT[key]
    cfg = get_config()
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=reason):
        check_supported(cfg)


@pytest.mark.parametrize("key", OUTSIDE)
def test_keys_for_others_are_read_there(key: str) -> None:
    assert key.rpartition(".")[2] in (ROOT / OUTSIDE[key]).read_text()


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in CHOICES.items() for value in values]
)
def test_every_choice_is_accepted(key: str, value: object) -> None:
    cfg = get_config()
    cfg.merge_from_list([key, value])
    assert not list(wrong_values(dict(cfg.leaves())))
