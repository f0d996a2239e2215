"""Every key of the config, with its default.

DETECTRON2 holds the 192 keys of detectron2 with its names and numbers; OWN what this engine adds.
Sections of bodies, necks and architectures that detectron2 lacks are declared in their own files.
"""

from typing import Any

from app.engine.config.declared import SECTIONS

DETECTRON2: dict[str, Any] = {
    "VERSION": 2,  # schema number; files of v0/v1 are converted on merge
    "MODEL": {
        "LOAD_PROPOSALS": False,  # take proposals from files; goes with PrecomputedProposals
        "MASK_ON": False,  # build mask head / load masks
        "KEYPOINT_ON": False,  # build keypoint head / load keypoints
        "DEVICE": "cuda",  # torch device
        # also ProposalNetwork, RetinaNet, FCOS, PanopticFPN, SemanticSegmentor
        "META_ARCHITECTURE": "GeneralizedRCNN",
        # path or URL (detectron2://, catalog://, torchvision://, https://); '' = from scratch
        "WEIGHTS": "",
        # per channel, in the order of INPUT.FORMAT; as many as channels
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        # 1 for MSRA weights; 57.375 57.12 58.395 for FAIR X-101 and torchvision
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {
            "NAME": "build_resnet_backbone",  # a body of BODIES, alone or with a neck of NECKS
            "FREEZE_AT": 2,  # 0 none, 1 stem, 2 stem+res2, ... 5; frozen BN layers become FrozenBN
        },
        "FPN": {
            "IN_FEATURES": [],  # bottom-up maps, strides must be consecutive powers of 2
            "OUT_CHANNELS": 256,  # channels of every pN
            "NORM": "",  # ''/GN/SyncBN...; with a norm the convs lose their bias
            "FUSE_TYPE": "sum",  # sum / avg (sum then /2)
        },
        "PROPOSAL_GENERATOR": {
            "NAME": "RPN",  # RPN / PrecomputedProposals
            "MIN_SIZE": 0,  # drop proposals whose w or h <= this (network-input pixels)
        },
        "ANCHOR_GENERATOR": {
            "NAME": "DefaultAnchorGenerator",  # TorchvisionAnchorGenerator for its weights
            # list per level (or one list broadcast) of sqrt(area) in input pixels
            "SIZES": [[32, 64, 128, 256, 512]],
            "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],  # h/w, list per level or broadcast
            "ANGLES": [[-90, 0, 90]],  # rotated boxes only: must stay
            "OFFSET": 0.0,  # first anchor centre = OFFSET*stride (0 = pixel corner)
        },
        "RPN": {
            "HEAD_NAME": "StandardRPNHead",  # the only one
            "IN_FEATURES": ["res4"],  # feature names fed to the RPN
            "BOUNDARY_THRESH": -1,  # ignore anchors that leave the image by more; < 0 = off
            "IOU_THRESHOLDS": [0.3, 0.7],  # [bg, fg] for anchor labels
            "IOU_LABELS": [0, -1, 1],  # labels for the three intervals
            "BATCH_SIZE_PER_IMAGE": 256,  # sampled anchors per image; also the loss divisor
            "POSITIVE_FRACTION": 0.5,  # upper bound share of positives
            "BBOX_REG_LOSS_TYPE": "smooth_l1",  # smooth_l1/giou/diou/ciou
            "BBOX_REG_LOSS_WEIGHT": 1.0,  # extra factor on loss_rpn_loc (times LOSS_WEIGHT)
            "BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),  # delta scaling
            "SMOOTH_L1_BETA": 0.0,  # 0 = L1
            "LOSS_WEIGHT": 1.0,  # factor on both RPN losses
            "PRE_NMS_TOPK_TRAIN": 12000,  # per level, before NMS
            "PRE_NMS_TOPK_TEST": 6000,  # idem at test
            "POST_NMS_TOPK_TRAIN": 2000,  # per image over all levels, after NMS
            "POST_NMS_TOPK_TEST": 1000,  # idem at test
            "NMS_THRESH": 0.7,  # per-level NMS IoU
            "CONV_DIMS": [-1],  # hidden convs; -1 = as the input
        },
        "ROI_HEADS": {
            "NAME": "Res5ROIHeads",  # Res5ROIHeads / StandardROIHeads / CascadeROIHeads
            "NUM_CLASSES": 80,  # foreground classes
            "IN_FEATURES": ["res4"],  # maps used by all heads
            "IOU_THRESHOLDS": [0.5],  # fg threshold
            "IOU_LABELS": [0, 1],  # labels below/above
            "BATCH_SIZE_PER_IMAGE": 512,  # sampled RoIs per image
            "POSITIVE_FRACTION": 0.25,  # max fg share
            "SCORE_THRESH_TEST": 0.05,  # keep score > this
            "NMS_THRESH_TEST": 0.5,  # class-wise NMS IoU
            "PROPOSAL_APPEND_GT": True,  # add GT boxes to proposals in training
        },
        "ROI_BOX_HEAD": {
            "NAME": "",  # '' for C4, else FastRCNNConvFCHead
            "BBOX_REG_LOSS_TYPE": "smooth_l1",  # smooth_l1/giou/diou/ciou
            "BBOX_REG_LOSS_WEIGHT": 1.0,  # factor on loss_box_reg
            "BBOX_REG_WEIGHTS": (10.0, 10.0, 5.0, 5.0),  # delta scaling
            "SMOOTH_L1_BETA": 0.0,  # 0 = L1
            "POOLER_RESOLUTION": 14,  # 7 for FPN/DC5, 14 for C4
            "POOLER_SAMPLING_RATIO": 0,  # 0 = adaptive
            "POOLER_TYPE": "ROIAlignV2",  # ROIAlignV2 (aligned) / ROIAlign / ROIPool
            "NUM_FC": 0,  # hidden FC layers
            "FC_DIM": 1024,  # their width
            "NUM_CONV": 0,  # 3x3 convs before the FCs
            "CONV_DIM": 256,  # their width
            "NORM": "",  # norm for those convs
            "CLS_AGNOSTIC_BBOX_REG": False,  # one box per RoI, not per class; cascades need it
            "TRAIN_ON_PRED_BOXES": False,  # mask/keypoint heads train on refined boxes
            "USE_FED_LOSS": False,  # federated loss (LVIS)
            "USE_SIGMOID_CE": False,  # per-class sigmoid BCE in place of softmax CE
            # exponent on image counts when sampling negative classes
            "FED_LOSS_FREQ_WEIGHT_POWER": 0.5,
            "FED_LOSS_NUM_CLASSES": 50,  # classes kept per step
        },
        "ROI_BOX_CASCADE_HEAD": {
            # one tuple per stage
            "BBOX_REG_WEIGHTS": (
                (10.0, 10.0, 5.0, 5.0),
                (20.0, 20.0, 10.0, 10.0),
                (30.0, 30.0, 15.0, 15.0),
            ),
            # one IoU per stage; first must equal ROI_HEADS.IOU_THRESHOLDS[0]
            "IOUS": (0.5, 0.6, 0.7),
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",  # the only one
            "POOLER_RESOLUTION": 14,  # masks come out at twice this
            "POOLER_SAMPLING_RATIO": 0,  # 0 = adaptive
            "NUM_CONV": 0,  # 4 for FPN/DC5, 0 for C4
            "CONV_DIM": 256,  # conv and deconv width
            "NORM": "",  # norm of convs
            "CLS_AGNOSTIC_MASK": False,  # single mask channel
            "POOLER_TYPE": "ROIAlignV2",  # as box head
        },
        "ROI_KEYPOINT_HEAD": {
            "NAME": "KRCNNConvDeconvUpsampleHead",  # the only one
            "POOLER_RESOLUTION": 14,  # heatmaps come out at four times this
            "POOLER_SAMPLING_RATIO": 0,  # 0 = adaptive
            "CONV_DIMS": (512,) * 8,  # widths of the convs
            "NUM_KEYPOINTS": 17,  # 17 for a COCO person
            "MIN_KEYPOINTS_PER_IMAGE": 1,  # images with fewer visible keypoints leave training
            "NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": True,  # False: by a fixed number
            "LOSS_WEIGHT": 1.0,  # factor on loss_keypoint
            "POOLER_TYPE": "ROIAlignV2",  # as box head
        },
        "SEM_SEG_HEAD": {
            "NAME": "SemSegFPNHead",  # the only one
            "IN_FEATURES": ["p2", "p3", "p4", "p5"],  # levels fused
            "IGNORE_VALUE": 255,  # label without loss; also the padding value
            "NUM_CLASSES": 54,  # 53 stuff + 1 'things' for COCO panoptic-separated
            "CONVS_DIM": 128,  # width
            "COMMON_STRIDE": 4,  # levels are summed at this stride
            "NORM": "GN",  # norm of the convs
            "LOSS_WEIGHT": 1.0,  # factor on loss_sem_seg
        },
        "PANOPTIC_FPN": {
            "INSTANCE_LOSS_WEIGHT": 1.0,  # scales box predictor and mask losses (not RPN)
            "COMBINE": {
                "ENABLED": True,  # False: instances and semantic maps stay apart
                "OVERLAP_THRESH": 0.5,  # skip an instance when the covered share exceeds it
                "STUFF_AREA_LIMIT": 4096,  # smallest stuff region in pixels
                "INSTANCES_CONFIDENCE_THRESH": 0.5,  # smallest instance score
            },
        },
        "RETINANET": {
            "NUM_CLASSES": 80,  # foreground classes
            "IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],  # levels
            "NUM_CONVS": 4,  # tower depth without the last conv
            "IOU_THRESHOLDS": [0.4, 0.5],  # [bg, fg]
            "IOU_LABELS": [0, -1, 1],  # labels per interval
            "PRIOR_PROB": 0.01,  # bias init -log((1-p)/p)
            "SCORE_THRESH_TEST": 0.05,  # keep score > this, per level
            "TOPK_CANDIDATES_TEST": 1000,  # per level before NMS
            "NMS_THRESH_TEST": 0.5,  # class-wise NMS IoU
            "BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),  # delta scaling
            "FOCAL_LOSS_GAMMA": 2.0,  # focal exponent
            "FOCAL_LOSS_ALPHA": 0.25,  # focal balance
            "SMOOTH_L1_LOSS_BETA": 0.1,  # the shipped configs set 0
            "BBOX_REG_LOSS_TYPE": "smooth_l1",  # smooth_l1/giou/diou/ciou
            "NORM": "",  # tower norm (shifts Sequential indices)
        },
        "RESNETS": {
            "DEPTH": 50,  # 18, 34, 50, 101, 152
            "OUT_FEATURES": ["res4"],  # stem, res2 .. res5; later stages are not built
            "NUM_GROUPS": 1,  # 32 for X101-32x8d
            "NORM": "FrozenBN",  # FrozenBN, BN, SyncBN, GN, ...
            "WIDTH_PER_GROUP": 64,  # 8 for 32x8d
            "STRIDE_IN_1X1": True,  # True only for MSRA weights
            "RES5_DILATION": 1,  # 1 or 2; 2 keeps stride 16
            "RES2_OUT_CHANNELS": 256,  # 64 for R18/R34, else 256
            "STEM_OUT_CHANNELS": 64,  # stem width
            "DEFORM_ON_PER_STAGE": [False, False, False, False],  # res2..res5 switch
            "DEFORM_MODULATED": False,  # v2 when True
            "DEFORM_NUM_GROUPS": 1,  # offset groups
        },
    },
    "INPUT": {
        "MIN_SIZE_TRAIN": (800,),  # short edges to choose from, or [low, high] for range
        "MIN_SIZE_TRAIN_SAMPLING": "choice",  # choice / range
        "MAX_SIZE_TRAIN": 1333,  # cap on the long edge
        "MIN_SIZE_TEST": 800,  # 0 = no resize at test
        "MAX_SIZE_TEST": 1333,  # cap on the long edge
        "RANDOM_FLIP": "horizontal",  # horizontal / vertical / none
        "CROP": {
            "ENABLED": False,  # random crop before resize
            "TYPE": "relative_range",  # relative, relative_range, absolute, absolute_range
            "SIZE": [0.9, 0.9],  # share or pixels (h, w)
        },
        "FORMAT": "BGR",  # BGR, RGB, L, ...
        "MASK_FORMAT": "polygon",  # polygon / bitmask
    },
    "DATASETS": {
        "TRAIN": (),  # registered names, concatenated
        "PROPOSAL_FILES_TRAIN": (),  # one file per train set
        "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": 2000,  # keep best N
        "TEST": (),  # evaluated one by one
        "PROPOSAL_FILES_TEST": (),  # one file per test set
        "PRECOMPUTED_PROPOSAL_TOPK_TEST": 1000,  # keep best N
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,  # per process
        "ASPECT_RATIO_GROUPING": True,  # landscape/portrait never share a batch
        # also RepeatFactor-, RandomSubset-, WeightedTrainingSampler
        "SAMPLER_TRAIN": "TrainingSampler",
        "REPEAT_THRESHOLD": 0.0,  # t in max(1, sqrt(t / f)), f = share of images with the class
        "REPEAT_SQRT": True,  # False: without the root
        "FILTER_EMPTY_ANNOTATIONS": True,  # drop training images without non-crowd objects
    },
    "SOLVER": {
        # WarmupMultiStepLR / WarmupCosineLR / WarmupStepWithFixedGammaLR
        "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
        "MAX_ITER": 40000,  # iterations
        "BASE_LR": 0.001,  # for IMS_PER_BATCH images
        "BASE_LR_END": 0.0,  # where the cosine ends
        "MOMENTUM": 0.9,  # SGD
        "NESTEROV": False,  # SGD
        "WEIGHT_DECAY": 0.0001,  # all but norms
        "WEIGHT_DECAY_NORM": 0.0,  # norm-layer parameters
        "GAMMA": 0.1,  # decay factor
        # milestones in iterations; those past MAX_ITER are dropped with a warning
        "STEPS": (30000,),
        "NUM_DECAYS": 3,  # for the fixed-gamma schedule
        "WARMUP_FACTOR": 0.001,  # start multiplier
        "WARMUP_ITERS": 1000,  # length
        "WARMUP_METHOD": "linear",  # linear / constant
        "RESCALE_INTERVAL": False,  # stretch the main schedule over what follows warm-up
        "CHECKPOINT_PERIOD": 5000,  # iterations
        "IMS_PER_BATCH": 16,  # images per iteration over all GPUs
        "REFERENCE_WORLD_SIZE": 0,  # GPUs the numbers were made for: others rescale them; 0 = off
        "BIAS_LR_FACTOR": 1.0,  # legacy, multiplies bias lr
        "WEIGHT_DECAY_BIAS": None,  # None = follow WEIGHT_DECAY
        "CLIP_GRADIENTS": {
            "ENABLED": False,  # inside optimizer.step
            # value or norm, per parameter; full_model: the norm of all together
            "CLIP_TYPE": "value",
            "CLIP_VALUE": 1.0,  # bound
            "NORM_TYPE": 2.0,  # p of the norm
        },
        "AMP": {
            "ENABLED": False,  # autocast in training (and gradient scaling for float16)
        },
    },
    "TEST": {
        "EXPECTED_RESULTS": [],  # [[task, metric, value, tolerance], ...], checked after evaluation
        "EVAL_PERIOD": 0,  # iterations, 0 off (still evaluates at the end)
        "KEYPOINT_OKS_SIGMAS": [],  # [] = COCO's by name, else their mean
        "DETECTIONS_PER_IMAGE": 100,  # best ones kept
        "AUG": {
            "ENABLED": False,  # test-time augmentation
            "MIN_SIZES": (400, 500, 600, 700, 800, 900, 1000, 1100, 1200),  # short edges
            "MAX_SIZE": 4000,  # cap
            "FLIP": True,  # add mirrored copy per scale
        },
        "PRECISE_BN": {
            "ENABLED": False,  # re-estimate BN statistics before evaluation
            "NUM_ITER": 200,  # batches
        },
    },
    "OUTPUT_DIR": "./output",  # run folder; '' = for app.cli that of the config file
    "SEED": -1,  # < 0 = random; rank r takes SEED + r
    "CUDNN_BENCHMARK": False,  # torch.backends.cudnn.benchmark
    "FLOAT32_PRECISION": "",  # '' / highest / high / medium: matrix products on the GPU
    "VIS_PERIOD": 0,  # draw a training batch every so many iterations; 0 = never
    "GLOBAL": {
        "HACK": 1.0,  # nothing reads it; kept for files that set it
    },
}

OWN: dict[str, Any] = {
    "MODEL": {
        "CLASS_NAMES": [],  # names of the foreground classes; travels with a trained model
        "CATEGORY_IDS": [],  # the training data's own number of each; likewise
        "STUFF_NAMES": [],  # classes of the label map, by value; likewise
        "STUFF_IDS": [],  # the training data's own number of each from value 1 on; likewise
        "KEYPOINT_NAMES": [],  # names of the keypoints; likewise. [] = COCO's, where there are 17
        "FPN": {
            # input of P6/P7: '' = the last bottom-up map, 'p5' as FCOS takes it
            "TOP_BLOCK_IN_FEATURE": "",
            "SEPARABLE": False,  # separable convolutions (depthwise, then 1x1) in place of 3x3 ones
        },
        "RPN": {
            "SCORE_THRESH": 0.0,  # drop proposals whose probability of an object is lower
        },
        "RETINANET": {
            "CONV_DIM": 0,  # width of the towers; 0 = FPN channels
            "CLIP_BEFORE_NMS": False,  # clip boxes to the image before NMS, not after it
            "SEPARABLE": False,  # separable convolutions in the towers, 1x1 ones after them
        },
        "RESNETS": {
            "NORM_EPS": 1e-5,  # added to variances; 0 for torchvision's first detectors
        },
    },
    "INPUT": {
        # of integers with more than 8 bits, how many are significant: 2**BITS - 1 is white. 0: not
        # decided (as 16), a training decides it; else 8, 10, 12, 14, 16, 24 or 32
        "BITS_PER_SAMPLE": 0,
        # the value that is white in images of floats. 0: not decided (1 in an image without larger
        # values, 255 in others), a training decides it
        "FLOAT_WHITE": 0.0,
        # (height, width) to which every image is stretched, in place of the resize that keeps
        # proportions by MIN_SIZE_* and MAX_SIZE_*; [] = not
        "FIXED_SIZE": [],
        "COLOR_JITTER": 0.0,  # brightness, contrast and saturation each change by up to this share
        "RECOMPUTE_BOXES": False,  # after a crop, take each box anew from its cut mask
        # mirror images, pairs of names or of indices from 0; [] = told by MODEL.KEYPOINT_NAMES
        "KEYPOINT_FLIP_PAIRS": [],
        "LSJ": {
            # large-scale jitter in place of the resize: rescale, then crop or pad to SIZE
            "ENABLED": False,
            "SIZE": [1024, 1024],  # (height, width) of every training image
            "MIN_SCALE": 0.1,  # smallest factor on the size that fits SIZE
            "MAX_SCALE": 2.0,  # largest factor
        },
        "TILES": {
            # side in pixels of the photograph of the tiles into which larger ones are cut: training
            # takes crops, inference and evaluation merge what is found in all tiles; 0 = never cut
            "SIZE": 0,
            "OVERLAP": 0,  # least number of pixels that neighbours share; 0 = a quarter of SIZE
            "WHOLE_IMAGE": False,  # look at the whole picture, too, for objects above OVERLAP
            # training: least visible share of an object that a crop may cut, of what it can show
            "MIN_VISIBLE": 0.5,
            "RANDOM_SHARE": 0.1,  # training: share of crops that are not placed around an object
        },
    },
    "DATASETS": {
        "TRAIN_REPEAT_FACTOR": [],  # [[name, factor], ...] for WeightedTrainingSampler
        # picture in which boxes of one's own data were drawn: auto / shown / stored / scaled
        "ANNOTATED_FRAME": "auto",
        "ACCEPTED_SMELLS": [],  # names of smells (docs/data.md) that stop no training
    },
    "DATALOADER": {
        "RANDOM_SUBSET_RATIO": 1.0,  # share of images for RandomSubsetTrainingSampler
    },
    "SOLVER": {
        "OPTIMIZER": "SGD",  # SGD / ADAMW
        # minutes that a training takes, evaluations among them: its schedule is fitted to as many
        # iterations as the machine does in that time, MAX_ITER at most; 0 = MAX_ITER iterations
        "MAX_MINUTES": 0.0,
        "ACCUMULATE": 1,  # backward passes per iteration; IMS_PER_BATCH counts all of them
        "DDP_FP16_COMPRESSION": False,  # send gradients between GPUs as float16
        "WINOGRAD": True,  # on a CPU: wide 3x3 convolutions by tiles; False: summed directly
        "AMP": {
            "DTYPE": "auto",  # auto (bfloat16 where the GPU has it) / float16 / bfloat16
        },
        "EMA": {
            "ENABLED": False,  # evaluate and save a moving average of the weights
            "DECAY": 0.999,  # share of the old average kept per iteration, after a warm-up
        },
    },
    "TEST": {
        "METRIC": "bbox/AP50",  # decides which model is best and when PATIENCE runs out
        # with SOLVER.MAX_MINUTES: share of the run between two evaluations; 0 = EVAL_PERIOD decides
        "EVAL_SHARE": 0.0,
        "PATIENCE": 0,  # stop after this many evaluations without a better METRIC; 0 = never
    },
}

for _section, _keys in SECTIONS.items():
    OWN["MODEL"][_section.removeprefix("MODEL.")] = {key: _keys[key][0] for key in _keys}
