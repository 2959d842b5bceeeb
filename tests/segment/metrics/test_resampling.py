"""What a bootstrap draws, and why: a drive whose frames are all alike says no more than one of them."""

import math

import pytest
import torch

from segment.metrics.regions import bootstrap_interval, confusion_matrix, paired_differences
from segment.metrics.resampling import FEWEST_DRIVES, units_of


def test_enough_drives_are_drawn_whole():
    units = units_of([*"aabcdef"])
    assert (units.kind, units.count, units.title) == ("drives", 6, "6 drives")
    assert units.of_frame == [0, 0, 1, 2, 3, 4, 5]


def test_frames_of_a_drive_of_their_own_are_frames():
    assert units_of([*"abcdefgh"]).title == "8 frames" and units_of([*"abc"]).title == "3 frames"
    assert units_of(["a"]).title == "1 frame"


def test_few_drives_are_parted_into_blocks_of_consecutive_frames():
    """Nine frames make three blocks of three, four make two of two: five in all, none across the drives."""
    units = units_of([*"aaaaaaaaa", *"bbbb"])
    assert units.of_frame == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert units.title == "5 blocks of consecutive frames (2 drives)"
    assert units_of(["a"] * 60).title == "8 blocks of consecutive frames (1 drive)"  # the root of 60 is 7.7
    assert units_of(["a", "a"]).title == "1 block of consecutive frames (1 drive)"


def test_a_drive_need_not_lie_in_one_piece():
    assert units_of([*"ababcdef"]).of_frame == [0, 1, 0, 1, 2, 3, 4, 5]


def test_one_drive_more_makes_the_difference():
    few = [f"drive {i}" for i in range(FEWEST_DRIVES - 1) for _ in range(4)]
    assert units_of(few).title == "10 blocks of consecutive frames (5 drives)"
    assert units_of([*few, *["another"] * 4]).title == "6 drives"


def test_counts_of_units_by_hand():
    counts = torch.tensor([[1, 0], [2, 0], [4, 1], [8, 1], [0, 0], [0, 0], [0, 0], [0, 3]])
    units = units_of([*"abababcd"])
    assert units.kind == "blocks"  # the root of 3 is 1.7: two blocks, of two frames and of one
    assert units.of_frame == [0, 2, 0, 2, 1, 3, 4, 5]
    assert units.summed(counts).tolist() == [[5, 1], [0, 0], [10, 1], [0, 0], [0, 0], [0, 3]]


def test_thirty_looks_at_a_street_are_no_thirty_streets():
    """Two drives of which all frames are right, two of which none is; thirty equal frames each.

    As 120 frames the mean IoU seems to be known: the share of right frames moves by 2 sqrt(0.25 / 120) = 0.09 either
    way. As blocks it is known less well, and eight such drives, drawn whole, leave nearly everything open.
    """
    right, wrong = (confusion_matrix(torch.tensor([0]), torch.tensor([prediction])) for prediction in (0, 1))

    def width(drives):
        truths = torch.stack([right if number % 2 else wrong for number in range(drives) for _ in range(30)])
        units = units_of([str(number) for number in range(drives) for _ in range(30)])
        low, high = bootstrap_interval(units.summed(truths), seed=0, train_ids=[0])
        return high - low

    frames = torch.stack([right, wrong] * 60)
    low, high = bootstrap_interval(frames, seed=0, train_ids=[0])
    assert high - low == pytest.approx(0.18, abs=0.03)
    # Twenty blocks: 4 sqrt(0.25 / 20) = 0.45. Eight drives: 4 sqrt(0.25 / 8) = 0.71.
    assert width(4) == pytest.approx(0.45, abs=0.06) and width(8) == pytest.approx(0.71, abs=0.1)


def test_one_unit_gives_no_interval():
    right = confusion_matrix(torch.tensor([0]), torch.tensor([0]))
    counts = units_of(["a", "a"]).summed(torch.stack([right, right]))
    assert all(map(math.isnan, bootstrap_interval(counts, seed=0)))
    assert all(map(math.isnan, paired_differences(counts, counts, seed=0).mean_iou_interval))
