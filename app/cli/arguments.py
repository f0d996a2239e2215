"""The command line: one set of options for all verbs, then `KEY VALUE` pairs for the config."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from app.places import CONFIG_ROOT

VERBS = {
    "train": "learn from DATASETS.TRAIN, evaluate on DATASETS.TEST",
    "evaluate": "measure MODEL.WEIGHTS on DATASETS.TEST; results files go to OUTPUT/inference",
    "detect": "write what MODEL.WEIGHTS finds in images to OUTPUT/detections",
    "export": "write MODEL.WEIGHTS for other programs: detectron2, ONNX, ...",
}


@dataclass(frozen=True)
class Options:
    """The parsed options.

    config_file   YAML, as a path or below configs/
    data          folder that holds coco/, lvis/, VOC2007/, cityscapes/, ...; None: not given
    output        None: the config's OUTPUT_DIR
    weights_dirs  folders that are searched first for MODEL.WEIGHTS
    coco          the user's own data sets: name, JSON file, folder of images
    inputs        images and folders of images (detect; export compares and calibrates on them)
    formats       kinds of files to export
    input_size    HxW of the only image that a raw file takes; None: any images
    opset         version of ONNX's operators in a raw file; 0: that of the other files
    overrides     KEY VALUE KEY VALUE ...
    """

    verb: str
    config_file: str
    overrides: tuple[str, ...] = ()
    data: Path | None = None
    output: Path | None = None
    weights_dirs: tuple[Path, ...] = ()
    coco: tuple[tuple[str, Path, Path], ...] = ()
    resume: bool = False
    num_gpus: int = 1
    inputs: tuple[Path, ...] = ()
    formats: tuple[str, ...] = ()
    input_size: tuple[int, int] | None = None
    opset: int = 0

    def sets(self, key: str) -> bool:
        """Whether the command line sets this key of the config."""
        return key in self.overrides[::2]

    @property
    def config_path(self) -> Path:
        """The path `config_file`, or else the same name below configs/, as in detectron2's zoo."""
        named = Path(self.config_file)
        candidates = [named, CONFIG_ROOT / named, CONFIG_ROOT / "configs" / named]
        return next((path for path in candidates if path.is_file()), named)

    @property
    def data_root(self) -> Path:
        """`--data`, else the default folder of detectron2."""
        return self.data or Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))


def parse(arguments: Sequence[str], *, prog: str = "app.cli") -> Options:
    """Parse a command line; invalid options end the program with status 2."""
    parser = argparse.ArgumentParser(prog=prog)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, help_text in VERBS.items():
        _add_options(verbs.add_parser(verb, help=help_text, description=help_text), verb)
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse_option(verbs.choices[parsed.verb], unknown[0].partition("=")[0])
    given: dict[str, Any] = vars(parsed)
    names = [name for name, *_ in given["coco"]]
    if len(set(names)) < len(names):
        parser.error("--coco gives two data sets one name; give each its own")
    given["coco"] = [(name, Path(json), Path(images)) for name, json, images in given["coco"]]
    for key, value in given.items():
        given[key] = tuple(value) if isinstance(value, list) else value
    return Options(**given)


def _size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH; ValueError if it is none."""
    height, width = (int(side) for side in text.split("x"))
    if min(height, width) <= 0:
        raise ValueError(text)
    return height, width


def _refuse_option(parser: argparse.ArgumentParser, flag: str) -> NoReturn:
    near = get_close_matches(flag, parser._option_string_actions, n=1)
    advice = f"did you mean {near[0]}?" if near else f"`{parser.prog} --help` lists the options"
    parser.error(f"there is no option {flag}; {advice}")


def verb_parser(verb: str, *, prog: str = "app.cli") -> argparse.ArgumentParser:
    """Return the parser of one verb, so that another command can show and complete its options."""
    parser = argparse.ArgumentParser(prog=f"{prog} {verb}", add_help=False)
    _add_options(parser, verb)
    return parser


def _add_options(parser: argparse.ArgumentParser, verb: str) -> None:
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="YAML, also of configs/")
    add("--output", type=Path, metavar="DIR", help="in place of OUTPUT_DIR")
    add(
        "--data",
        metavar="ROOT",
        type=Path,
        help="folder of coco/, lvis/, VOC2007/, ... (else $DETECTRON2_DATASETS, else datasets)",
    )
    add(
        "--coco",
        metavar=("NAME", "JSON", "IMAGES"),
        nargs=3,
        action="append",
        default=[],
        help="a data set of your own in COCO's format; the first one is learnt from, those after it"
        " are measured, unless DATASETS.TRAIN and DATASETS.TEST name them",
    )
    add(
        "--weights-dir",
        metavar="DIR",
        dest="weights_dirs",
        type=Path,
        action="append",
        default=[],
        help="look for MODEL.WEIGHTS here first; may be repeated",
    )
    if verb in ("train", "evaluate"):
        text = {"train": "go on from OUTPUT/checkpoints", "evaluate": "use OUTPUT/model_final.pth"}
        add("--resume", action="store_true", help=text[verb])
    if verb == "train":
        add("--num-gpus", type=int, default=1, metavar="N", help="when MODEL.DEVICE is cuda")
    if verb in ("detect", "export"):
        text = {"detect": "to look at", "export": "to compare with the engine and calibrate on"}
        add(
            "--input",
            metavar="PATH",
            dest="inputs",
            type=Path,
            action="append",
            required=verb == "detect",
            default=[],
            help=f"an image or a folder of images {text[verb]}; may be repeated",
        )
    if verb == "export":
        add(
            "--format",
            metavar="NAMES",
            dest="formats",
            type=lambda text: text.split(","),
            default=["detectron2"],
            help="any of detectron2, safetensors, onnx, int8, onnx-raw, separated by commas"
            " (detectron2)",
        )
        add(
            "--input-size",
            metavar="HxW",
            type=_size,
            help="onnx-raw: the file takes one image of this size (batches of any size)",
        )
        add(
            "--opset",
            type=int,
            choices=range(13, 19),
            default=0,
            metavar="13..18",
            help="onnx-raw: version of ONNX's operators (18)",
        )
    add("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="keys of the config")
