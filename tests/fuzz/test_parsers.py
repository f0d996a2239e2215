"""Every parser against a few hostile files; `python -m verification.fuzz` tries thousands."""

import json
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.errors import DatasetError
from verification.fuzz import samples
from verification.fuzz.judge import UnexplainedError, judge
from verification.fuzz.parsers import Parser, parsers

EXAMPLES = 25

few = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TABLE = [pytest.param(parser, id=parser.name) for parser in parsers()]


@pytest.mark.parametrize("parser", TABLE)
def test_hostile_files_end_in_a_value_or_an_error_of_ours(parser: Parser, tmp_path: Path):
    """`judge` raises an `UnexplainedError` for any other end."""
    path = tmp_path / parser.file_name

    @few
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        content = data.draw(parser.inputs)
        path.write_bytes(content)
        judge(parser.read, path, max_lines=parser.max_lines)

    attack()


@pytest.mark.parametrize("kind", sorted(samples.pictures()))
def test_the_pictures_that_are_damaged_are_readable(kind: str, tmp_path: Path):
    """Else the mutations would only ever see the first check of a parser."""
    parser = next(parser for parser in parsers() if parser.name == "image")
    path = tmp_path / parser.file_name
    path.write_bytes(samples.pictures()[kind])
    assert judge(parser.read, path) == ""


VALID = {
    "config.yaml": b"class_names: [cat]\nlearning_rate: 0.1\n",
    "training index": samples.INDEX.encode(),
    "ark": samples.ARK.encode(),
    "YOLO": samples.YOLO.encode(),
    "VOC XML": samples.VOC.encode(),
    "args_options": b"--resume SOLVER.GAMMA 0.5 MODEL.WEIGHTS=''",
    "torch checkpoint": samples.torch_files()[0],
    "pickle": samples.pickle_files()[1],
    "proposal pickle": samples.proposal_pickle(),
    "LabelMe": json.dumps(samples.LABELME).encode(),
    "CVAT": samples.CVAT.encode(),
    "Label Studio": json.dumps(samples.LABEL_STUDIO).encode(),
    "data.yaml": yaml.safe_dump(samples.DATA_YAML).encode(),
    "proposal npz": samples.proposal_npz(),
}


@pytest.mark.parametrize("name", VALID)
def test_valid_files_are_accepted(name: str, tmp_path: Path):
    parser = next(parser for parser in parsers() if parser.name == name)
    path = tmp_path / parser.file_name
    path.write_bytes(VALID[name])
    assert judge(parser.read, path) == ""


def _raise(error: Exception) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        pytest.param(KeyError("x"), "KeyError", id="an error of no meaning to users"),
        pytest.param(ValueError("x: bad"), "ValueError", id="a bare ValueError"),
    ],
)
def test_the_judge_tells_what_is_not_ours(error: Exception, complaint: str, tmp_path: Path):
    with pytest.raises(UnexplainedError, match=complaint):
        judge(lambda _: _raise(error), tmp_path / "x")


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        pytest.param("it is bad", "does not name x", id="no file named"),
        pytest.param("x:\n1\n2\n3\n4", "5 lines", id="too long"),
    ],
)
def test_the_judge_reads_messages(message: str, complaint: str, tmp_path: Path):
    with pytest.raises(UnexplainedError, match=complaint):
        judge(lambda _: _raise(DatasetError(message)), tmp_path / "x")


def test_the_judge_hears_warnings(tmp_path: Path):
    with pytest.raises(UnexplainedError, match="a warning escaped"):
        judge(lambda _: warnings.warn("x", stacklevel=1), tmp_path / "x")
