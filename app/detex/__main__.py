"""`detex VERB ...`, also as `python -m app.detex VERB ...`; the statuses of docs/contract.md."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from app.detex.engine_verb import EngineVerb
from common.version import VERSION
from executor.task_words import TaskWord

app = typer.Typer(
    name="detex",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_IN = typer.Option("--in", metavar="DIR", help="the folder that a task calls /in")
_OUT = typer.Option("--out", metavar="DIR", help="the folder that a task calls /out")
_JSON = typer.Option("--json", help="progress and result as JSON lines; the log goes to stderr")
_WORDS = typer.Argument(metavar="...", hidden=True)

In = Annotated[Path, _IN]
Out = Annotated[Path, _OUT]
Json = Annotated[bool, _JSON]
Words = Annotated[list[str] | None, _WORDS]


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"detex {VERSION}, torch {version('torch')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback()
def _detex(
    _: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_say_version, help="Show versions and exit."
        ),
    ] = False,
) -> None:
    """Train object detectors, choose which images to label next, and detect.

    `detex VERB --help` has the options of a verb.
    """


@app.command()
def run(input_dir: In, output_dir: Out, as_json: Json = False) -> None:
    """Do what env.yaml asks for, as the container does it."""
    _run_task("", input_dir, output_dir, as_json=as_json)


@app.command(cls=EngineVerb, context_settings={"ignore_unknown_options": True})
def train(
    words: Words = None,
    input_dir: Annotated[Path | None, _IN] = None,
    output_dir: Annotated[Path | None, _OUT] = None,
    as_json: Json = False,
) -> None:
    """Learn from labelled images.

    Either from a task's folders (--in, --out), which have all settings in config.yaml, or from data
    sets in detectron2's way, whose options follow below.
    """
    from app.detex.engine_verb import run_verb, what_is_wrong

    if input_dir is None and output_dir is None and words:
        if as_json:
            _refuse("--json goes with --in and --out; detectron2's options have no such form")
        raise typer.Exit(run_verb("train", words))
    if words:
        _refuse(what_is_wrong(words))
    if input_dir is None or output_dir is None:
        missing = "--in DIR" if input_dir is None else "--out DIR"
        if input_dir is output_dir:
            missing = "--in DIR and --out DIR, a task's folders, or --config-file FILE"
        _refuse(f"what to train on is not said; add {missing} (`detex train --help`)")
    _run_task("training", input_dir, output_dir, as_json=as_json)


@app.command()
def mine(input_dir: In, output_dir: Out, as_json: Json = False) -> None:
    """Rank unlabelled images: which to label first."""
    _run_task("mining", input_dir, output_dir, as_json=as_json)


@app.command()
def infer(input_dir: In, output_dir: Out, as_json: Json = False) -> None:
    """Detect objects in the images of an index."""
    _run_task("infer", input_dir, output_dir, as_json=as_json)


@app.command()
def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="a folder of COCO, VOC, YOLO, LabelMe, CVAT or Label Studio, or of photographs;"
            " or one annotation file or data.yaml",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the folder to make, for --in")],
    layout: Annotated[
        str, typer.Option("--from", metavar="NAME", help="the layout, if it is not recognised")
    ] = "",
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where the images are, if not in SOURCE")
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="A,B", help="the classes to keep, in this order [all]")
    ] = "",
    split: Annotated[
        Literal["auto", "source", "random", "folder", "time"],
        typer.Option(
            help="how images are divided: as the source does, at random, by whole folders, or the"
            " latest for validation; auto: source, else random"
        ),
    ] = "auto",
    val: Annotated[float, typer.Option(help="share of the images for validation")] = 0.2,
    seed: Annotated[int, typer.Option(help="random numbers of the division")] = 0,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="a trained model to mine, infer or start with"),
    ] = None,
    annotated_frame: Annotated[
        Literal["auto", "shown", "stored", "scaled"],
        typer.Option(help="the picture in which boxes were drawn (docs/data.md)"),
    ] = "auto",
    box_corners: Annotated[
        Literal["auto", "inclusive", "exclusive"],
        typer.Option(help="the maxima of VOC's boxes (docs/data.md)"),
    ] = "auto",
    accepted_smells: Annotated[
        str, typer.Option(metavar="A,B", help="data that looks wrong but is right")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="replace an earlier result")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Make a task's folder from labelled images of any tool."""
    from app.detex.prepare import report
    from app.engine.data.formats import Conventions
    from app.exchange.prepare.request import PrepareRequest

    request = PrepareRequest(
        source=source,
        out=out,
        images=images,
        layout=layout,
        class_names=_names(classes),
        rule=split,
        val=val,
        seed=seed,
        conventions=Conventions(annotated_frame, box_corners),
        accepted_smells=_names(accepted_smells),
        model=model,
        replace=force,
    )
    raise typer.Exit(report(request, as_json=as_json))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_ALL_WORDS = {"ignore_unknown_options": True, "help_option_names": []}


@app.command(cls=EngineVerb, context_settings=_ALL_WORDS)
def evaluate(words: Words = None) -> None:
    """Measure a model on data sets, in detectron2's way."""
    _run_engine("evaluate", words)


@app.command(cls=EngineVerb, context_settings={"ignore_unknown_options": True})
def detect(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS...", help="images, folders, or patterns such as 'a/**/*.jpg'"
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="folder of models, a stage, weights or an .onnx file [out/models]"
        ),
    ] = None,
    threshold: Annotated[float, typer.Option(help="lowest score, 0 to 1")] = 0.3,
    pictures: Annotated[
        Path | None, typer.Option("--draw", metavar="DIR", help="draw what is found; where to")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each image")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="one row for each object")] = False,
    image_size: Annotated[
        int, typer.Option(metavar="PIXELS", help="shorter side; 0: as in the training")
    ] = 0,
    tile_size: Annotated[
        int, typer.Option(metavar="PIXELS", help="cut larger images into such tiles; 0: likewise")
    ] = 0,
    tile_overlap: Annotated[
        int, typer.Option(metavar="PIXELS", help="what tiles share at least; 0: likewise")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0")] = "auto",
) -> None:
    """Find objects in images with a trained model.

    Either in files and folders, or in detectron2's way (--config-file), whose options follow below.
    """
    from app.detex.engine_verb import is_detectron2s, what_is_wrong_with_paths

    if is_detectron2s(words or []):
        if model or pictures or as_json or as_csv or image_size or tile_size or tile_overlap:
            _refuse(
                "--config-file is detectron2's way, which has none of --model, --draw, --json,"
                " --csv, --image-size, --tile-size and --tile-overlap; leave it out, or leave those"
                " out (tiles are INPUT.TILES.SIZE N there)"
            )
        _run_engine("detect", words)
    wrong = what_is_wrong_with_paths(words or [])
    if as_json and as_csv:
        wrong = "--json and --csv are two forms of the same output; give one of them"
    if wrong:
        _refuse(wrong)
    from app.detex.detect import DetectRequest, report

    request = DetectRequest(
        paths=tuple(map(Path, words or [])),
        model=model,
        threshold=threshold,
        pictures=pictures,
        form="json" if as_json else "csv" if as_csv else "table",
        image_size=image_size,
        tile_size=tile_size,
        tile_overlap=tile_overlap,
        device=device,
    )
    raise typer.Exit(report(request))


@app.command(cls=EngineVerb, context_settings=_ALL_WORDS)
def export(words: Words = None) -> None:
    """Write a model for detectron2, ONNX, safetensors."""
    _run_engine("export", words)


@app.command()
def show(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="a task's folder, to see its labels; or the /out of an infer, or its result file",
        ),
    ],
    input_dir: Annotated[
        Path | None,
        typer.Option("--in", metavar="DIR", help="the /in of that infer: its images and labels"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="the folder of pictures to make")
    ] = Path("show"),
    number: Annotated[
        int, typer.Option("--n", min=0, help="pictures of each set, evenly spaced; 0: all")
    ] = 16,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="lowest score of what was found")
    ] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Draw what was labelled, what was found, or both."""
    from app.detex.show import ShowRequest, report

    request = ShowRequest(source, input_dir, out, number, threshold)
    raise typer.Exit(report(request, as_json=as_json))


@app.command()
def check(
    input_dir: Annotated[
        Path, typer.Argument(metavar="IN", help="the folder that a task calls /in")
    ],
    deep: Annotated[bool, typer.Option("--deep", help="decode every image")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="run a few iterations: time and memory")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="status 1 for warnings")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="findings as JSON lines")] = False,
) -> None:
    """Say what is wrong with a task's folder, before a training."""
    from app.detex.check import report

    raise typer.Exit(report(input_dir, deep=deep, measure=measure, strict=strict, as_json=as_json))


@app.command()
def doctor(
    output_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="where results are to go")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Look at this machine: what is ok, and what to do if not."""
    from app.detex.doctor import report

    raise typer.Exit(report(output_dir, as_json=as_json))


@app.command()
def configs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PART OF A NAME]...", help="such as Mobile or mask_rcnn"),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="time each on this machine, as it detects")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each")] = False,
) -> None:
    """List the models: what for, how large, weights at hand or not."""
    from app.detex.configs import report

    raise typer.Exit(report(names or [], measure=measure, as_json=as_json))


@app.command()
def schema(
    task: Annotated[
        TaskWord | None,
        typer.Argument(help="all of them by name, if none is named", show_default=False),
    ] = None,
) -> None:
    """Print the JSON schema of config.yaml."""
    from app.detex.schema import report

    report(task)


@app.command()
def convert(
    result: Annotated[
        Path,
        typer.Argument(metavar="RESULT", help="the /out of an infer task, or a file of detections"),
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="LAYOUT", help="coco, yolo, voc, labelme or cvat")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="the folder to make; else detections-LAYOUT by the result"
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", metavar="SCORE", help="leave off lower scores")
    ] = 0.0,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="the folder of the images")
    ] = None,
    input_dir: Annotated[
        Path | None,
        typer.Option(
            "--in", metavar="DIR", help="in its place: the folder that the task called /in"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="replace what an earlier call has made")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="counts as one JSON object")] = False,
) -> None:
    """Write detections for a labelling tool."""
    from app.detex.convert import report

    raise typer.Exit(
        report(
            result,
            target,
            out=out,
            threshold=threshold,
            images=images,
            input_dir=input_dir,
            replace_out=force,
            as_json=as_json,
        )
    )


def _run_task(task: str, input_dir: Path, output_dir: Path, *, as_json: bool) -> NoReturn:
    from app.detex.task_folders import run_task

    raise typer.Exit(run_task(task, input_dir, output_dir, as_json=as_json))


def _run_engine(verb: str, words: list[str] | None) -> NoReturn:
    from app.detex.engine_verb import run_verb

    raise typer.Exit(run_verb(verb, words or []))


def _refuse(sentence: str) -> NoReturn:
    typer.echo(f"detex: {sentence}", err=True)
    raise typer.Exit(2)


def main() -> None:
    """Ends the process with the verb's status."""
    app(prog_name="detex")


if __name__ == "__main__":
    main()
