"""What is found in an image file is what detectron2 finds in it."""

from verification.parity.files import check_files


def test_every_recorded_file() -> None:
    compared = list(check_files())
    assert len(compared) == 6
    for each in compared:
        assert each.passed, str(each)
        assert each.largest["of"] > 10
