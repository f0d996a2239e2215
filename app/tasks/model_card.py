"""model_card.md of a stage: what the model was trained on, how good it is, how it is used."""

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from app.engine.checkpoint.saved_model import SavedModel
from app.engine.config import CfgNode
from app.engine.data.datasets.account import counts
from app.engine.data.datasets.filters import count_classes, has_object
from app.engine.predictor.onnx_card import OnnxCard
from app.tasks.records import ParsedSet
from common.text import printable
from common.version import VERSION

CARD_FILE = "model_card.md"

_LICENCES = (
    ("torchvision://", "BSD-3-Clause (torchvision; those of its training images may apply)"),
    ("detectron2://", "CC BY-SA 3.0 (detectron2's MODEL_ZOO.md)"),
    ("catalog://ImageNetPretrained/", "CC BY-SA 3.0 (detectron2's MODEL_ZOO.md)"),
)
"""Beginning of MODEL.WEIGHTS -> the licence that the publisher of the weights states."""

_FORMS = "## Exported files"

_FORMS_REMARK = (
    "AP of boxes on the validation images, by ONNX Runtime. The loss is that against the float"
    " file, with the interval that holds it with a probability of 95 %. Agreement: share of the"
    " objects that the engine finds, too. Times are those of single images on the machine that made"
    " the file, which may have been busy."
)

_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "\\`*|<["})

_USE = """\
In photographs, without a container, and with a picture of each in `drawn`:

    detex detect PHOTOGRAPHS --model FOLDER_OF_THIS_FILE --threshold {threshold} --draw drawn

From Python:

    from app.engine import load_model
    found = load_model("FOLDER_OF_THIS_FILE").detect("photo.jpg", threshold={threshold})

On the platform, or with a task's folders (`TASK/in/models` holds the folder of this file,
`TASK/in/candidate-index.tsv` the images):

    docker run --rm -v TASK/in:/in:ro -v TASK/out:/out detection-executor
    detex infer --in TASK/in --out TASK/out
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the cards of a training have in common.

    start           MODEL.WEIGHTS with which the training began
    num_parameters  of the network, buffers not counted
    """

    cfg: CfgNode
    config_file: str
    class_names: Sequence[str]
    start: str
    num_parameters: int
    training: ParsedSet
    validation: ParsedSet

    def text(self, saved: SavedModel, metrics: Mapping[str, float | int]) -> str:
        """The Markdown of a saved model. `metrics` are those of its stage in result.yaml."""
        parts = [
            f"# Model card: iteration {saved.iteration}",
            _table(("", ""), self._model(saved)),
            "## Data",
            _table(("", "training", "validation"), self._data()),
            self._remark_on_data(),
            "## Classes",
            _table(*self._classes(saved)),
            self._remark_on_results(saved, metrics),
            "## Input",
            self._input(),
            "## Use",
            _USE.format(threshold=_threshold(saved)).rstrip(),
            "## Licence",
            self._licence(),
        ]
        return "\n\n".join(parts) + "\n"

    def _model(self, saved: SavedModel) -> list[tuple[str, ...]]:
        model, images = self.cfg.MODEL, self.cfg.SOLVER.IMS_PER_BATCH
        num_used = self._num_used()
        number = saved.iteration * images / max(num_used, 1)
        passes = f"{number:.1f} passes over {num_used} images"
        return [
            ("finds", "boxes and masks" if model.MASK_ON else "boxes"),
            ("architecture", f"{model.META_ARCHITECTURE}, {model.BACKBONE.NAME}"),
            ("config file", self.config_file),
            ("parameters", f"{self.num_parameters:,}"),
            ("trained", f"{saved.iteration} iterations of {images} images: {passes}"),
            ("started from", self.start or "random weights"),
            ("detection-executor", VERSION),
            ("torch, Python", f"{version('torch')}, {platform.python_version()}"),
        ]

    def _data(self) -> list[tuple[str, ...]]:
        """The counts that the log has for both sets."""
        columns = [
            dict(counts(each.num_listed, each.records, each.reading))
            for each in (self.training, self.validation)
        ]
        labels = dict.fromkeys(label for column in columns for label in column)
        order = {label: _order(label) for label in labels}
        return [
            (label, *(str(column.get(label, 0)) for column in columns))
            for label in sorted(labels, key=order.__getitem__)
        ]

    def _remark_on_data(self) -> str:
        if self.cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
            return f"Training used the {self._num_used()} images with objects to learn from."
        return f"Training used all {self._num_used()} usable images."

    def _num_used(self) -> int:
        """The number of training images, of which those without objects may be left out."""
        records = self.training.records
        if not self.cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
            return len(records)
        return sum(map(has_object, records))

    def _classes(self, saved: SavedModel) -> tuple[Sequence[str], list[tuple[str, ...]]]:
        """The head and the rows of the table; results only where there are some."""
        names = list(self.class_names)
        columns: dict[str, list[str]] = {
            "number": [str(number) for number in range(len(names))],
            "class": names,
            "training objects": _counted(self.training, len(names)),
            "validation objects": _counted(self.validation, len(names)),
        }
        if saved.class_results:
            results = [saved.class_results.get(name, {}) for name in names]
            columns["AP"] = [_number(each, "ap") for each in results]
            columns["AP50"] = [_number(each, "ap50") for each in results]
            if self.cfg.MODEL.MASK_ON:
                ap = [{"ap": saved.metrics.get(f"segm/AP-{name}", math.nan)} for name in names]
                columns["AP of masks"] = [_number(each, "ap") for each in ap]
            # A class of which nothing was found rightly has no best threshold.
            best = [each if each.get("best_f1") else {} for each in results]
            columns["best threshold"] = [_number(each, "best_score_thresh", 2) for each in best]
            columns["F1"] = [_number(each, "best_f1", 2) for each in best]
            columns["precision"] = [_number(each, "precision", 2) for each in best]
            columns["recall"] = [_number(each, "recall", 2) for each in best]
        return list(columns), list(zip(*columns.values(), strict=True))

    def _remark_on_results(self, saved: SavedModel, metrics: Mapping[str, float | int]) -> str:
        if not saved.metrics:
            return (
                "The model was not evaluated: mAP in result.yaml is 0 because a number is required."
            )
        what = "masks" if self.cfg.MODEL.MASK_ON and "maskAP" in metrics else "boxes"
        return (
            f"mAP (AP50 of {what}, as in result.yaml): {metrics['mAP']:.4f}. AP and AP50 are"
            " COCO's, in percent, on the validation images. The best threshold of a class is the"
            " score from which on its boxes have the highest F1 at IoU 0.5 there; F1, precision and"
            " recall are those at this threshold. A dash: not defined, since there are no objects"
            " or none was found rightly."
        )

    def _input(self) -> str:
        cfg = self.cfg.INPUT
        side, longest = cfg.MIN_SIZE_TEST, cfg.MAX_SIZE_TEST
        if cfg.FIXED_SIZE:
            size = "stretched to {1} x {0} pixels".format(*cfg.FIXED_SIZE)
        elif side:
            size = f"resized to a short side of {side} pixels and at most {longest} at the long one"
        else:
            size = "not resized"
        mean, std = (
            ", ".join(f"{v:g}" for v in values)
            for values in (self.cfg.MODEL.PIXEL_MEAN, self.cfg.MODEL.PIXEL_STD)
        )
        depth = f" of {cfg.BITS_PER_SAMPLE} bits" if cfg.BITS_PER_SAMPLE else ""
        return (
            f"Images of any size{depth}, {size}; channels in the order"
            f" {cfg.FORMAT}, values 0 to 255 from which the mean ({mean}) is subtracted, divided by"
            f" ({std}). The programs below do this by themselves. Objects of other kinds, or"
            " photographed otherwise than in the training, may be missed or taken for one of the"
            " classes."
        )

    def _licence(self) -> str:
        weights = next(
            (text for begin, text in _LICENCES if self.start.startswith(begin)), "not known here"
        )
        started = f" Licence of the weights that the training started from: {weights}."
        return (
            "Left to the user who trained the model. It may depend on the rights in the images and"
            f" annotations.{started if self.start else ''}"
        )


def with_forms(text: str, cards: Mapping[str, OnnxCard]) -> str:
    """Return the text of a card with a table of the exported files, by name, before the licence."""
    before, _, _ = text.partition(f"\n{_FORMS}\n")
    beginning, heading, licence = text.partition("\n## Licence\n")
    if before == text:
        before = beginning + "\n"
    rows = [
        (
            name,
            _number(card.accuracy, "ap_int8" if card.precision == "int8" else "ap", 2),
            _loss(card.accuracy),
            f"{card.agreement['matched']:.1%}" if card.agreement else "-",
            *(
                _number(_numbers(card.speed), key)
                for key in (f"ms_onnx_{card.precision}", "ms_torch_fp32")
            ),
            _where(card),
        )
        for name, card in cards.items()
    ]
    head = ("file", "AP", "loss of AP", "agreement", "ms an image", "ms in torch", "measured on")
    return f"{before}\n{_FORMS}\n\n{_table(head, rows)}\n\n{_FORMS_REMARK}\n{heading}{licence}"


def _loss(accuracy: Mapping[str, float]) -> str:
    if "ap_loss_low" not in accuracy:
        return _number(accuracy, "ap_loss", 2)
    low, high = accuracy["ap_loss_low"], accuracy["ap_loss_high"]
    return f"{accuracy['ap_loss']:.2f} ({low:.2f} to {high:.2f})"


def _numbers(values: Mapping[str, float | str]) -> dict[str, float]:
    return {key: value for key, value in values.items() if not isinstance(value, str)}


def _where(card: OnnxCard) -> str:
    if not card.speed:
        return "-"
    return f"{card.speed['processor']}, {card.speed['threads']:.0f} threads"


def _order(label: str) -> int:
    """Images before objects, as in the log; what is left out before what is kept."""
    beginnings = (
        *("images listed", "images left out", "images usable", "objects in the files"),
        *("objects dropped", "objects kept"),
    )
    return next(n for n, beginning in enumerate(beginnings) if label.startswith(beginning))


def _counted(parsed: ParsedSet, num_classes: int) -> list[str]:
    return [str(count) for count in count_classes(parsed.records, num_classes)]


def _number(values: Mapping[str, float], key: str, decimals: int = 1) -> str:
    value = values.get(key, math.nan)
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _threshold(saved: SavedModel) -> str:
    """A threshold that suits all classes: the mean of the best ones."""
    best = [each["best_score_thresh"] for each in saved.class_results.values() if each["best_f1"]]
    return f"{sum(best) / len(best):.2f}" if best else "0.3"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return printable(text).translate(_ESCAPED)
