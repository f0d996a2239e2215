"""python -m verification.parity.torchvision_detectors [NAME ...] [--save]: beside torchvision's.

torchvision's detectors get seeded weights, which are saved as its users save them, and this
engine loads that file by the detector's config. Both get the same pixels, not resized, and compute
in double precision, because networks of random weights amplify rounding. Masks are compared inside
their boxes, before they are pasted into the image. NAME is a function of
`torchvision.models.detection`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection

from app.engine.checkpoint.load import load_weights
from app.engine.config import load_config
from app.engine.modeling.build import build_blank_detector
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.structures.sample import Sample
from verification.parity import scenes
from verification.parity.check import CONFIGS, arrays
from verification.parity.compare import Array, compare_detections
from verification.parity.curves import InDouble
from verification.parity.weights import ROOT2, RULES, Rule, make_state_dict

SAVED = Path(__file__).with_name("torchvision_detectors.jsonl")

SCORE, BOX = 1e-4, 0.05
"""Largest differences that pass."""

SIZES = ((160, 224), (200, 130))
"""Heights and widths; the cells of the coarsest maps are not a whole stride apart."""

_RULES: tuple[Rule, ...] = (
    (r"body\.(bn1|0\.1)\.running_var$", "affine", (2.0, 0.4)),
    (r"running_var$", "affine", (1.0, 0.5)),
    (r"running_mean$", "affine", (0.0, 0.1)),
    (r"\.bn3\.weight$", "affine", (0.5, 0.2)),
    (r"body\..*\.bn3\.bias$", "affine", (0.0, 0.1)),
    (r"body\..*(bn\d|\.1)\.bias$", "affine", (0.0, 0.3)),
    (r"body\..*weight$", "conv", (ROOT2, True)),
    (r"inner_blocks\..*weight$", "conv", (1.0, True)),
    (r"layer_blocks\..*weight$", "conv", (1.0, False)),
    (r"extra_blocks\.p6\.weight$", "conv", (1.0, True)),
    (r"extra_blocks\.p7\.weight$", "conv", (1.4, True)),
    (r"^rpn\.head\.conv\..*weight$", "conv", (1.4, False)),
    (r"^rpn\.head\.cls_logits\.weight$", "conv", (1.5, True)),
    (r"^rpn\.head\.cls_logits\.bias$", "affine", (-2.0, 0.2)),
    (r"^rpn\.head\.bbox_pred\.weight$", "conv", (0.3, True)),
    (r"^head\.\w+_head\.conv\.0\..*weight$", "conv", (1.4, False)),
    (r"^head\.\w+_head\.conv\..*weight$", "conv", (1.4, True)),
    (r"cls_logits\.weight$", "conv", (1.0, True)),
    (r"cls_logits\.bias$", "affine", (-5.0, 0.5)),
    (r"bbox_reg\.weight$", "conv", (0.25, True)),
    (r"bbox_ctrness\.weight$", "conv", (1.0, True)),
    (r"box_head\.(fc6|0\.0)\.weight$", "conv", (1.4, False)),
    (r"box_head\..*weight$", "conv", (1.4, True)),
    (r"mask_head\.0\.0\.weight$", "conv", (1.4, False)),
    (r"mask_head\..*weight$", "conv", (1.4, True)),
    (r"conv5_mask\.weight$", "conv", (1.4, True)),
    (r"mask_fcn_logits\.weight$", "conv", (4.0, True)),
    (r"keypoint_head\.0\.weight$", "conv", (1.4, False)),
    (r"keypoint_head\..*weight$", "conv", (1.4, True)),
    (r"kps_score_lowres\.weight$", "conv", (2.0, True)),
    (r"box_predictor\.cls_score\.bias$", "affine", (0.0, 0.3)),
    *RULES,
    (r"\.weight$", "affine", (1.0, 0.3)),  # of norms
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A detector of torchvision and the config that describes it.

    name                the function of `torchvision.models.detection`, and of the config
    eps                 what torchvision adds to variances of the published file's batch norms
    rules               further rules for the weights
    options, overrides  arguments of the function, and `KEY VALUE ...` of the config for the same
    """

    name: str
    eps: float = 1e-5
    rules: tuple[Rule, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()


_ONE_CLASS: tuple[Rule, ...] = ((r"box_predictor\.cls_score\.weight$", "conv", (0.6, True)),)


def limited(pair: Pair, proposals: int, detections: int) -> Pair:
    """The two-stage pair with smaller numbers of proposals and detections, which take less time."""
    return replace(
        pair,
        options={
            **pair.options,
            "rpn_post_nms_top_n_test": proposals,
            "box_detections_per_img": detections,
        },
        overrides=(
            *(*pair.overrides, "MODEL.RPN.POST_NMS_TOPK_TEST", str(proposals)),
            *("TEST.DETECTIONS_PER_IMAGE", str(detections)),
        ),
    )


PAIRS = {
    pair.name: pair
    for pair in (
        limited(Pair("fasterrcnn_resnet50_fpn", eps=0.0), 300, 100),
        limited(Pair("fasterrcnn_resnet50_fpn_v2"), 100, 100),
        Pair("fasterrcnn_mobilenet_v3_large_fpn"),
        Pair("fasterrcnn_mobilenet_v3_large_320_fpn"),
        limited(Pair("maskrcnn_resnet50_fpn", eps=0.0), 300, 20),
        limited(Pair("maskrcnn_resnet50_fpn_v2"), 100, 20),
        limited(Pair("keypointrcnn_resnet50_fpn", eps=0.0, rules=_ONE_CLASS), 300, 10),
        Pair("retinanet_resnet50_fpn", eps=0.0),
        Pair("retinanet_resnet50_fpn_v2"),
        Pair("fcos_resnet50_fpn"),
    )
}


@dataclass(frozen=True, slots=True)
class Compared:
    """The largest differences of all images.

    found    number of torchvision's detections
    matched  number of those that this engine finds, too, within the tolerances
    score, box  largest differences; others: masks and keypoints, as in `compare_detections`
    """

    name: str
    found: int
    matched: int
    score: float
    box: float
    others: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every detection agrees."""
        close = self.score <= SCORE and self.box <= BOX
        return close and 0 < self.found == self.matched

    def __str__(self) -> str:
        return (
            f"{'pass' if self.passed else 'FAIL'}  {self.name}  {self.matched} of {self.found}  "
            f"score {self.score:.1e}  box {self.box:.4f} px  {self.others or ''}"
        )


def compare(pair: Pair, sizes: Sequence[tuple[int, int]] = SIZES) -> Compared:
    """Compare torchvision and this engine on a batch of images of the given sizes."""
    with torch.no_grad(), InDouble(), tempfile.TemporaryDirectory() as folder:
        reference = build_reference(pair)
        path = Path(folder) / f"{pair.name}.pth"
        torch.save(reference.state_dict(), path)
        model = build_engine(pair, path).double()
        images = [scenes.image(*size, seed=number) for number, size in enumerate(sizes)]
        largest = list(_comparison(pair.name, reference, model, images))
    return Compared(
        pair.name,
        found=round(sum(each["of"] for each in largest)),
        matched=round(sum(each["matched"] for each in largest)),
        score=max(each["score"] for each in largest),
        box=max(each["box"] for each in largest),
        others={
            key: min(each[key] for each in largest if key in each)
            for key in ("mask_iou", "keypoint_share")
            if any(key in each for each in largest)
        },
    )


def build_reference(pair: Pair) -> Any:
    """torchvision's model with seeded weights, which takes images as they are."""
    build: Callable[..., Any] = getattr(detection, pair.name)
    with _NothingDrawn():
        model = build(weights=None, weights_backbone=None, **pair.options)
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    state = make_state_dict(shapes, overrides=(*pair.rules, *_RULES))
    _keep_background_rare(state)
    model.load_state_dict(state)
    model.double()
    for module in model.backbone.body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = pair.eps
    model.transform.resize = lambda image, target: (image, target)
    model.transform.postprocess = lambda found, *_: found  # masks stay as they are
    if "mobilenet" in pair.name:
        _measure_norms(model)
    return model.eval()


def _measure_norms(model: Any) -> None:
    """Give batch norms the statistics of an image: no rule for the weights keeps all maps small."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    pixels = torch.from_numpy(scenes.image(256, 256, seed=7).transpose(2, 0, 1).copy())
    images, _ = model.transform([pixels.double() / 255])
    model.backbone.train()(images.tensors)


def _keep_background_rare(state: dict[str, Tensor]) -> None:
    """Class 0 is the background: frequent in a softmax, and in sigmoids nothing has it."""
    if (bias := state.get("roi_heads.box_predictor.cls_score.bias")) is not None:
        bias[0] += 2.5 if len(bias) > 2 else 1.0
    if (bias := state.get("head.classification_head.cls_logits.bias")) is not None:
        deltas = next(v for k, v in state.items() if k.endswith("bbox_reg.bias"))
        bias.view(len(deltas) // 4, -1)[:, 0] = -50.0


def build_engine(pair: Pair, weights: Path) -> Detector:
    """This engine's model of the pair's config with the weights of the file."""
    overrides = [*pair.overrides, "MODEL.DEVICE", "cpu"]
    model = build_blank_detector(load_config(CONFIGS / f"torchvision/{pair.name}.yaml", overrides))
    load_weights(model, weights).require_whole()
    return model.eval()


class _NothingDrawn(torch.overrides.TorchFunctionMode):
    """Skips the functions that fill a tensor with random numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _comparison(
    name: str, reference: Any, model: Detector, images: Sequence[scenes.Image]
) -> Iterator[dict[str, float]]:
    pixels = [torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images]
    expected = reference([image.double() / 255 for image in pixels])
    samples = [Sample(image, (image.shape[1], image.shape[2])) for image in pixels]
    found = model.detect_boxes(samples)
    if isinstance(model, GeneralizedRCNN) and model.has_instance_maps:
        maps = model.instance_maps(samples, found)
        found = [of_image.put_into(boxes) for of_image, boxes in zip(maps, found, strict=True)]
    for theirs, ours in zip(expected, found, strict=True):
        if ours.masks is not None:
            ours = replace(ours, masks=ours.masks[:, 0] >= 0.5)
        yield compare_detections(name, _of_torchvision(theirs), arrays(ours)).largest


def _of_torchvision(found: Mapping[str, Tensor]) -> dict[str, Array]:
    """torchvision's results in the engine's form: classes from 0, binary masks, no empty boxes."""
    boxes = found["boxes"]
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    found = {key: value[has_area] for key, value in found.items()}
    result: dict[str, Array] = {
        "boxes": found["boxes"].numpy(),
        "scores": found["scores"].numpy(),
        "classes": found["labels"].numpy() - 1,
    }
    if "masks" in found:
        result["masks"] = found["masks"][:, 0].numpy() >= 0.5
    if "keypoints" in found:
        result["keypoints"] = found["keypoints"].numpy()
    return result


def table(results: Sequence[Compared]) -> Iterator[str]:
    """Lines of Markdown, a row for each detector."""
    yield "| torchvision.models.detection | detections matched | largest score difference |" + (
        " largest box difference, px | other outputs | |"
    )
    yield "|---" * 6 + "|"
    words = {"mask_iou": "mask IoU", "keypoint_share": "keypoints within 1 px"}
    for one in results:
        others = ", ".join(f"{words[key]} {value:.4f}" for key, value in one.others.items()) or "-"
        yield (
            f"| {one.name} | {one.matched} of {one.found} | {one.score:.1e} | {one.box:.4f} "
            f"| {others} | {'pass' if one.passed else 'FAIL'} |"
        )


def main() -> int:
    """Print one line for each detector; 1 when any fails."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.parity.torchvision_detectors", description=__doc__
    )
    parser.add_argument("names", nargs="*", choices=[*PAIRS, []], metavar="NAME")
    parser.add_argument("--save", action="store_true", help=f"keep the figures in {SAVED.name}")
    arguments = parser.parse_args()
    results = []
    for name in arguments.names or PAIRS:
        results.append(compare(PAIRS[name]))
        sys.stdout.write(f"{results[-1]}\n")
        sys.stdout.flush()
    if arguments.save:
        save(results)
    return int(not all(result.passed for result in results))


def save(results: Sequence[Compared]) -> None:
    """Save the figures, a line for each detector; the lines of others stay."""
    rows = {one.name: one for one in (*saved(), *results)}
    lines = (json.dumps(asdict(rows[name])) for name in PAIRS if name in rows)
    SAVED.write_text("".join(f"{line}\n" for line in lines))


def saved() -> list[Compared]:
    """Read the saved figures."""
    lines = SAVED.read_text().splitlines() if SAVED.exists() else []
    return [Compared(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
