"""Detail guidance: the pyramid of Laplacians on rows that fit on a line, and both losses worked out by hand."""

import math

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.detail import detail_cross_entropy, detail_dice, detail_map

_ = IGNORE_INDEX


def row(*labels):
    return torch.tensor(labels).view(1, 1, -1)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # Nothing but one class, whichever: the rim is no edge.
        ([5, 5, 5, 5], [0, 0, 0, 0]),
        # The first 1 is above its neighbour. It is also one of every second pixels, each of which stands for two.
        ([0, 0, 1, 1], [0, 0, 1, 1]),
        # The 1 is at an odd place, which stride 2 does not see; at place 2 nothing is above its neighbours.
        ([0, 1, 1, 1], [0, 1, 0, 0]),
        # Detail is the pixel of the higher id, on either side: place 3, and place 0 with the pixel that it stands for.
        ([1, 0, 0, 1], [1, 1, 0, 1]),
        # Strides 1 and 2 find place 4. Stride 4 finds it too and stands for 4 to 7, but 0.1 does not exceed 0.1.
        ([0, 0, 0, 0, 2, 2, 2, 2], [0, 0, 0, 0, 1, 1, 0, 0]),
        # An ignored pixel is above nobody, and nobody is above it.
        ([3, 3, _, 1, 1], [0, 0, _, 0, 0]),
        # The 1 at place 2 is above the 0 on its right alone, whatever is ignored on its left.
        ([0, _, 1, 0], [0, _, 1, 1]),
        # So many classes that 8 times one exceeds what half precision holds exactly.
        ([200, 201], [0, 1]),
        ([_, _, _], [_, _, _]),
    ],
)
def test_a_row_by_hand(labels, expected):
    assert detail_map(row(*labels)).flatten().tolist() == expected


def test_both_axes_and_diagonals_count():
    label_map = torch.zeros(1, 5, 5, dtype=torch.int64)
    label_map[0, 1, 1] = 4
    label_map[0, 3:, 3:] = 2
    expected = torch.zeros(5, 5, dtype=torch.int64)
    expected[1, 1] = 1  # an odd place: stride 1 alone
    expected[3, 3:] = expected[3:, 3] = 1  # beside zeros
    # Place (4, 4) has no lower neighbour, and the other even places are zeros.
    assert torch.equal(detail_map(label_map)[0], expected)


def test_images_of_a_batch_and_odd_sizes_stay_apart():
    label_map = torch.randint(0, 4, (2, 7, 9), generator=torch.Generator().manual_seed(0))
    both = detail_map(label_map)
    assert both.shape == (2, 7, 9)
    assert torch.equal(both, torch.cat([detail_map(label_map[:1]), detail_map(label_map[1:])]))


def test_mixed_precision_does_not_change_the_target():
    label_map = torch.randint(0, 200, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = detail_map(label_map)
    assert torch.equal(rounded, detail_map(label_map))


def test_cross_entropy_by_hand():
    # Probabilities 1/2 and 9/10, one ignored: the mean of log 2 and log 10/9.
    logits = torch.tensor([0.0, math.log(9), 50.0]).view(1, 1, 1, 3)
    loss = detail_cross_entropy(logits, row(0, 1, _))
    assert loss.item() == pytest.approx((math.log(2) + math.log(10 / 9)) / 2)


def test_dice_by_hand_is_a_mean_over_images():
    # First image: overlap 1/2, detail 1, probabilities 1/2 + 1/2: 1 - 2 / 3. Second: all is ignored, which costs zero.
    logits = torch.zeros(2, 1, 1, 3)
    loss = detail_dice(logits, torch.cat([row(0, 1, _), row(_, _, _)]))
    assert loss.item() == pytest.approx(1 / 6)


@pytest.mark.parametrize("loss", [detail_cross_entropy, detail_dice])
def test_ignored_pixels_alone_cost_zero(loss):
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    value = loss(logits, torch.full((2, 4, 4), _))
    value.backward()
    assert value.item() == 0 and logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", [detail_cross_entropy, detail_dice])
def test_the_gradient_asks_for_detail_where_it_is(loss):
    logits = torch.zeros(1, 1, 1, 3, requires_grad=True)
    loss(logits, row(0, 1, _)).backward()
    nothing, detail, ignored = logits.grad.flatten().tolist()
    assert nothing > 0 > detail and ignored == 0
