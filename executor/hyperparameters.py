"""config.yaml: the settings of each task, as one pydantic model per task.

Docstrings below fields become the comments of the templates that users see. Values arrive as text
(see limited_yaml) or as numbers; an empty value means "not set", because web forms drop such keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from unicodedata import category, normalize

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from common.limited_yaml import Value
from common.tile_limits import tile_faults
from executor.engine_words import (
    ANNOTATIONS,
    EXPORT_FORMS,
    MINING_ALGORITHMS,
    USERS,
    ExportFormat,
    MiningAlgorithm,
)
from executor.mounts import mounted
from executor.validation import validated
from executor.yaml_reader import read_yaml

MAX_CLASSES = 10_000
MAX_TILE = 32_768

BOXES = 2
INSTANCE_SEGMENTATION = 4


_NO_PART_OF_A_NAME = ("Cc", "Zl", "Zp")
"""Unicode categories: control characters, separators of lines and paragraphs."""


def _as_list(names: Iterable[str]) -> str:
    """Format the first three names as a YAML list for a message."""
    first = list(islice(names, 4))
    return f"[{', '.join(first[:3])}{', ...' if len(first) > 3 else ''}]"


def spoken(words: Sequence[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _listed(value: Any) -> Any:
    """Turn a single path into a list, and map /in as `mounts` does."""
    paths = [value] if isinstance(value, str | Path) else value
    if not isinstance(paths, list | tuple):
        return paths
    return [mounted(str(path)) if isinstance(path, str | Path) else path for path in paths]


def _switch_word(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as false, and platforms write that back."""
    words = {"false": "off", "no": "off", "true": "auto", "yes": "auto", "on": "auto"}
    return words.get(str(value).lower(), value)


_OTHER_FORMATS = {
    ("yolo", "darknet"): (
        "leave this key out where an index file of your own names YOLO label files, which are "
        "recognised; a platform writes ark:raw or voc:raw"
    ),
    ("pascal",): "write voc:raw, or leave this key out",
    ("labelme", "cvat", "label_studio", "labelstudio", "csv", "tfrecord"): (
        "such files are not read as they are; `detex prepare` turns many kinds into a task's folder"
    ),
    ("none", "ls_json", "det-ls-json"): (
        "no annotations would come that way; write ark:raw or voc:raw"
    ),
}
"""Beginnings of what users write for export_format -> what is right."""


def _platform(default: Any) -> Any:
    """A key that the platform sets: not shown in templates."""
    return Field(default, json_schema_extra={"platform": True})


class Hyperparameters(BaseModel):
    """Keys of every task. Those marked `platform` are set by the platform, not by users."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        protected_namespaces=(),
    )

    class_names: tuple[str, ...] = _platform(())
    """Names of the classes; a class is known by its position in this list."""
    gpu_id: str | None = _platform(None)
    """GPUs to use, counted from 0 inside the container: `0,1`; empty for the CPU."""
    object_type: int = _platform(BOXES)
    """2: boxes; 4: instance segmentation."""

    @field_validator("class_names", mode="before")
    @classmethod
    def _a_list_of_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            names = [name.strip() for name in value.replace("\n", ",").split(",")]
            raise ValueError(f"a single text; write a list: {_as_list(filter(None, names))}")
        if isinstance(value, Mapping):
            names = [text for text in value.values() if isinstance(text, str)]
            raise ValueError(f"a mapping; write the names alone, in order: {_as_list(names)}")
        return value

    @field_validator("class_names")
    @classmethod
    def _distinct_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) > MAX_CLASSES:
            raise ValueError(f"{len(names)} classes; at most {MAX_CLASSES} are supported")
        seen: set[str] = set()
        for index, name in enumerate(names):
            if not name:
                raise ValueError(f"item {index} is empty; every class needs a name")
            # The two Unicode forms of one name look the same; `A` and `a` are two classes.
            name = normalize("NFC", name)
            if name in seen:
                raise ValueError(f"{name!r} is listed twice; each class needs its own name")
            seen.add(name)
        return names

    # The three keys belong to every task; each task describes them in its own words.

    @field_validator("image_size", check_fields=False)
    @classmethod
    def _visible(cls, size: int) -> int:
        return _checked_size(size)

    @field_validator("tile_overlap", check_fields=False)
    @classmethod
    def _smaller_than_tiles(cls, overlap: int, info: Any) -> int:
        return _checked_overlap(overlap, info.data.get("tile_size", 0))

    @field_validator("tile_size", check_fields=False)
    @classmethod
    def _large_enough(cls, size: int) -> int:
        return _checked_tiles(size)

    @field_validator("gpu_id", mode="before")
    @classmethod
    def _gpu_numbers(cls, value: Any) -> Any:
        if value in (None, "null", "~"):
            return None
        items = value if isinstance(value, list | tuple) else str(value).split(",")
        texts = [str(item).strip() for item in items if str(item).strip()]
        if not all(text.isascii() and text.isdigit() for text in texts):
            raise ValueError(
                "not a list of GPU numbers; write such as '0,1', or nothing for the CPU"
            )
        numbers = [int(text) for text in texts]
        if len(set(numbers)) < len(numbers):
            raise ValueError("lists a GPU twice")
        return ",".join(map(str, numbers))

    @property
    def gpu_ids(self) -> tuple[int, ...] | None:
        """Numbers of the GPUs to use; () for the CPU, None when nobody chose."""
        if self.gpu_id is None:
            return None
        return tuple(int(number) for number in self.gpu_id.split(",") if number)


class TrainHyperparameters(Hyperparameters):
    """What a training can be told."""

    class_names: tuple[str, ...] = Field(json_schema_extra={"platform": True})
    """Names of the classes to train; a class is known by its position in this list."""
    pretrained_model_params: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = _platform(())
    """Files of the model to start from."""

    batch_size: int = Field(2, ge=1, le=4096)
    """Images per iteration, over all GPUs together."""
    config_file: str = "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    """The model: one of this image's detectron2-style config files."""
    max_iter: int = Field(90000, ge=0, le=100_000_000)
    """Iterations to train; warm-up and decay steps scale with it, unless args_options sets them.
    0: choose for my data, or for `max_minutes`."""
    max_minutes: float = Field(0, ge=0, le=100_000)
    """Minutes that the training may take, evaluations among them: warm-up and decay are fitted to
    the iterations that this machine does in that time, `max_iter` at most. 0: as long as `max_iter`
    iterations take."""
    learning_rate: float = Field(0.001, ge=0, le=100)
    """Learning rate after warm-up, for `batch_size` images. 0: choose for my model and batch."""
    args_options: str = ""
    """More settings in detectron2's words: `--resume`, or `SOLVER.WEIGHT_DECAY 0.0005 ...`."""
    export_format: ExportFormat = Field(
        "",
        json_schema_extra={"template": "ark:raw"},
        description=f"How the platform hands over annotations: {spoken(ANNOTATIONS)}. Left out, "
        "most platforms send voc:raw, which is read as well.",
    )
    annotated_frame: Literal["auto", "shown", "stored", "scaled"] = "auto"
    """The picture in which boxes were drawn, where EXIF turns photographs or the annotated size is
    not the image's: shown (turned), stored (not turned), scaled (of the annotated size); auto:
    shown, and the data is refused where its sizes contradict that."""
    box_corners: Literal["auto", "inclusive", "exclusive"] = "auto"
    """Whether xmax and ymax of voc:raw are the last pixels of an object (inclusive) or the edge
    behind them (exclusive); auto: as the files look."""
    accepted_smells: str = ""
    """Data that looks wrong but is right: comma-separated names from messages of the form
    "smell NAME", which then stop no training."""
    eval_period: int = Field(0, ge=0, le=100_000_000)
    """Iterations between two evaluations, each of which may keep a model. 0: about ten in all."""
    checkpoint_period: int = Field(0, ge=0, le=100_000_000)
    """Iterations between two checkpoints to resume from. 0: about one a minute."""
    num_workers: int = Field(2, ge=0, le=128)
    """Processes that read and augment images, per GPU. 0: none, read in the training itself."""
    image_size: int = Field(0, ge=0, le=8192)
    """Pixels to which the shorter side of images is scaled. 0: as the config file says."""
    tile_size: int = Field(0, ge=0, le=MAX_TILE)
    """Train on square crops of so many pixels from photographs that are larger, and validate, mine
    and infer in overlapping tiles of that size. 0: look at whole images (as the config file
    says)."""
    tile_overlap: int = Field(0, ge=0, le=MAX_TILE)
    """Pixels that neighbouring tiles share at least; objects up to that size are seen whole. 0: a
    quarter of tile_size."""
    amp: Annotated[Literal["auto", "off", "bf16", "fp16"], BeforeValidator(_switch_word)] = "auto"
    """Mixed precision: auto (on GPUs and CPUs that gain by it), off, bf16 or fp16."""
    ema: bool = False
    """Keep a moving average of the weights, and evaluate and save that."""
    patience: int = Field(0, ge=0, le=100_000)
    """Stop after so many evaluations without a better result. 0: never stop early."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Start of all random numbers; the same seed gives the same training."""
    export: str = Field(
        "none",
        description="Forms of the best model to add to its files at the end, comma-separated: "
        f"{', '.join(EXPORT_FORMS.values())}. none: nothing, no time spent.",
    )
    ymir_saved_file_patterns: str = ""
    """Keep only model files whose names match one of these comma-separated patterns (regular
    expressions). Empty: all."""

    @field_validator("export_format", mode="before")
    @classmethod
    def _annotations_that_platforms_write(cls, value: Any) -> Any:
        for words, hint in _OTHER_FORMATS.items():
            if str(value).lower().startswith(words):
                raise ValueError(f"not one of the known words; {hint}")
        return value

    @field_validator("export")
    @classmethod
    def _known_forms(cls, text: str) -> str:
        words = [word.strip() for word in text.split(",")]
        unknown = [word for word in words if word not in ("none", *EXPORT_FORMS)]
        if unknown or ("none" in words and len(words) > 1):
            forms = ("none", *EXPORT_FORMS, ",".join(EXPORT_FORMS))
            raise ValueError(f"not a list of forms; allowed {spoken(forms)}")
        return ",".join(words)

    @property
    def smells(self) -> tuple[str, ...]:
        """What `accepted_smells` lists."""
        return words_of(self.accepted_smells)

    @property
    def export_forms(self) -> tuple[str, ...]:
        """What `export` lists, in the order in which to do it."""
        return tuple(form for form in EXPORT_FORMS if form in self.export.split(","))

    @field_validator("class_names")
    @classmethod
    def _some_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("no class is named; name at least one class to train")
        for index, name in enumerate(names):
            if any(category(char) in _NO_PART_OF_A_NAME for char in name):
                raise ValueError(
                    f"item {index} holds a line end, a tab or another control character; write one "
                    "name for each item"
                )
        return names


class _CandidateTaskHyperparameters(Hyperparameters):
    """Keys that mining and infer share: both run the detector over candidates."""

    model_params_path: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = _platform(())
    """Files of the model to use."""

    conf_threshold: float = Field(0.2, ge=0, le=1)
    """Detections with a lower score are left out (infer)."""
    draw: int = Field(0, ge=0, le=1_000_000)
    """Pictures of so many images, the first ones of the index, with what was found in them, in
    /out/pictures (infer). 0: none."""
    batch_size: int = Field(4, ge=1, le=4096)
    """Images that the detector takes at once. An exported model on the CPU ignores it: each of up
    to four cores takes an image of its own."""
    num_workers: int = Field(2, ge=0, le=128)
    """Processes that read images, per GPU. 0: none, read in the task itself."""
    image_size: int = Field(0, ge=0, le=8192)
    """Pixels to which the shorter side of images is scaled. 0: as in the training."""
    tile_size: int = Field(0, ge=0, le=MAX_TILE)
    """Look at larger photographs in overlapping tiles of so many pixels, each scaled like an image.
    0: as in the training; larger than all images: whole images."""
    tile_overlap: int = Field(0, ge=0, le=MAX_TILE)
    """Pixels that neighbouring tiles share at least; objects up to that size are seen whole. 0: as
    in the training, else a quarter of tile_size."""
    backend: Literal["auto", "torch", "onnxruntime"] = "auto"
    """What computes infer's detections: torch, onnxruntime (a model trained with `export`), or
    auto: an exported model on the CPU, where it finds the same faster, else torch. Mining uses
    torch."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Numbers the detector computes with: fp32 is exact, bf16 and fp16 are faster where hardware
    has them, int8 (infer; a model trained with `export`) is faster still; auto is fp32 on the CPU
    and bf16 on GPUs that have it."""


def _without(option: str) -> list[str]:
    """The mining algorithms that an option does not change."""
    return [name for name in get_args(MiningAlgorithm) if name not in USERS[option]]


class InferHyperparameters(_CandidateTaskHyperparameters):
    """What an inference can be told."""

    @field_validator("precision")
    @classmethod
    def _computed_by_the_backend(cls, precision: str, info: Any) -> str:
        backend = info.data.get("backend")
        if backend == "torch" and precision == "int8":
            raise ValueError("computed by ONNX Runtime alone; set backend to onnxruntime or auto")
        if backend == "onnxruntime" and precision in ("bf16", "fp16"):
            raise ValueError("computed by torch alone; set backend to torch or auto")
        return precision


class MiningHyperparameters(_CandidateTaskHyperparameters):
    """What a mining can be told; holds infer's keys, as runs of both get only this template."""

    mining_algorithm: MiningAlgorithm = Field(
        "entropy", description=f"Which images to label first: {spoken(MINING_ALGORITHMS)}."
    )
    aggregate: Literal["topk", "sum", "mean", "max"] = Field(
        "topk",
        description=f"How an image's doubts become one score ({', '.join(USERS['aggregate'])}): "
        "topk (mean of the five largest), sum (favours crowded images), mean or max.",
    )
    empty_policy: Literal["low", "high"] = Field(
        "low",
        description="Where images without any detection go: low (after the others) or high (before "
        f"them); {spoken(_without('empty_policy'), 'and')} need none.",
    )
    class_distribution_scores: str = Field(
        "",
        description=f"Weights of the classes for {spoken(USERS['class_weights'], 'and')}, "
        "comma-separated, as class_names lists them. Empty: equal.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description=f"Start of the random numbers of {spoken(USERS['seed'], 'and')}.",
    )

    @field_validator("precision")
    @classmethod
    def _computed_by_torch(cls, precision: str) -> str:
        if precision == "int8":
            raise ValueError("for infer alone, and mining is asked for; set auto, fp32 or bf16")
        return precision

    @field_validator("class_distribution_scores")
    @classmethod
    def _one_weight_per_class(cls, text: str, info: Any) -> str:
        weights = _weights(text)
        names = info.data.get("class_names", ())
        if weights and names and len(weights) != len(names):
            raise ValueError(f"{len(weights)} weights for {len(names)} classes; give one for each")
        algorithm, users = info.data.get("mining_algorithm"), USERS["class_weights"]
        if weights and algorithm and algorithm not in users:
            raise ValueError(
                f"weighs classes for {spoken(users, 'and')} only; leave it empty for {algorithm}"
            )
        return text

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """`class_distribution_scores` as numbers; None when not set."""
        return _weights(self.class_distribution_scores) or None


H = TypeVar("H", bound=Hyperparameters)


def load_hyperparameters(path: Path, model: type[H]) -> H:
    """The settings of one task; ConfigError naming every wrong key of `path`."""
    document = read_yaml(path)
    return validated(document, given(document.value), model)


def given(values: Mapping[str, Value]) -> dict[str, Value]:
    """The keys that are set: an empty value is none, except for `gpu_id` (the CPU)."""
    unset = ("", "~", "null", "Null", "NULL")
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}
    return {key: value for key, value in stripped.items() if key == "gpu_id" or value not in unset}


def _checked_size(size: int) -> int:
    if 0 < size < 32:
        raise ValueError("too small; allowed 32 to 8192 pixels, or 0 to leave the choice")
    return size


def _checked_tiles(size: int) -> int:
    for reason in tile_faults(size, 0):
        raise ValueError(reason)
    return size


def _checked_overlap(overlap: int, size: int) -> int:
    for reason in tile_faults(size, overlap):
        raise ValueError(reason)
    return overlap


def _weights(text: str) -> tuple[float, ...]:
    try:
        weights = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError("not numbers separated by commas, such as 1.0,0.5") from error
    if any(not 0 <= weight < float("inf") for weight in weights):
        raise ValueError("a weight is negative or not finite; allowed are numbers from 0")
    if weights and not any(weights):
        raise ValueError("all weights are 0; at least one class must count")
    return weights
