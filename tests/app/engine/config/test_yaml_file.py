from pathlib import Path

import pytest

from app.engine.config import get_config, load_config
from app.engine.errors import ConfigError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "top.yaml"


def test_bases_lie_below_and_the_last_one_on_top(tmp_path: Path):
    path = write(
        tmp_path,
        first="SOLVER: {MAX_ITER: 1, GAMMA: 0.5, STEPS: [1, 2]}",
        second="SOLVER: {MAX_ITER: 2, BASE_LR: 0.5}",
        top="_BASE_: [first.yaml, second.yaml]\nVERSION: 2\nSOLVER:\n  STEPS: (3,)",
    )
    solver = load_config(path).SOLVER

    assert (solver.MAX_ITER, solver.GAMMA, solver.BASE_LR, solver.STEPS) == (2, 0.5, 0.5, (3,))


def test_overrides_come_last(tmp_path: Path):
    path = write(tmp_path, top="VERSION: 2\nSOLVER: {MAX_ITER: 1}")

    assert load_config(path, ["SOLVER.MAX_ITER", "7"]).SOLVER.MAX_ITER == 7


def test_empty_files_and_sections_change_nothing(tmp_path: Path):
    assert load_config(write(tmp_path, top="")) == get_config()
    assert load_config(write(tmp_path, top="VERSION: 2\nTEST:\n")) == get_config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "VERSION: 2\nSOLVER:\n  MAX_ITR: 1", r"top\.yaml, line 3: .*MAX_ITER", id="misspelt key"
        ),
        pytest.param(
            "SOLVER:\n  MAX_ITER: soon",
            r"top\.yaml, line 2: .*'soon'.*whole number",
            id="wrong kind",
        ),
        pytest.param("SOLVER.MAX_ITER: 3", "line 1: .*dots", id="dotted key"),
        pytest.param("SOLVER: 3", "line 1: .*section", id="value for a section"),
        pytest.param("SEED: 1\nSEED: 2", "line 2: .*SEED is written twice", id="key twice"),
        pytest.param("SEED: {", "line 1: not valid YAML", id="syntax"),
        pytest.param("SEED: 1\n\tX: 2", "line 2: not valid YAML", id="tab"),
        pytest.param("- 1", "KEY: value", id="list"),
        pytest.param("just text", "KEY: value", id="text"),
        pytest.param("\x01", "not a YAML text file", id="control character"),
        pytest.param("a: " + "[" * 600, "nested too deeply", id="deep"),
        pytest.param("a: " + "x" * (1 << 20), "larger than", id="large"),
        pytest.param("SEED: !!python/name:os.system", "refused", id="python name"),
        pytest.param("SEED: !!python/object/apply:os.getpid []", "refused", id="python call"),
        pytest.param("SEED: !!python/object/new:os.getpid []", "refused", id="python new"),
        pytest.param("SEED: !!python/tuple [1]", "refused", id="python tuple"),
        pytest.param("SEED: !!python/module:os", "refused", id="python module"),
        pytest.param("SEED: 2020-01-01", "SEED", id="date"),
        pytest.param("? [a]\n: 1", "top.yaml", id="list as key"),
        pytest.param("_BASE_: top.yaml", "circle", id="base of itself"),
        pytest.param("_BASE_: http://x/y.yaml", "path of a file", id="base from the network"),
        pytest.param("_BASE_: 3", "path of a file", id="base is a number"),
        pytest.param("_BASE_: missing.yaml", r"missing\.yaml.*no file", id="no such base"),
        pytest.param("_BASE_: other.yaml\nSOLVER: {GAMMA: 1}", "section here", id="base disagrees"),
        pytest.param("VERSION: 3", "versions 0 to 2", id="newer version"),
        pytest.param("MODEL: {ROI_HEADS: {NAME: RROIHeads}}", "rotated", id="unsupported value"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, text: str, message: str):
    path = write(tmp_path, top=text, other="SOLVER: 3")

    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_aliases_may_not_explode(tmp_path: Path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ConfigError, match="more than"):
        load_config(write(tmp_path, top="\n".join(lines)))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80abc"], ids=["utf-16", "latin"])
def test_other_encodings_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "top.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"top\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


OLD = """
MODEL:
  META_ARCHITECTURE: RetinaNet
  WEIGHT: x.pkl
  RPN: {ANCHOR_SIZES: [[1]]}
  RETINANET: {ANCHOR_SIZES: [[7]], ANCHOR_STRIDES: [8], INFERENCE_NMS_THRESHOLD: 0.3}
  ROI_HEADS: {NMS: 0.4}
TEST: {AUG_ON: true, DETECTIONS_PER_IMG: 5}
"""


@pytest.mark.parametrize("version", ["", "VERSION: 1\n"], ids=["guessed", "told"])
def test_version_1_is_upgraded(tmp_path: Path, version: str):
    cfg = get_config()
    cfg.merge_from_file(write(tmp_path, top=version + OLD))

    assert cfg.MODEL.WEIGHTS == "x.pkl"
    assert cfg.MODEL.ANCHOR_GENERATOR.SIZES == [[7]]
    assert cfg.MODEL.RETINANET.NMS_THRESH_TEST == 0.3
    assert cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST == 0.4
    assert (cfg.TEST.AUG.ENABLED, cfg.TEST.DETECTIONS_PER_IMAGE) == (True, 5)
    assert cfg.VERSION == 2


def test_version_0_is_upgraded_and_takes_the_anchors_of_the_rpn(tmp_path: Path):
    text = "VERSION: 0\nMODEL: {RPN_HEAD: {NAME: StandardRPNHead}, RPN: {ANCHOR_SIZES: [[5]]}}"

    assert load_config(write(tmp_path, top=text)).MODEL.ANCHOR_GENERATOR.SIZES == [[5]]


def test_problems_in_upgraded_keys_name_the_line_of_the_old_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="line 2"):
        load_config(write(tmp_path, top="MODEL:\n  WEIGHT: 3"))
