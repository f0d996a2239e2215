from hypothesis import given, settings
from hypothesis import strategies as st

from executor.novelty import Novelty


@settings(deadline=None)
@given(st.lists(st.text(max_size=2)))
def test_first_meetings(texts: list[str]):
    novelty = Novelty(texts)
    found = [novelty.is_new(text) for text in texts]
    assert found == [text not in texts[:i] for i, text in enumerate(texts)]


class Colliding(str):
    """A text whose hash says nothing."""

    def __hash__(self) -> int:
        return 7


def test_equal_hashes_are_no_equal_texts():
    texts = [Colliding("a"), Colliding("b"), Colliding("a")]
    novelty = Novelty(texts)
    assert [novelty.is_new(text) for text in texts] == [True, True, False]
