"""Where this engine knowingly differs from detectron2: the prose of docs/parity.md."""

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
"""Keys that are free in detectron2 and have few values here."""

DIFFERENCES: dict[str, list[str]] = {
    "Arithmetic": [
        "Suppression within classes is exact on any device and for any number of boxes: boxes of "
        "other classes are moved away in double precision. detectron2 (torchvision) switches "
        "between two methods by the number of boxes, and the one for few boxes moves them in "
        "single precision, which rounds large coordinates of the 80th class by up to 0.01 px.",
        "Equal scores keep the order of candidates. detectron2 leaves it to the library's sort, so "
        "ties may rank otherwise.",
        "While training, a frozen batch norm scales the filters of its convolution instead of the "
        "activations: one pass over memory less, and rounding of about 1e-6. `Predictor` and the "
        "exports fold all batch norms. `Predictor`, and the trainer on a CPU, compute many 3x3 "
        "convolutions by Winograd's tiles, which rounds more than the direct sum; the table of "
        "prepared models says how far. `SOLVER.WINOGRAD False` trains by direct sums.",
        "The tables above compare the losses of a first step; `python -m verification.parity` also "
        "those of the next two. Rounding may carry a proposal over the threshold of 0.5 there, so "
        "that it is labelled otherwise: in the recording of Mask R-CNN the second `loss_cls` is "
        "off by 1.9 % (by tiles 3.0 %), about one of its 70 labelled proposals, on this engine's "
        "direct sums as on its tiles. Over 50 steps the curves above stay together.",
        "Feature maps lie channels-last in memory, which lets the convolution library sum in "
        "another order.",
        "Mixed precision (`SOLVER.AMP`) takes bfloat16 where the device has it, without loss "
        "scaling; detectron2 always takes float16. `SOLVER.AMP.DTYPE float16` asks for that; on a "
        "CPU it is bfloat16 all the same, with a warning.",
    ],
    "Training": [
        "The moving loss normaliser of RetinaNet and FCOS is saved, so a resumed run goes on "
        "exactly; detectron2 starts it anew.",
        "The stream of images, and what is drawn for each, depend on `SEED` and the position in "
        "the stream only, never on workers or processes: one seed gives other draws than in "
        "detectron2, but the same ones after a restart.",
        "An image that cannot be read is reported once, counted and replaced by the next; "
        "detectron2 ends with the exception.",
        "Images are resized by torch's antialiasing kernel for bytes: one level of difference from "
        "PIL's in under 1 % of the pixels.",
        "`SyncBN` also trains on a CPU.",
    ],
    "Detection": [
        "Boxes that are not finite are dropped in one-stage models too; detectron2 does so in "
        "two-stage models only.",
        "Test-time augmentation (`TEST.AUG`) works for every architecture; detectron2 has it for "
        "boxes and masks of two-stage models only. Those are equal: views are made by the same "
        "resizing and run in the same batches of three.",
        "`Res5ROIHeads` takes the number of channels from the body, so EfficientNet and RegNet "
        "serve as C4 bodies; detectron2 assumes 1024.",
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
        "Pickled checkpoints are read by an unpickler that can build arrays and plain containers "
        "only; whatever else a file asks for is refused by name, and nothing of it runs.",
        "safetensors files are read, too.",
        "The anchor sizes of RetinaNet's base, a Python expression in the YAML, are evaluated by a "
        "small interpreter for arithmetic and comprehensions.",
        "A whole number may stand for a float in a config and in overrides.",
    ],
}
"""Heading -> sentences."""
