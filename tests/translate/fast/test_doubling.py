"""A narrow transposed convolution against torch's."""

import pytest
import torch
from torch import nn

from translate.fast.doubling import NarrowConvTranspose2d


def test_one_pixel_by_hand():
    """1 at one pixel spreads the kernel's middle, whose weights are 5, 6, 9 and 10, over the 2x2 outputs."""
    layer = NarrowConvTranspose2d(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(16.0).view(1, 1, 4, 4))
        assert layer(torch.ones(1, 1, 1, 1))[0, 0].tolist() == [[5, 6], [9, 10]]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_torchs(bias, outputs, size, layout):
    torch.manual_seed(0)
    theirs = nn.ConvTranspose2d(6, outputs, kernel_size=4, stride=2, padding=1, bias=bias)
    ours = NarrowConvTranspose2d(6, outputs, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    features = torch.randn(2, 6, *size).contiguous(memory_format=layout)
    with torch.no_grad():
        assert ours(features).shape == (2, outputs, 2 * size[0], 2 * size[1])
        assert (ours(features) - theirs(features)).abs().max() < 1e-5
