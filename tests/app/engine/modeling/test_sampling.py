import pytest
import torch

from app.engine.modeling.sampling import sample_labels

BACKGROUND = 80


@pytest.mark.parametrize(
    ("num_objects", "num_background", "expected"),
    [
        pytest.param(10, 20, (2, 6), id="enough of both"),
        pytest.param(1, 20, (1, 7), id="few objects: background fills"),
        pytest.param(10, 3, (2, 3), id="little background: fewer samples"),
        pytest.param(0, 0, (0, 0), id="nothing"),
    ],
)
def test_shares(num_objects, num_background, expected):
    labels = torch.tensor([-1] * 5 + [7] * num_objects + [BACKGROUND] * num_background)
    ((positive, negative),) = sample_labels([labels], 8, 0.25, BACKGROUND)
    assert (len(positive), len(negative)) == expected
    assert (labels[positive] == 7).all()
    assert (labels[negative] == BACKGROUND).all()
    assert len(set(positive.tolist()) | set(negative.tolist())) == sum(expected)


def test_the_random_stream_is_two_permutations_positives_first():
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    torch.manual_seed(5)
    ((positive, negative),) = sample_labels([labels], 4, 0.5, 0)
    torch.manual_seed(5)
    assert torch.equal(positive, torch.tensor([1, 3, 4])[torch.randperm(3)[:2]])
    assert torch.equal(negative, torch.tensor([0, 2, 5])[torch.randperm(3)[:2]])
