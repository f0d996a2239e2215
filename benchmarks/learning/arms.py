"""What is compared: each arm is a config, its changes and the weights that it starts from."""

from dataclasses import dataclass

EDGE = "configs/Mobile/retinanet_mobilenetv2_FPN_edge.yaml"
LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"

COMMON: tuple[str, ...] = (
    *("MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", "8", "SOLVER.AMP.ENABLED", "True"),
    *("SOLVER.EMA.ENABLED", "True", "SOLVER.EMA.DECAY", "0.99", "DATALOADER.NUM_WORKERS", "1"),
    *("TEST.EVAL_PERIOD", "0"),
)
"""Changes of every arm, before its set's and its own."""

OF_SET: dict[str, tuple[str, ...]] = {
    "bccd": (
        *("INPUT.MIN_SIZE_TRAIN", "(312,)", "INPUT.MIN_SIZE_TEST", "312"),
        *("INPUT.COLOR_JITTER", "0.2"),
    ),
    "trees": ("INPUT.COLOR_JITTER", "0.4"),
}

COCO_BODY = "ssd_mobilenet_v2_body.pth"
"""What `python -m benchmarks.learning.coco_body` writes."""
HALF = ("MODEL.PIXEL_MEAN", "[127.5,127.5,127.5]", "MODEL.PIXEL_STD", "[127.5,127.5,127.5]")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train.

    changes  keys and values on top of the config, COMMON and OF_SET
    weights  name in the folder of weights; '' for the config's own
    pace     arms of one pace take the same time for an iteration
    """

    changes: tuple[str, ...] = ()
    weights: str = ""
    config: str = LIGHT
    pace: str = "light"


ARMS: dict[str, Arm] = {
    "imagenet": Arm(),
    "coco-body": Arm(HALF, COCO_BODY),
    "edge-imagenet": Arm(config=EDGE),
    "edge": Arm(HALF, COCO_BODY, config=EDGE),
    "edge-bn": Arm((*HALF, "MODEL.RETINANET.NORM", "BN"), COCO_BODY, config=EDGE),
    "edge-bn-fpn": Arm(
        (*HALF, "MODEL.RETINANET.NORM", "BN", "MODEL.FPN.NORM", "BN"), COCO_BODY, config=EDGE
    ),
}

SECONDS_PER_ITERATION: dict[tuple[str, str], float] = {
    ("bccd", "light"): 0.605,
    ("trees", "light"): 0.605,
}
"""(set, pace) -> seconds of an iteration, alone on the machine of the records."""

START_SECONDS = 5.0
"""Reading, building and the first validation of a training, beside its iterations."""


def iterations(set_name: str, arm: str, minutes: float) -> int:
    """Iterations that a training of `minutes` has time for."""
    pace = SECONDS_PER_ITERATION[set_name, ARMS[arm].pace]
    return max(1, int((minutes * 60 - START_SECONDS) / pace))
