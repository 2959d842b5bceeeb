"""The 4x4 layer of PatchGAN, and the refusal of what is too small to be judged."""

import pytest
import torch
from torch import nn

from translate.networks.discriminators.judging import check_smallest, judging_layer


@pytest.mark.parametrize(("stride", "side"), [(1, 7), (2, 4)])
def test_a_layer_has_a_bias_only_where_no_norm_takes_it_away(stride, side):
    """A 4x4 window on 8 pixels padded to 10: 7 places side by side, or 4 two apart."""
    with_instance_norm = nn.Sequential(*judging_layer(3, 5, stride, "instance"))
    with_batch_norm = nn.Sequential(*judging_layer(3, 5, stride, "batch"))
    assert with_instance_norm(torch.zeros(2, 3, 8, 8)).shape == (2, 5, side, side)
    assert with_instance_norm[0].bias is not None and with_batch_norm[0].bias is None
    assert with_instance_norm[2](torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([-0.2, 2.0])


def test_the_smaller_side_counts_and_the_remedy_is_told():
    check_smallest(torch.zeros(1, 3, 16, 20), 16)
    with pytest.raises(ValueError, match=r"^Image is 20x15; this discriminator needs sides of at least 16\. Use "):
        check_smallest(torch.zeros(1, 3, 15, 20), 16)
    with pytest.raises(ValueError, match=r"at least 16\. Or fewer layers\.$"):
        check_smallest(torch.zeros(1, 3, 16, 15), 16, "Or fewer layers.")
