"""Setting names of other trainers, and the keys of config.yaml that replace them.

A name that would change what is trained or found is refused: if it were ignored, a default would
silently be used instead. A name that does not change the result only causes a remark.
"""

import re
from collections.abc import Mapping

from executor.task_words import Task

_ITERATIONS = (
    "write max_iter, which counts iterations (epochs x images / batch_size), or max_iter: 0 to let "
    "it be chosen for your data"
)
_RATE = "write learning_rate, or learning_rate: 0 to let it be chosen for your model and batch"
_MODEL = (
    "write config_file, one of this image's configs, such as "
    "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
)
_WEIGHTS = (
    "choose a pretrained model on the platform (pretrained_model_params), or write "
    "args_options: MODEL.WEIGHTS FILE"
)
_BATCH = "write batch_size, images per iteration over all GPUs together"
_SIZE = "write image_size, pixels of the shorter side"
_CLASSES = "write class_names: [cat, dog]; their number follows"
_CONFIDENCE = "write conf_threshold"
_READERS = "write num_workers"
_ALGORITHM = "write mining_algorithm"


def _args(example: str) -> str:
    return f"write args_options: {example}"


def _table(*groups: tuple[str, str]) -> dict[str, str]:
    return {word: advice for words, advice in groups for word in words.split()}


_OF_EVERY_TASK = (
    ("imgsz img_size image_height image_width input_size input_shape img_scale resolution", _SIZE),
    ("batch bs batchsize train_batch_size batch_size_per_gpu samples_per_gpu subdivisions", _BATCH),
    ("names classes class_list class_name labels categories nc num_classes n_classes", _CLASSES),
)

_OF_TRAINING = _table(
    *_OF_EVERY_TASK,
    ("epochs epoch max_epochs num_epochs n_epochs total_epochs train_epochs", _ITERATIONS),
    ("steps max_steps num_steps train_steps total_steps max_batches", _ITERATIONS),
    ("iterations iters num_iters max_iters max_iterations", _ITERATIONS),
    ("lr lr0 base_lr initial_lr init_lr start_lr", _RATE),
    ("lrf final_lr end_lr min_lr", _args("SOLVER.BASE_LR_END 0.0001")),
    ("lr_scheduler scheduler lr_schedule cos_lr", _args("SOLVER.LR_SCHEDULER_NAME WarmupCosineLR")),
    ("lr_steps milestones lr_step", _args("SOLVER.STEPS (6000,8000)")),
    ("gamma lr_decay", _args("SOLVER.GAMMA 0.1")),
    ("optimizer optim opt optimiser", _args("SOLVER.OPTIMIZER ADAMW")),
    ("momentum", _args("SOLVER.MOMENTUM 0.9")),
    ("weight_decay wd decay", _args("SOLVER.WEIGHT_DECAY 0.0001")),
    ("warmup warmup_iters warmup_iterations warmup_steps", _args("SOLVER.WARMUP_ITERS 1000")),
    ("warmup_epochs", _args("SOLVER.WARMUP_ITERS 1000") + ", in iterations"),
    ("clip_grad grad_clip max_grad_norm", _args("SOLVER.CLIP_GRADIENTS.ENABLED True")),
    ("freeze freeze_at", _args("MODEL.BACKBONE.FREEZE_AT 2")),
    ("anchors anchor_sizes", _args("MODEL.ANCHOR_GENERATOR.SIZES [[16],[32],[64],[128],[256]]")),
    ("flip fliplr flipud", _args("INPUT.RANDOM_FLIP horizontal")),
    ("multi_scale multiscale", _args("INPUT.MIN_SIZE_TRAIN (480,640,800)")),
    ("color_jitter hsv_h hsv_s hsv_v", _args("INPUT.COLOR_JITTER 0.4")),
    ("iou iou_thres iou_threshold nms nms_thresh", _args("MODEL.RETINANET.NMS_THRESH_TEST 0.5")),
    ("max_det max_boxes max_detections", _args("TEST.DETECTIONS_PER_IMAGE 100")),
    ("metric", _args("TEST.METRIC bbox/AP50")),
    ("model model_name model_type arch architecture network backbone backbone_name", _MODEL),
    ("cfg cfg_file model_config config", _MODEL),
    ("weights pretrained pretrained_weights pretrain load_from init_weights checkpoint", _WEIGHTS),
    ("cfg_options cfg_option options opts", "write args_options"),
    ("fp16 half mixed_precision", "write amp"),
    ("random_seed manual_seed", "write seed"),
    ("early_stopping early_stop", "write patience"),
)

_OF_CANDIDATES = _table(
    *_OF_EVERY_TASK,
    ("conf conf_thres confidence confidence_thresh score_thr score_thresh threshold", _CONFIDENCE),
    ("score_threshold min_score", _CONFIDENCE),
    ("half fp16 dtype", "write precision"),
    ("strategy mining_strategy algorithm", _ALGORITHM),
)

_OF_CONVENIENCE = _table(
    ("workers workers_per_gpu num_workers_per_gpu data_workers", _READERS),
    ("device devices gpu gpus cuda num_gpus ngpus n_gpu", "gpu_id decides that"),
    (
        "save_period save_interval checkpoint_interval weight_save_interval",
        "write checkpoint_period",
    ),
    ("val_interval eval_interval eval_every val_period", "write eval_period"),
    ("data dataset data_yaml train val test", "the index files decide that"),
    ("project name exist_ok save_dir output_dir work_dir run_name", "results go to /out"),
    ("resume resume_from", "the same run started again on its /out resumes by itself"),
    ("opset", "write export: onnx for an ONNX file"),
    ("iou iou_thres iou_threshold nms nms_thresh", "the model keeps that of its training"),
    ("max_det max_boxes max_detections", "the model keeps that of its training"),
)

_ENGINE_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z][A-Z0-9_]*)+|MODEL|SOLVER|INPUT|TEST|DATASETS")


def instead_of(word: str, task: Task) -> str | None:
    """Return the replacement of a name that would change a result; None for other names."""
    if task is Task.TRAINING and _ENGINE_KEY.fullmatch(word):
        return f"write it into args_options: {word if '.' in word else f'{word}.KEY'} VALUE"
    table = _OF_TRAINING if task is Task.TRAINING else _OF_CANDIDATES
    return table.get(_plain(word))


def remark_on(word: str) -> str | None:
    """Return the replacement of a name that does not change a result; None for other names."""
    return _OF_CONVENIENCE.get(_plain(word))


def _plain(word: str) -> str:
    return word.strip().lstrip("-").replace("-", "_").replace(" ", "_").lower()


WORDS: Mapping[str, str] = _OF_TRAINING | _OF_CANDIDATES | _OF_CONVENIENCE
"""All known names."""
