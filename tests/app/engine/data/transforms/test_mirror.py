"""Mirror images of keypoints are found by their names, as people write them."""

import pytest

from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.data.transforms.mirror import key_of, mirror_of


def pairs(names: list[str]) -> list[tuple[str, str]]:
    found = mirror_of(names).indices
    assert [found[other] for other in found] == list(range(len(names))), "mirrored twice is as is"
    return [(names[i], names[other]) for i, other in enumerate(found) if i < other]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("left_eye", "right_eye", id="COCO's spelling"),
        pytest.param("Left Eye", "Right Eye", id="words with capitals"),
        pytest.param("LEFT-EYE", "RIGHT-EYE", id="capitals only"),
        pytest.param("L_fin", "R_fin", id="a letter in front"),
        pytest.param("eye_l", "eye_r", id="a letter at the end"),
        pytest.param("eye.L", "eye.R", id="Blender's"),
        pytest.param("l-eye", "r-eye", id="a letter and a hyphen"),
        pytest.param("eye (l)", "eye (r)", id="in brackets"),
        pytest.param("lEye", "rEye", id="camel case, a small letter"),
        pytest.param("LEye", "REye", id="camel case, a capital letter"),
        pytest.param("eyeL", "eyeR", id="camel case, a letter at the end"),
        pytest.param("leftEye", "rightEye", id="camel case"),
        pytest.param("LeftEye", "RightEye", id="Pascal's case"),
        pytest.param("eyeLeft", "eyeRight", id="camel case at the end"),
        pytest.param("1_left", "1_right", id="the same number in front"),
        pytest.param("1_left_eye", "2_right_eye", id="running numbers in front"),
        pytest.param("eye_left_1", "eye_right_2", id="running numbers at the end"),
        pytest.param("left1", "right1", id="a number at the word"),
        pytest.param("front_left_paw", "front_right_paw", id="in the middle"),
        pytest.param("left eye", "R_eye", id="each in its own way"),
        pytest.param("lefteye", "righteye", id="one word"),
        pytest.param("LEFTEYE", "RIGHTEYE", id="one word in capitals"),
        pytest.param("lhip", "rhip", id="a letter that is glued on"),
        pytest.param("Lfin", "Rfin", id="a capital letter that is glued on"),
        pytest.param("handl", "handr", id="a letter that is glued to the end"),
        pytest.param("L1", "R1", id="a letter and a number"),
        pytest.param("left", "right", id="nothing else"),
        pytest.param("linkes Auge", "rechtes Auge", id="German"),
        pytest.param("l'oeil gauche", "l'oeil droit", id="French"),
        pytest.param("左眼", "右眼", id="Chinese"),
        pytest.param("левый_глаз", "правый_глаз", id="Russian"),
    ],
)
def test_usual_spellings(left: str, right: str) -> None:
    names = ["nose", right, "tail", left]
    assert pairs(names) == [(right, left)]
    assert mirror_of(names).unpaired == ()


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([], id="none"),
        pytest.param(["nose"], id="one"),
        pytest.param(["tail", "collar", "upright", "bright", "flipper"], id="letters within words"),
        pytest.param(["L1", "L2", "L3", "S1"], id="vertebrae"),
        pytest.param(["head", "heel", "heart", "knee"], id="an l at the end"),
        pytest.param(["tail_top", "tail_tip", "label"], id="an l in front"),
    ],
)
def test_no_false_match(names: list[str]) -> None:
    assert pairs(names) == []
    assert mirror_of(names).unpaired == ()


@pytest.mark.parametrize(
    ("names", "unpaired"),
    [
        pytest.param(["left_eye", "nose"], ["left_eye"], id="a word"),
        pytest.param(["nose", "L_fin"], ["L_fin"], id="a letter"),
        pytest.param(["nose", "lefteye"], ["lefteye"], id="one word"),
        pytest.param(["left_eye", "right_ear"], ["left_eye", "right_ear"], id="of other parts"),
        pytest.param(
            ["left_eye", "left_eye", "right_eye"],
            ["left_eye", "left_eye", "right_eye"],
            id="one name twice",
        ),
        pytest.param(
            ["left_eye", "right_eye", "lhip", "rhip"], ["lhip", "rhip"], id="two ways of writing"
        ),
    ],
)
def test_a_side_without_a_partner_is_named(names: list[str], unpaired: list[str]) -> None:
    assert list(mirror_of(names).unpaired) == unpaired


def test_cocos_person() -> None:
    assert mirror_of(COCO_PERSON).indices[:5] == (0, 2, 1, 4, 3)
    assert len(pairs(list(COCO_PERSON))) == 8


def test_one_key_for_one_meaning() -> None:
    assert len({key_of(name) for name in ("left_eye", "Left Eye", "L-eye", "leftEye", "lEye")}) == 1
    assert key_of("left_eye") != key_of("right_eye")
