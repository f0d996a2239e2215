from typing import Any

import pytest

from app.engine.config.expression import evaluate

RETINANET = "[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]"


def test_the_anchors_of_retinanet():
    sizes = evaluate(RETINANET)

    assert len(sizes) == 5
    assert sizes[0] == [32, 40.31747359663594, 50.79683366298238]
    assert sizes[4] == [512, 645.0795775461751, 812.7493386077181]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("-1.5", -1.5, id="sign"),
        pytest.param("7 // 2 + 7 % 4 - 1", 5, id="operators"),
        pytest.param("(1, 2)", [1, 2], id="tuple"),
        pytest.param("[[i * j for j in [1, 2]] for i in [1, 2]]", [[1, 2], [2, 4]], id="nested"),
        pytest.param("[]", [], id="empty"),
    ],
)
def test_arithmetic(text: str, expected: Any):
    assert evaluate(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("__import__('os').system('true')", id="call"),
        pytest.param("().__class__", id="attribute"),
        pytest.param("open", id="name"),
        pytest.param("'a' * 3", id="text"),
        pytest.param("[1] * 1000000", id="list times number"),
        pytest.param("True", id="truth"),
        pytest.param("lambda: 1", id="lambda"),
        pytest.param("[x for x in [1] if x]", id="condition"),
        pytest.param("[x for x in [1] for y in [1]]", id="two loops"),
        pytest.param("[x for x, y in [[1, 2]]]", id="unpacking"),
        pytest.param("[x for x in 3]", id="loop over a number"),
        pytest.param("9 ** 9 ** 9", id="power tower"),
        pytest.param("10.0 ** 60", id="too large"),
        pytest.param("(-1) ** 0.5", id="complex"),
        pytest.param("1 / 0", id="division by zero"),
        pytest.param("1e999", id="infinity"),
        pytest.param("1 << 3", id="shift"),
        pytest.param("(" * 300 + ")" * 300, id="deep"),
        pytest.param("1" + " + 1" * 1000, id="long"),
        pytest.param("", id="nothing"),
        pytest.param(
            "[[[[x for x in L] for y in L] for z in L] for w in L]".replace(
                "L", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]"
            ),
            id="many elements",
        ),
    ],
)
def test_everything_else_is_refused(text: str):
    with pytest.raises(ValueError, match=r"\S"):
        evaluate(text)
