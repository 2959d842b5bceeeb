"""Pasting: half of the classes, never the ignored pixels, each frame by its own draw."""

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.mixing import half_of_the_classes, pasted


def chosen_classes(label_map, seed):
    torch.manual_seed(seed)
    mask = half_of_the_classes(label_map)
    return [set(label_map[i][mask[i]].tolist()) for i in range(len(label_map))], mask


@pytest.mark.parametrize(("classes", "wanted"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_half_of_the_classes_rounded_up(classes, wanted):
    label_map = torch.arange(classes).repeat(2, 3, 1)
    for seed in range(10):
        found, mask = chosen_classes(label_map, seed)
        assert [len(one) for one in found] == [wanted, wanted]
        for i, one in enumerate(found):  # whole classes, not single pixels of them
            assert torch.equal(mask[i], torch.isin(label_map[i], torch.tensor(sorted(one))))


def test_ignored_pixels_are_never_drawn_and_do_not_count():
    label_map = torch.tensor([[[IGNORE_INDEX, 0], [1, IGNORE_INDEX]]])
    for seed in range(20):
        found, mask = chosen_classes(label_map, seed)
        assert len(found[0]) == 1 and not mask[label_map == IGNORE_INDEX].any()


def test_every_class_is_drawn_sometimes_and_frames_draw_for_themselves():
    label_map = torch.arange(4).repeat(2, 1, 1)
    draws = [chosen_classes(label_map, seed)[0] for seed in range(40)]
    assert set().union(*(one for draw in draws for one in draw)) == {0, 1, 2, 3}
    assert any(first != second for first, second in draws)


def test_a_frame_without_any_class_gives_nothing():
    assert not half_of_the_classes(torch.full((1, 2, 2), IGNORE_INDEX)).any()


def test_pasted_takes_images_and_maps():
    mask = torch.tensor([[[True, False]]])
    assert pasted(mask, torch.ones(1, 1, 2), torch.zeros(1, 1, 2)).tolist() == [[[1, 0]]]
    assert pasted(mask, torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2))[0, 2].tolist() == [[1, 0]]
