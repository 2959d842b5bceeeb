"""Pasting: half of the classes, never the ignored pixels, each frame by its own draw."""

import pytest
import torch

from segment.adaptation.mixing import MASKS, half_of_the_classes, half_rectangle, masked_blocks, pasted
from segment.classes import IGNORE_INDEX


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


def test_a_rectangle_has_half_of_the_area_and_frames_draw_for_themselves():
    torch.manual_seed(0)
    masks = half_rectangle(torch.zeros(50, 200, 400))
    shares = masks.float().mean(dim=(1, 2))
    assert (shares - 0.5).abs().max() < 0.01, "but for pixels that its edges cut"
    for mask in masks:  # a rectangle is all of its rows and columns
        assert torch.equal(mask, mask.any(dim=1)[:, None] & mask.any(dim=0)[None])
    heights = masks.any(dim=2).sum(dim=1)
    assert heights.min() >= 99 and heights.max() <= 201 and len(heights.unique()) > 10


def test_a_rectangle_lies_anywhere_in_the_frame():
    """All sides of the frame are covered, those that face each other equally often."""
    torch.manual_seed(0)
    covered = half_rectangle(torch.zeros(4000, 10, 20)).float().mean(dim=0)  # the share of rectangles over each pixel
    assert covered.min() > 0.01
    torch.testing.assert_close(covered, covered.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(covered, covered.flip(1), atol=0.04, rtol=0)


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_is_of_the_label_maps_shape(name):
    label_map = torch.arange(4).repeat(3, 5, 1)
    mask = MASKS[name](label_map)
    assert mask.shape == label_map.shape and mask.dtype == torch.bool


def test_blocks_are_hidden_whole_and_as_often_as_asked():
    torch.manual_seed(0)
    image = torch.ones(4, 3, 64, 60)
    hidden = masked_blocks(image, 4, 0.7, torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
    blocks = hidden[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
    assert (blocks == blocks[..., :1]).all()
    assert (blocks[..., 0] < 1).float().mean().item() == pytest.approx(0.7, abs=0.05)
    covered = hidden[:, :, hidden[0, 0].isclose(torch.tensor(0.1))]
    assert covered[0].unique().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_blocks_at_the_edge_may_be_cut_and_extremes_hide_all_but_one_or_nothing():
    """Of 2x2 blocks the first is 4x4 of 5x7 pixels, the last 1x3."""
    image = torch.ones(20, 3, 5, 7)
    filling = torch.zeros(1, 3, 1, 1)
    torch.manual_seed(0)
    seen = masked_blocks(image, 4, 1.0, filling)[:, 0]
    assert {int(one.sum()) for one in seen} == {4 * 4, 4 * 3, 1 * 4, 1 * 3}
    assert torch.equal(masked_blocks(image, 4, 0.0, filling), image)


def test_some_of_each_image_is_seen():
    """Of two blocks both would be drawn in 49 of 100 images."""
    torch.manual_seed(0)
    seen = masked_blocks(torch.ones(100, 3, 4, 8), 4, 0.7, torch.zeros(1, 3, 1, 1))
    assert seen.amax((1, 2, 3)).eq(1).all()
