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
_TILES = "write tile_size and tile_overlap, in pixels of the photograph"
_CLASSES = "write class_names: [cat, dog]; their number follows"
_CONFIDENCE = "write conf_threshold"
_READERS = "write num_workers"
_ALGORITHM = "write mining_algorithm"
_OF_INFER = "a training needs none; write conf_threshold into the config.yaml of infer"
_AUGMENTATION = (
    "there is no such augmentation; write args_options: INPUT.COLOR_JITTER 0.4, INPUT.CROP.ENABLED "
    "True or INPUT.MIN_SIZE_TRAIN (480,640,800) for others"
)


def _args(example: str) -> str:
    return f"write args_options: {example}"


def _table(*groups: tuple[str, str]) -> dict[str, str]:
    return {word: advice for words, advice in groups for word in words.split()}


_OF_EVERY_TASK = (
    ("imgsz img_size image_height image_width input_size input_shape img_scale resolution", _SIZE),
    ("image_dim img_dim short_size short_side shorter_side", _SIZE),
    ("slice_size slice_height slice_width crop_size patch_size patch_overlap tile_width", _TILES),
    ("overlap_ratio overlap_height_ratio overlap_width_ratio tile_height tile_stride", _TILES),
    ("batch bs batchsize train_batch_size batch_size_per_gpu samples_per_gpu subdivisions", _BATCH),
    ("ims_per_batch imgs_per_batch images_per_batch imgs_per_gpu images_per_gpu", _BATCH),
    ("mini_batch minibatch mini_batch_size batch_size_train global_batch_size", _BATCH),
    ("names classes class_list class_name labels categories nc num_classes n_classes", _CLASSES),
    ("class_label class_labels label_names category_names label_map label_map_path", _CLASSES),
)

_OF_TRAINING = _table(
    *_OF_EVERY_TASK,
    ("epochs epoch max_epochs num_epochs n_epochs total_epochs train_epochs", _ITERATIONS),
    ("max_epoch n_epoch nepochs nb_epochs num_train_epochs", _ITERATIONS),
    ("steps max_steps num_steps train_steps total_steps max_batches", _ITERATIONS),
    ("iterations iters num_iters max_iters max_iterations", _ITERATIONS),
    ("num_iterations niter n_iter n_iters total_iterations total_iters", _ITERATIONS),
    ("lr lr0 base_lr initial_lr init_lr start_lr max_lr", _RATE),
    ("lrf final_lr end_lr min_lr", _args("SOLVER.BASE_LR_END 0.0001")),
    ("lr_scheduler scheduler lr_schedule cos_lr", _args("SOLVER.LR_SCHEDULER_NAME WarmupCosineLR")),
    ("lr_steps milestones lr_step step_size decay_steps", _args("SOLVER.STEPS (6000,8000)")),
    ("gamma lr_decay", _args("SOLVER.GAMMA 0.1")),
    ("optimizer optim opt optimiser", _args("SOLVER.OPTIMIZER ADAMW")),
    ("momentum", _args("SOLVER.MOMENTUM 0.9")),
    ("weight_decay wd decay", _args("SOLVER.WEIGHT_DECAY 0.0001")),
    ("warmup warmup_iters warmup_iterations warmup_steps", _args("SOLVER.WARMUP_ITERS 1000")),
    ("warmup_epochs", _args("SOLVER.WARMUP_ITERS 1000") + ", in iterations"),
    (
        "clip_grad grad_clip max_grad_norm clip_norm gradient_clip_val",
        _args("SOLVER.CLIP_GRADIENTS.ENABLED True"),
    ),
    ("accumulate accumulation_steps gradient_accumulation", _args("SOLVER.ACCUMULATE 4")),
    ("gradient_accumulation_steps accumulate_grad_batches", _args("SOLVER.ACCUMULATE 4")),
    ("freeze freeze_at", _args("MODEL.BACKBONE.FREEZE_AT 2")),
    ("anchors anchor_sizes", _args("MODEL.ANCHOR_GENERATOR.SIZES [[16],[32],[64],[128],[256]]")),
    ("flip fliplr flipud", _args("INPUT.RANDOM_FLIP horizontal")),
    ("multi_scale multiscale min_size min_sizes", _args("INPUT.MIN_SIZE_TRAIN (480,640,800)")),
    ("color_jitter hsv_h hsv_s hsv_v", _args("INPUT.COLOR_JITTER 0.4")),
    (
        "iou iou_thres iou_threshold nms nms_thresh nms_threshold",
        _args("MODEL.RETINANET.NMS_THRESH_TEST 0.5"),
    ),
    ("max_det max_boxes max_detections", _args("TEST.DETECTIONS_PER_IMAGE 100")),
    ("metric", _args("TEST.METRIC bbox/AP50")),
    ("model model_name model_type arch architecture network backbone backbone_name", _MODEL),
    ("cfg cfg_file model_config config config_path pipeline_config_path", _MODEL),
    ("weights pretrained pretrained_weights pretrain load_from init_weights checkpoint", _WEIGHTS),
    ("fine_tune_checkpoint pretrained_model pretrained_path weights_path init_from", _WEIGHTS),
    ("cfg_options cfg_option options opts", "write args_options"),
    ("fp16 half mixed_precision use_amp", "write amp"),
    ("random_seed manual_seed random_state", "write seed"),
    ("early_stopping early_stop early_stopping_patience", "write patience"),
)

_OF_CANDIDATES = _table(
    *_OF_EVERY_TASK,
    ("conf conf_thres confidence confidence_thresh score_thr score_thresh threshold", _CONFIDENCE),
    ("score_threshold min_score", _CONFIDENCE),
    ("half fp16 dtype", "write precision"),
    ("strategy mining_strategy algorithm", _ALGORITHM),
)

_OF_CONVENIENCE = _table(
    ("workers workers_per_gpu num_workers_per_gpu data_workers dataloader_workers", _READERS),
    ("device devices gpu gpus cuda num_gpus ngpus n_gpu", "gpu_id decides that"),
    (
        "save_period save_interval checkpoint_interval weight_save_interval save_freq save_steps",
        "write checkpoint_period",
    ),
    ("val_interval eval_interval eval_every val_period", "write eval_period"),
    ("val_freq eval_freq eval_steps val_check_interval", "write eval_period"),
    ("data dataset data_yaml train val test", "the index files decide that"),
    ("path data_dir data_root data_path dataset_path dataset_dir", "the index files decide that"),
    ("format annotation_format label_format data_format dataset_type", "write export_format"),
    ("project name exist_ok save_dir output_dir work_dir run_name", "results go to /out"),
    ("output out_dir out results_dir", "results go to /out"),
    ("mosaic mixup copy_paste erasing degrees translate shear perspective scale", _AUGMENTATION),
    ("augment augmentation augmentations transforms close_mosaic", _AUGMENTATION),
    ("conf conf_thres confidence score_thr score_thresh score_threshold min_score", _OF_INFER),
    ("resume resume_from", "the same run started again on its /out resumes by itself"),
    ("opset onnx export_onnx", "write export: onnx for an ONNX file"),
    (
        "iou iou_thres iou_threshold nms nms_thresh nms_threshold",
        "the model keeps that of its training",
    ),
    ("max_det max_boxes max_detections", "the model keeps that of its training"),
)

_ENGINE_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z][A-Z0-9_]*)+|MODEL|SOLVER|INPUT|TEST|DATASETS")


def instead_of(word: str, task: Task) -> str | None:
    """Return the replacement of a name that would change a result; None for other names."""
    if task is Task.TRAINING and _ENGINE_KEY.fullmatch(word):
        return f"write it into args_options: {word if '.' in word else f'{word}.KEY'} VALUE"
    table = _OF_TRAINING if task is Task.TRAINING else _OF_CANDIDATES
    return _looked_up(table, word)


def remark_on(word: str) -> str | None:
    """Return the replacement of a name that does not change a result; None for other names."""
    return _looked_up(_OF_CONVENIENCE, word)


def _looked_up(table: Mapping[str, str], word: str) -> str | None:
    """Look a name up as a whole, then without the section before its last dot (`train.epochs`)."""
    plain = _plain(word)
    return table.get(plain) or table.get(plain.rpartition(".")[2])


def _plain(word: str) -> str:
    return word.strip().lstrip("-").replace("-", "_").replace(" ", "_").lower()


WORDS: Mapping[str, str] = _OF_TRAINING | _OF_CANDIDATES | _OF_CONVENIENCE
"""All known names."""
