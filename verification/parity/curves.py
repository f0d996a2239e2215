"""The trainings whose losses are followed for fifty iterations: read by both engines.

Order, sizes and flips of the scenes are fixed; both engines draw from the same seed at every
iteration.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from verification import REPOSITORY
from verification.parity import scenes
from verification.parity.golden import Labels
from verification.parity.scenes import Image
from verification.parity.variants import PYRAMID
from verification.parity.weights import Rule

RECORDED = REPOSITORY / "tests" / "parity" / "curves"

# Heads with the usual initial weights: with the strong ones of the other recordings, rounding would
# grow a hundredfold within these iterations, also between two runs of detectron2.
FRESH_HEADS: list[Rule] = [
    (r"^head\.cls_score\.bias$", "affine", (-4.595, 0.0)),
    (r"^head\..*weight$", "conv", (0.48, False)),
    (r"rpn_head\..*weight$", "conv", (0.48, False)),
    (r"rpn_head\.objectness_logits\.bias$", "affine", (0.0, 0.0)),
    (r"box_predictor\.cls_score\.weight$", "conv", (0.32, False)),
    (r"box_predictor\.cls_score\.bias$", "affine", (0.0, 0.0)),
    (r"box_predictor\.bbox_pred\.weight$", "conv", (0.032, False)),
]


@dataclass(frozen=True, slots=True)
class Curve:
    """One training.

    opts    config keys beside the file's; the schedule is detectron2's rule for small batches: an
            eighth of the rate for two images in place of sixteen
    sizes   (height, width) of the images of each batch
    double  both engines compute in float64: rounding stays too small to change a choice (of
            proposals to keep, of examples to draw), so a difference would come from a rule
    judged  False: the difference is only reported
    """

    config: str
    opts: list[Any]
    sizes: Sequence[tuple[int, int]] = ((128, 160), (128, 192))
    double: bool = False
    tolerance: float = 1e-3
    judged: bool = True
    num_classes: int = 80
    iterations: int = 50
    overrides: list[Rule] = field(default_factory=lambda: FRESH_HEADS)

    def batches(self) -> Iterator[list[tuple[Image, Labels]]]:
        """The images of each iteration, flipped or not."""
        random = np.random.RandomState(0)
        for _ in range(self.iterations):
            seeds = random.randint(0, 20, size=len(self.sizes))
            flips = random.randint(0, 2, size=len(self.sizes))
            yield [
                self._scene(int(seed), size, flip=bool(flip))
                for seed, flip, size in zip(seeds, flips, self.sizes, strict=True)
            ]

    def _scene(self, seed: int, size: tuple[int, int], *, flip: bool) -> tuple[Image, Labels]:
        image = scenes.image(*size, seed=seed)
        boxes = scenes.boxes(*size)[seed % 4 :]
        if flip:
            image = np.ascontiguousarray(image[:, ::-1])
            x0, y0, x1, y1 = boxes.T
            boxes = np.stack((size[1] - x1, y0, size[1] - x0, y1), axis=1)
        classes = (np.arange(len(boxes)) * 7 + seed) % self.num_classes
        keypoints = scenes.keypoints(boxes, seed=seed)
        semantic = scenes.semantic(*size, num_classes=54)
        return image, Labels(boxes, classes, scenes.polygons(boxes), keypoints, semantic)


Losses = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded training of detectron2.

    losses  of every iteration
    itself  relative difference of the sum when only the weights' memory is channels-last: the
            same numbers in another order of summation; empty for trainings in float64
    """

    losses: Sequence[Losses]
    itself: list[float]

    @classmethod
    def read(cls, name: str) -> Self:
        """The recording of one of `CURVES`."""
        return cls(**json.loads((RECORDED / f"{name}.json").read_text()))

    def write(self, name: str) -> None:
        """Write a recording for `read`, one iteration per line."""
        lines = ",\n".join(json.dumps(losses) for losses in self.losses)
        text = f'{{"losses": [\n{lines}\n],\n"itself": {json.dumps(self.itself)}}}\n'
        RECORDED.mkdir(exist_ok=True)
        (RECORDED / f"{name}.json").write_text(text)


class InDouble(TorchFunctionMode):
    """While active, every request for float32 gives float64."""

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        torch.set_default_dtype(torch.float64)
        return self

    def __exit__(self, *error: Any) -> None:
        torch.set_default_dtype(torch.float32)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        return func(
            *(_wide(value) for value in args),
            **{key: _wide(value) for key, value in (kwargs or {}).items()},
        )


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
RETINANET = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
ONE_STAGE: list[Any] = [
    *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.BASE_LR", 0.00125, "SOLVER.WARMUP_ITERS", 50)
]
# Half of it, and detectron2's own warm-up over 1000 iterations.
TWO_STAGE: list[Any] = ["SOLVER.IMS_PER_BATCH", 2, "SOLVER.BASE_LR", 0.00125]
# Weaker features for the two-stage heads, whose first layer has 12544 inputs: at full strength
# they overshoot, and a rounding difference grows tenfold with every iteration.
CALM: list[Rule] = [(r"fpn_(lateral|output)\d\.weight$", "conv", (0.5, False)), *FRESH_HEADS]
# detectron2 initialises these layers with a deviation of 0.01: proposals lie near their anchors,
# and rounding moves them too little to cross a threshold. A quarter of the rate keeps it so: a
# change of the weights by 5e-7 then moves a loss by 9e-5 within these iterations, at half the rate
# by 8e-4.
STARTING: list[Rule] = [
    (r"rpn_head\.(objectness_logits|anchor_deltas)\.weight$", "conv", (0.16, False)),
    *CALM,
]
SLOW: list[Any] = [*TWO_STAGE, "SOLVER.BASE_LR", 0.0003]
# detectron2's suppression at 0.7, and its random draws of 256 anchors and 128 proposals.
SAMPLED: list[Any] = ["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 128]
SMALL = ((64, 96), (64, 128))

NARROW: list[Any] = [*TWO_STAGE, *PYRAMID, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32]

CURVES: dict[str, Curve] = {
    "retinanet_R_50_FPN_1x": Curve(RETINANET, ONE_STAGE),
    "faster_rcnn_R_50_FPN_1x": Curve(FASTER, SLOW, sizes=SMALL, overrides=STARTING),
    "faster_rcnn_R_50_FPN_1x_sampled_double": Curve(
        FASTER, [*TWO_STAGE, *SAMPLED], sizes=SMALL, overrides=CALM, double=True, tolerance=1e-9
    ),
    "faster_rcnn_narrow_sampled_double": Curve(
        FASTER, NARROW, sizes=SMALL, num_classes=7, double=True, tolerance=1e-9
    ),
    # The same in float32. The first proposal that rounding adds or removes changes the number from
    # which all examples are drawn; from there on two runs of detectron2 differ as well.
    "faster_rcnn_narrow_sampled": Curve(FASTER, NARROW, sizes=SMALL, num_classes=7, judged=False),
}
