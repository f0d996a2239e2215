"""The metrics of evaluations, by their names in TEST.METRIC."""

from collections.abc import Collection, Iterator

from app.engine.config.declared import ARCHITECTURES
from app.engine.config.faults import Fault, Leaves
from app.engine.config.unknown import did_you_mean

DEFAULT = "bbox/AP50"

_BY_SIZE = ("APs", "APm", "APl")
_OF_BOXES = ("AP", "AP50", "AP75", *_BY_SIZE, "AR")

COCO = {
    "bbox": _OF_BOXES,
    "segm": _OF_BOXES,
    "keypoints": ("AP", "AP50", "AP75", "APm", "APl", "AR"),
}
"""Family -> its metrics by COCO's rules."""

_FREQUENCIES = ("APr", "APc", "APf")
OTHERS = {
    "bbox": _FREQUENCIES,
    "segm": _FREQUENCIES,
    "sem_seg": ("mIoU", "fwIoU", "mACC", "pACC", "IoU", "iIoU", "IoU_sup", "iIoU_sup"),
    "panoptic_seg": tuple(f"{q}Q{part}" for q in "PSR" for part in ("", "_th", "_st")),
    "box_proposals": tuple(f"AR{size}@{n}" for n in (100, 1000) for size in ("", "s", "m", "l")),
}
"""Family -> its metrics of LVIS, Cityscapes, label maps and proposals."""

_OF_A_CLASS = ("AP-", "IoU-", "ACC-", "BoundaryIoU-", "min(IoU, B-Iou)-")


def metric_faults(leaves: Leaves, *, class_names: Collection[str] | None = None) -> Iterator[Fault]:
    """Yield a fault if the evaluations of the model do not compute TEST.METRIC.

    class_names  of a data set that is evaluated by COCO's rules; None: any data set
    """
    key = "TEST.METRIC"
    metric: str = leaves[key]
    if metric == DEFAULT:  # the default is no fault, even for networks without boxes
        return
    rules = (COCO,) if class_names is not None else (COCO, OTHERS)
    families = _families(leaves)
    known = [f"{t}/{name}" for t in families for table in rules for name in table.get(t, ())]
    family, _, name = metric.partition("/")
    if metric in known or (family in families and _names_a_class(name, class_names)):
        return
    each = ""
    if class_names is None or len(class_names) > 1:
        each = f", or {families[0]}/AP-NAME for a class of this name"
    near = [k for k in known if k.startswith(metric) or k.endswith(f"/{metric}")][:1]
    hint = f"; did you mean {near[0]}?" if near else did_you_mean(metric, known)
    yield Fault(
        key,
        f"{key} is {metric!r}, which this model does not have; choose {', '.join(known)}{each}"
        f"{hint}",
    )


def _families(leaves: Leaves) -> list[str]:
    tasks = list(ARCHITECTURES[leaves["MODEL.META_ARCHITECTURE"]].results)
    inside = [("MODEL.MASK_ON", "segm"), ("MODEL.KEYPOINT_ON", "keypoints")]
    if "bbox" in tasks:
        tasks[1:1] = [task for key, task in inside if leaves[key]]
    return tasks


def _names_a_class(name: str, class_names: Collection[str] | None) -> bool:
    if class_names is None:
        return name.startswith(_OF_A_CLASS)
    # With a single class there is no metric per class: it equals that of all classes.
    return len(class_names) > 1 and name.startswith("AP-") and name[3:] in class_names
