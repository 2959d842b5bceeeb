"""Layouts into photos, without training: channels on paper, looks that a seed chooses, refusals."""

import pytest
import torch
from torch import nn

from translate.layout_translator import LayoutTranslator
from translate.styles import StyleMemory


class Shown(nn.Module):
    """Puts out the first three channels that it is given, and remembers all."""

    side_multiple, smallest_side = 4, 4

    def forward(self, layout):
        self.given = layout
        return layout[:, :3] * 2 - 1


def translator(styles=None, **changes):
    words = {"labels": 3, "ignore_channel": True, "edges": True} | changes
    return LayoutTranslator(Shown(), **words, styles=styles).eval()


LABEL_MAP = torch.tensor([[[0, 0, 1, 2], [0, 0, 1, 255]]]).repeat_interleave(2, 1)


@pytest.mark.parametrize(
    ("changes", "channels"),
    [({}, 5), ({"edges": False}, 4), ({"ignore_channel": False, "labels": 4}, 5)],
)
def test_channels_are_classes_then_ignored_pixels_then_edges(changes, channels):
    one = translator(**changes)
    one.translate(LABEL_MAP.where(LABEL_MAP < 255, 0) if not one.ignore_channel else LABEL_MAP)
    assert one.generator().given.shape == (1, channels, 4, 4)


def test_a_layout_by_hand():
    one = translator()
    photo = one.translate(LABEL_MAP)
    assert photo[0, :, 0].T.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    given = one.generator().given[0]
    assert given[3, :, 3].tolist() == [0, 0, 1, 1]  # the ignored pixels
    assert given[4, 0].tolist() == [0, 1, 1, 1]  # beside another label


def test_an_instance_map_says_where_the_edges_are():
    one = translator()
    one.translate(LABEL_MAP, instance_map=torch.zeros_like(LABEL_MAP))
    assert one.generator().given[0, 4].sum() == 0


def test_looks_follow_the_channels_of_the_layout():
    styles = StyleMemory(4, features=2, clusters=1)
    styles.adopt({0: torch.tensor([[0.5, -0.5]])})
    one = translator(styles)
    one.translate(LABEL_MAP, style_seed=3)
    assert one.generator().given[0, 5:, 0, 0].tolist() == [0.5, -0.5]
    assert one.generator().given[0, 5:, 0, 2].tolist() == [0, 0]  # a class without looks


@pytest.mark.parametrize(
    ("label_map", "direction", "message"),
    [
        (LABEL_MAP, "target_to_source", "the valid ones are source_to_target"),
        (LABEL_MAP[0], "source_to_target", r"shape \(4, 4\); expected \(B, H, W\)"),
        (LABEL_MAP + 3, "source_to_target", "expected ids from 0 to 2, and 255"),
    ],
)
def test_refusals(label_map, direction, message):
    with pytest.raises(ValueError, match=message):
        translator().translate(label_map, direction)
