"""The sentences of docs/parity.md about where this engine knowingly differs from detectron2."""

NOT_APPLICABLE = {
    "Misc/mmdet_mask_rcnn_R_50_FPN_1x.py": "wraps a model of mmdet, another framework",
    "Misc/torchvision_imagenet_R_50.py": "trains an ImageNet classifier, not a detector",
    "common/models/mask_rcnn_vitdet.py": "a part of detectron2's project ViTDet",
}
"""Entry point of detectron2 -> why this engine has none."""

WITH_STAND_IN = (
    "Their keys were read with torchvision's operator in place of detectron2's compiled one, which "
    "has the same parameters."
)

ONLY = ("MODEL.RESNETS.RES5_DILATION", "MODEL.RPN.HEAD_NAME", "MODEL.ROI_BOX_HEAD.NAME")
"""Keys that take any value in detectron2 and few values here."""

DIFFERENCES: dict[str, list[str]] = {
    "Arithmetic": [
        "Suppression within classes is exact on any device and for any number of boxes: boxes of "
        "other classes are moved away in double precision. detectron2 (torchvision) switches "
        "between two methods by the number of boxes, and the one for few boxes moves them in "
        "single precision, which rounds large coordinates of the 80th class by up to 0.01 px.",
        "Predictions with equal scores keep their order. detectron2 leaves it to the library's "
        "sort, so ties may rank in another order.",
        "In training, a frozen batch norm scales the filters of its convolution instead of the "
        "activations: this saves one pass over memory and rounds by about 1e-6. `Predictor` and "
        "the exports fold all batch norms. `Predictor`, and the trainer on a CPU, compute many 3x3 "
        "convolutions by Winograd's tiles, which round more than the direct sum; the table of "
        "prepared models shows by how much. `SOLVER.WINOGRAD False` trains by direct sums.",
        "The tables above compare the losses of the first step; `python -m verification.parity` "
        "also compares the next two steps. There, rounding may move a proposal across the "
        "threshold of 0.5, which changes its label: in the recording of Mask R-CNN the second "
        "`loss_cls` differs by 1.9 % (with tiles 3.0 %), about one of its 70 labelled proposals. "
        "Over 50 steps the curves above stay together.",
        "Feature maps are channels-last in memory, so the convolution library sums in another "
        "order.",
        "Mixed precision (`SOLVER.AMP`) uses bfloat16 where the device has it, without loss "
        "scaling; detectron2 always uses float16. `SOLVER.AMP.DTYPE float16` chooses that; a CPU "
        "then uses bfloat16 all the same, with a warning.",
    ],
    "Training": [
        "The moving loss normaliser of RetinaNet and FCOS is saved, so a resumed run continues "
        "exactly; detectron2 starts it anew.",
        "The stream of images, and the random draws for each, depend only on `SEED` and the "
        "position in the stream, not on workers or processes: one seed gives other draws than in "
        "detectron2, but the same ones after a restart.",
        "An image that cannot be read is reported once, counted and replaced by the next one; "
        "detectron2 ends with the exception.",
        "The augmentations of a training resize by torch's antialiasing kernel for bytes: one "
        "level of difference from Pillow's in under 1 % of the pixels. Everything that uses a "
        "model (validation, infer, mining, detect) resizes with Pillow, as detectron2 does.",
        "`SyncBN` also trains on a CPU.",
    ],
    "Detection": [
        "Boxes that are not finite are dropped in one-stage models too; detectron2 does so in "
        "two-stage models only.",
        "Test-time augmentation (`TEST.AUG`) works for every architecture; detectron2 has it for "
        "boxes and masks of two-stage models only. Those are equal: views are made by the same "
        "resizing and run in the same batches of three.",
        "`Res5ROIHeads` takes the number of channels from the body, so EfficientNet and RegNet "
        "work as C4 bodies; detectron2 assumes 1024.",
    ],
    "Data and evaluation": [
        "COCO and LVIS numbers come from faster-coco-eval: the same definitions in C++, equal to "
        "pycocotools' and lvis' to the last digit printed.",
        "Cityscapes is evaluated by its scripts' definitions without their package; numbers equal "
        "theirs (`tests/app/engine/evaluation/test_cityscapes.py`). Masks come from "
        "`*_instanceIds.png`; the polygon files are not read. Without mask heads, boxes are "
        "evaluated by COCO's rules.",
        "Boundary IoU of semantic segmentation is computed without OpenCV, and equal.",
        "The package `panopticapi` is not needed for panoptic quality.",
    ],
    "Files": [
        "Pickled checkpoints are read by an unpickler that can build only arrays and plain "
        "containers; every other function or class in a file is refused by name and never runs.",
        "safetensors files are read, too.",
        "The anchor sizes of RetinaNet's base, a Python expression in the YAML, are evaluated by a "
        "small interpreter for arithmetic and comprehensions.",
        "A whole number may stand for a float in a config and in overrides.",
    ],
}
"""Heading -> sentences."""
