"""37 mistakes of users, and their siblings: each is told with its place and a remedy."""

import shutil
from collections.abc import Callable

import pytest
from PIL import Image

from app.check import Severity
from tests.app.check.conftest import (
    SIZE,
    TAB,
    Check,
    Folder,
    boxes_of,
    shares,
    xywh,
)
from verification.reliability.trees import save_untrained

Change = Callable[[Folder], object]

E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE


def row(
    change: Change, severity: Severity, place: str, words: str, remedy: str, *, id: str
) -> object:
    """A mistake, and a finding about it: its severity, part of its place, words of its sentence,
    words of its remedy.
    """
    return pytest.param(change, severity, place, words, remedy, id=id)


def settings(**changed: object) -> Change:
    return lambda folder: folder.set(**changed)


def config(text: str) -> Change:
    """Add lines to config.yaml."""
    return lambda folder: folder.write("config.yaml", folder.text("config.yaml") + text)


def _infer(folder: Folder) -> None:
    folder.write("env.yaml", "run_infer: true\n")
    folder.write("config.yaml", "class_names: [RBC, WBC, Platelets]\ngpu_id: ''\n")
    folder.write("candidate-index.tsv", "/in/assets/0.png\n")


def _text_images(folder: Folder) -> None:
    folder.write("candidate-index.tsv", "/in/annotations/0.txt\n")


def _backbone_as_model(folder: Folder) -> None:
    import torch

    (folder.path / "models").mkdir()
    torch.save({"features.0.weight": torch.zeros(3)}, folder.path / "models/mobilenet.pth")
    folder.set(pretrained_model_params=["/in/models/mobilenet.pth"])


def _few_images(folder: Folder) -> None:
    folder.write("train-index.tsv", "".join(folder.text("train-index.tsv").splitlines(True)[:8]))


def _without_three(folder: Folder) -> None:
    _few_images(folder)
    for number in range(3):
        (folder.path / f"assets/{number}.png").unlink()


def _same_sets(folder: Folder) -> None:
    shutil.copy(folder.path / "train-index.tsv", folder.path / "val-index.tsv")


def _copies(folder: Folder) -> None:
    for number in range(16, 19):
        shutil.copy(folder.path / f"assets/{number - 16}.png", folder.path / f"assets/{number}.png")


def _half_size_copies(folder: Folder) -> None:
    """Three validation images are training images at half the size, with their labels."""
    lines = ""
    for number in range(3):
        with Image.open(folder.path / f"assets/{number}.png") as image:
            image.resize((SIZE[0] // 2, SIZE[1] // 2)).save(folder.path / f"assets/{number}b.png")
        corners = ((c, *(v // 2 for v in box)) for c, *box in boxes_of(number))
        text = "".join(f"{','.join(map(str, box))}\n" for box in corners)
        folder.write(f"annotations/{number}b.txt", text)
        lines += f"/in/assets/{number}b.png\t/in/annotations/{number}b.txt\n"
    folder.write("val-index.tsv", folder.text("val-index.tsv") + lines)


def _one_of_ten(folder: Folder) -> None:
    """A class of which the training set has three objects."""
    rare = iter(range(3))
    folder.ark(lambda box: box if box[0] != 2 or next(rare, None) is not None else (0, *box[1:]))


def _other_size(folder: Folder) -> None:
    """Images were resized to a half after they were labelled."""
    for path in (folder.path / "assets").glob("*.png"):
        with Image.open(path) as image:
            image.resize((SIZE[0] // 2, SIZE[1] // 2)).save(path)


def _lower_case(folder: Folder) -> None:
    folder.voc()
    folder.set(class_names=["rbc", "wbc", "platelets"])


def _class_left_out(folder: Folder) -> None:
    folder.voc()
    folder.set(class_names=["RBC", "WBC"])


def _corner_of_centre(box: object) -> tuple[float, ...]:
    index, x, y, width, height = shares(box)  # type: ignore[arg-type]
    return index, x * SIZE[0], y * SIZE[1], width * SIZE[0], height * SIZE[1]


CONFIG = "config.yaml:"
INDEX = "train-index.tsv"

ROWS = [
    row(config("bacth_size: 4\n"), E, CONFIG, "bacth_size", "did you mean 'batch_size'", id="1"),
    row(config("epochs: 3\n"), E, CONFIG, "epochs", "max_iter", id="2 epochs"),
    row(config("lr: 0.1\n"), E, CONFIG, "lr: not a key", "learning_rate", id="2 lr"),
    row(config("imgsz: 640\n"), E, CONFIG, "imgsz", "image_size", id="2 imgsz"),
    row(config("model: yolov8n.pt\n"), E, CONFIG, "model", "config_file", id="2 model"),
    row(settings(batch_size="many"), E, CONFIG, "not an integer", "from 1 to 4096", id="3"),
    row(settings(learning_rate="fast"), E, CONFIG, "not a number", "allowed a number", id="3 rate"),
    row(
        settings(max_iter="1e3x"), E, CONFIG, "not an integer", "leave it out for 90000", id="3 it"
    ),
    row(settings(learning_rate=10), W, CONFIG, "may diverge", "learning_rate", id="4"),
    row(settings(image_size=99999), E, CONFIG, "too large", "8192", id="5"),
    row(settings(batch_size=-4), E, CONFIG, "too small", "from 1", id="6"),
    row(
        settings(config_file="configs/Mobile/retinanet_mobilenetv2_FPN_lite.yaml"),
        E,
        CONFIG,
        "is no file",
        "retinanet_mobilenetv2_FPN_light",
        id="7",
    ),
    row(settings(config_file="yolov8n.yaml"), E, CONFIG, "yolov8n", "configs/Mobile/", id="8"),
    row(config("export:\n\tnone\n"), E, CONFIG, "tab", "use spaces", id="9"),
    row(config("batch_size: 4\n"), E, CONFIG, "written twice (first in line", "take one", id="10"),
    row(settings(class_names=None), E, CONFIG, "missing", "add this key", id="11"),
    row(settings(class_names="RBC, WBC"), E, CONFIG, "a single text", "[RBC, WBC]", id="12"),
    row(lambda f: f.write(INDEX, ""), E, INDEX, "is empty", "choose a training set", id="13"),
    row(lambda f: (f.path / INDEX).unlink(), E, INDEX, "cannot be read", "check what", id="14"),
    row(
        lambda f: f.relist(lambda s: s.replace(TAB, " ")), W, INDEX, "TAB", "write one TAB", id="15"
    ),
    row(
        lambda f: f.relist(lambda s: TAB.join(reversed(s.split(TAB)))),
        E,
        INDEX,
        "columns are swapped",
        "write the image's path, a TAB",
        id="16",
    ),
    row(
        lambda f: f.relist(lambda s: s.replace("/in/", "/home/me/data/")),
        E,
        INDEX,
        "there is no folder /home/me",
        "mount it",
        id="17",
    ),
    row(
        lambda f: f.write("env.yaml", "run_train: true\n"),
        E,
        "env.yaml",
        "run_train",
        "run_training",
        id="18",
    ),
    row(
        lambda f: (_infer(f), f.write("config.yaml", "conf_threshold: -0.5\n")),
        E,
        CONFIG,
        "conf_threshold",
        "from 0",
        id="19",
    ),
    row(_infer, E, "models", "no weights found", "choose a model", id="20"),
    row(config("patience 5\n"), E, CONFIG, "without a colon", "key: value", id="21"),
    row(
        settings(args_options="SOLVER.WEIGHT_DECY 0.1"), E, CONFIG, "DECY", "WEIGHT_DECAY", id="22"
    ),
    row(settings(class_names=["a", "b", "a"]), E, CONFIG, "listed twice", "own name", id="23"),
    row(_lower_case, W, INDEX, "another case", "class_names", id="24"),
    row(_class_left_out, W, INDEX, "unknown class", "class_names", id="25"),
    row(
        lambda f: f.ark(lambda box: (box[0], *xywh(box))),
        E,
        INDEX,
        "smell xywh-boxes",
        "write xmin ymin xmax ymax",
        id="26",
    ),
    row(
        lambda f: f.ark(lambda box: (box[0] + 1, *box[1:])),
        E,
        INDEX,
        "numbered 1 to 3",
        "number them from 0",
        id="27",
    ),
    row(
        _same_sets, W, "val-index.tsv", "16 of 16 validation images", "validate on others", id="28"
    ),
    row(_without_three, E, INDEX, "3 of 8 images", "repair the data set", id="29"),
    row(settings(export_format="voc:raw"), W, INDEX, "reading them as ark", "ark:raw", id="30"),
    row(
        lambda f: (f.yolo(), f.set(export_format=None)),
        N,
        INDEX,
        "read as YOLO",
        "order of classes",
        id="31",
    ),
    row(lambda f: (f.yolo(), f.set(export_format="ark:raw")), W, INDEX, "YOLO", "leave", id="32"),
    row(
        lambda f: (
            f.coco(lambda box: (*box[1:3], box[3] + 1, box[4] + 1)),
            f.set(export_format="coco:raw"),
        ),
        E,
        INDEX,
        "smell xyxy-boxes",
        "correct the file",
        id="33",
    ),
    row(settings(batch_size=4096), W, CONFIG, "more than the 16 training images", "suits", id="34"),
    row(settings(export_format="yolo:raw"), E, CONFIG, "yolo:raw", "leave this key out", id="35"),
    row(
        lambda f: (f.coco(xywh), f.set(export_format="voc:raw")),
        W,
        INDEX,
        "reading them as coco",
        "coco:raw",
        id="36",
    ),
    row(_backbone_as_model, E, "mobilenet.pth", "", "", id="37"),
]


VAL = "val-index.tsv"

SIBLINGS = [
    row(config("train:\n  lr: 1\nbs: 4\n"), E, CONFIG, "bs: not a key", "batch_size", id="bs"),
    row(config("mosaic: 1\n"), W, CONFIG, "mosaic", "INPUT.COLOR_JITTER", id="mosaic"),
    row(config("rect: 1\n"), W, CONFIG, "has no effect", "schema", id="a word of nobody"),
    row(config("patience:5\n"), E, CONFIG, "no blank after the colon", "key: value", id="no blank"),
    row(config("patience = 5\n"), E, CONFIG, "an equals sign", "key: value", id="equals sign"),
    row(settings(learning_rate=1e-7), W, CONFIG, "times less", "learning_rate: 0", id="small rate"),
    row(settings(max_iter=5), W, "config.yaml", "of a pass", "max_iter to 288", id="few passes"),
    row(settings(max_iter=9000), W, "config.yaml", "1125 passes", "max_iter", id="many passes"),
    row(
        settings(ymir_saved_file_patterns="*.pth"),
        W,
        "config.yaml",
        "is skipped",
        "regular expressions",
        id="no pattern",
    ),
    row(
        settings(ymir_saved_file_patterns=r"\.pth$"),
        W,
        "config.yaml",
        "leaves out config.yaml",
        "add",
        id="patterns without the config",
    ),
    row(
        settings(config_file="configs/Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml"),
        E,
        INDEX,
        "learns masks but the annotations hold boxes",
        "COCO-Detection",
        id="a model of masks",
    ),
    row(
        lambda f: (_infer(f), save_untrained(f.path / "models"), _text_images(f)),
        E,
        "candidate-index.tsv",
        "none of 1 images can be read",
        "replace the file",
        id="candidates that are no images",
    ),
    row(
        lambda f: (_infer(f), save_untrained(f.path / "models")),
        W,
        "config.yaml",
        "are not the model's (red box, blue box)",
        "change it",
        id="other classes than the model's",
    ),
    row(settings(gpu_id="cuda:0"), E, CONFIG, "not a list of GPU", "for the CPU", id="device"),
    row(settings(gpu_id="63"), E, "config.yaml", "GPU 63", "leave gpu_id empty", id="no such GPU"),
    row(settings(export_format="pascal_voc"), E, CONFIG, "pascal_voc", "voc:raw", id="Pascal"),
    row(settings(export_format="labelme"), E, CONFIG, "labelme", "detex prepare", id="LabelMe"),
    row(
        settings(class_names=["background", "RBC", "WBC", "Platelets"]),
        W,
        CONFIG,
        "background",
        "take it out",
        id="background",
    ),
    row(
        settings(args_options="MODEL.WEIGHTS /in/models/no.pth"),
        E,
        "config.yaml",
        "there is no such file",
        "MODEL.WEIGHTS",
        id="weights missing",
    ),
    row(lambda f: f.relist(lambda s: s.replace(TAB, ",")), W, INDEX, "TAB", "one TAB", id="commas"),
    row(
        lambda f: f.relist(lambda s: f"7{TAB}{s}"), E, INDEX, "columns", "image's path", id="number"
    ),
    row(
        lambda f: f.relist(lambda s: s.replace("/in/", "C:\\data\\")),
        E,
        INDEX,
        "a path of Windows",
        "write the paths as they are",
        id="Windows",
    ),
    row(
        lambda f: shutil.rmtree(f.path / "assets"),
        E,
        INDEX,
        "no folder",
        "mount it",
        id="no folder",
    ),
    row(
        lambda f: f.relist(lambda s: s.split(TAB)[0]), E, INDEX, "no line", "a TAB", id="one column"
    ),
    row(
        lambda f: f.write(
            INDEX,
            "".join(f"/in/assets/{n}.png{TAB}/in/annotations/{n ^ 1}.txt\n" for n in range(16)),
        ),
        W,
        INDEX,
        "16 of 16 lines pair an image",
        "its own name",
        id="labels of other images",
    ),
    row(lambda f: (f.path / VAL).unlink(), W, VAL, "no validation", "labelled", id="no validation"),
    row(_copies, W, VAL, "3 of 6 validation images", "others", id="copies"),
    row(_half_size_copies, W, VAL, "near-duplicates", "split by scene", id="near-duplicates"),
    row(_other_size, E, INDEX, "images 2 times as large", "correct", id="labels of other sizes"),
    row(_one_of_ten, W, INDEX, "fewer than 10 objects of Platelets", "label more", id="rare class"),
    row(
        lambda f: f.ark(lambda box: (0, *box[1:])),
        W,
        INDEX,
        "no object of WBC, Platelets",
        "label such objects",
        id="classes without objects",
    ),
    row(
        settings(class_names=["RBC", "WBC"]),
        W,
        INDEX,
        "class numbers up to 2",
        "all of its names",
        id="a class left out of numbered labels",
    ),
    row(
        lambda f: f.yolo(lambda box: (box[0] + 1, *shares(box)[1:])),
        E,
        INDEX,
        "numbered 1 to 3",
        "number them from 0",
        id="YOLO from 1",
    ),
    row(
        lambda f: f.yolo(lambda box: box),
        E,
        "annotations",
        "no shares of the image",
        "divide x and width",
        id="YOLO in pixels",
    ),
    row(
        lambda f: f.coco(xywh, ids=1), E, INDEX, "category-ids-shifted", "correct the ids", id="ids"
    ),
    row(
        lambda f: f.voc(lambda box: (box[0], *(v / 2 for v in box[1:]))),
        W,
        INDEX,
        "smaller copies",
        "scale the numbers",
        id="labels of half the size",
    ),
    row(
        lambda f: (f.voc(), f.set(class_names=["RBC", "WBS", "Platelets"])),
        W,
        INDEX,
        "unknown class",
        "write WBC for WBS",
        id="a name misspelt",
    ),
    row(
        lambda f: f.set(image_size=32),
        W,
        "config.yaml",
        "smaller than 8 x 8 pixels",
        "larger image_size",
        id="small boxes",
    ),
    row(
        settings(args_options="MODEL.WEIGHTS '' MODEL.ANCHOR_GENERATOR.SIZES [[600]]"),
        W,
        "config.yaml",
        "the smallest anchor",
        "MODEL.ANCHOR_GENERATOR.SIZES",
        id="large anchors",
    ),
]


@pytest.mark.parametrize(("change", "severity", "place", "words", "remedy"), [*ROWS, *SIBLINGS])
def test_is_told(
    folder: Folder,
    check: Check,
    change: Change,
    severity: Severity,
    place: str,
    words: str,
    remedy: str,
) -> None:
    change(folder)
    found = check()
    assert any(
        finding.severity is severity
        and place in finding.place
        and words in finding.sentence
        and remedy in finding.remedy
        for finding in found
    ), "\n".join(map(str, found)) or "nothing is found"
    bare = [each for each in found if not (each.place and each.remedy) and each.severity is not N]
    assert not bare


def test_each_of_the_37_has_a_row() -> None:
    named = {str(mistake.id).split()[0] for mistake in ROWS}
    assert named == {str(number) for number in range(1, 38)}


def test_nothing_is_told_about_a_sound_folder(check: Check) -> None:
    assert check(deep=True) == []
