"""What translates, without training: directions, sizes, and networks that come back in the mode they were in."""

import pytest
import torch
from torch import nn

from translate.translator import ImageTranslator, evaluating, translate_padded


class Adding(nn.Module):
    """Adds a number in [-1, 1]; takes sides that divide by four."""

    side_multiple, smallest_side = 4, 8

    def __init__(self, value):
        super().__init__()
        self.value = value
        self.seen = []

    def forward(self, image):
        self.seen.append((tuple(image.shape[-2:]), self.training))
        return image + self.value


def test_each_direction_is_a_network_of_its_name():
    there, back = Adding(0.1), Adding(0.2)
    translator = ImageTranslator({"source_to_target": there, "target_to_source": back})
    assert translator.directions == ("source_to_target", "target_to_source") and translator.takes == "image"
    assert translator.generator() is translator.source_to_target is there
    image = torch.full((1, 3, 8, 8), 0.5)
    assert translator.translate(image, "target_to_source").mean().item() == pytest.approx(0.6)  # 0.2 of [-1, 1]


def test_another_direction_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match="no direction 'target_to_source'; the valid ones are source_to_target"):
        ImageTranslator({"source_to_target": Adding(0)}).generator("target_to_source")


def test_sides_are_mirrored_to_what_the_network_takes_and_cropped_back():
    network, image = Adding(0.0), torch.rand(1, 3, 9, 13)
    torch.testing.assert_close(translate_padded(network, image), image)
    assert network.seen == [((12, 16), True)]


def test_it_translates_in_evaluation_mode_and_leaves_the_mode_alone():
    translator = ImageTranslator({"source_to_target": Adding(0.0)}).train()
    translator.translate(torch.rand(1, 3, 8, 8))
    assert translator.source_to_target.seen == [((8, 8), False)] and translator.source_to_target.training


def test_networks_that_evaluate_already_stay_so():
    first, second = Adding(0).train(), Adding(0).eval()
    with evaluating(first, second):
        assert not first.training and not second.training
    assert first.training and not second.training
