"""WideResNet-38: what a block adds to what, and how large the maps are."""

import pytest
import torch
from torch import nn

from segment.networks.encoders.wide_resnet38 import PreactivatedBlock, wide_resnet38_features, wide_resnet38_stages


def test_a_block_adds_to_what_it_got_not_to_what_it_activated():
    """With the convolutions at 0 only the shortcut is left: the input as it was, negative values and all."""
    block = PreactivatedBlock(3, (2, 3), stride=1, dilation=1, dropout=0.0).eval()
    torch.nn.init.zeros_(block.convs.conv2.weight)
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(block(x), x)


def test_a_block_that_changes_the_width_projects_what_it_activated():
    """Channels 2 and 1 of the activated input are summed with weights 1: relu(3) + relu(-5) = 3, less 1e-5 of it."""
    block = PreactivatedBlock(2, (2, 1), stride=1, dilation=1, dropout=0.0).eval()
    torch.nn.init.zeros_(block.convs.conv2.weight)
    torch.nn.init.ones_(block.proj_conv.weight)
    x = torch.tensor([3.0, -5.0]).view(1, 2, 1, 1)
    assert block(x).item() == pytest.approx(3, abs=1e-4)


def test_layers_and_channels_are_counted_from_the_stem():
    """3x3 convolutions: the stem, two in each of 3 + 3 + 6 + 3 blocks, and one in either bottleneck."""
    stages = wide_resnet38_stages(width=1)
    convolutions = {
        name: [part for part in stage.modules() if isinstance(part, nn.Conv2d)] for name, stage in stages.items()
    }
    assert list(stages) == [f"mod{number}" for number in range(1, 8)]
    assert sum(one.kernel_size == (3, 3) for own in convolutions.values() for one in own) == 1 + 2 * 15 + 2
    assert [max(one.out_channels for one in own) for own in convolutions.values()] == [1, 2, 4, 8, 16, 32, 64]


def test_maps_are_of_a_half_and_an_eighth_of_the_size():
    trunk = nn.ModuleDict(wide_resnet38_stages(width=2)).eval()
    with torch.no_grad():
        fine, deep = wide_resnet38_features(trunk, torch.rand(1, 3, 40, 64))
    assert fine.shape == (1, 4, 20, 32) and deep.shape == (1, 128, 5, 8)
