"""The algorithms in `layers` and `modeling` are the same on every device, but for a short list."""

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[3] / "app" / "engine"

FORKS = {
    "layers/norm.py": "torch's SyncBatchNorm works on a GPU only",
    "modeling/mask_paste.py": "a GPU pastes masks whole: launches cost it more than pixels",
    "modeling/necks/retinanet_fpn.py": "torch's bfloat16 gradients of narrow maps are wrong",
}
"""Files that look at the device, and why they must."""

FILES = sorted(p for room in ("layers", "modeling") for p in (ENGINE / room).rglob("*.py"))


def looks_at_the_device(file: Path) -> bool:
    return any(
        (
            isinstance(node, ast.Compare)
            and any(
                isinstance(side, ast.Constant) and side.value in ("cpu", "cuda")
                for side in (node.left, *node.comparators)
            )
        )
        or (isinstance(node, ast.Attribute) and node.attr in ("is_cuda", "is_cpu"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_no_fork_by_device_without_a_reason(file):
    assert looks_at_the_device(file) == (file.relative_to(ENGINE).as_posix() in FORKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_no_private_operator_and_nothing_of_the_room_for_cpus(file):
    text = file.read_text(encoding="utf-8")
    assert "mkldnn" not in text
    assert "engine.cpu" not in text


def test_private_operators_have_one_file():
    users = [
        file.relative_to(ENGINE).as_posix()
        for file in ENGINE.rglob("*.py")
        if "ops.mkldnn" in file.read_text(encoding="utf-8")
    ]
    assert users == ["cpu/onednn.py"]


def test_a_fork_is_found(tmp_path):
    file = tmp_path / "some.py"
    for code in ("x.device.type == 'cpu'", "'cuda' != kind", "x.is_cuda"):
        file.write_text(code)
        assert looks_at_the_device(file)
    file.write_text("x.device")
    assert not looks_at_the_device(file)
