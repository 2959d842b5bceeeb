"""The 1x1 layers between two networks' features: shapes, pixel by pixel by hand, what is refused."""

import pytest
import torch

from translate.networks.features.feature_projection import FeatureProjection


def test_each_map_gets_the_other_networks_channels():
    maps = FeatureProjection((2, 3), (5, 7))([torch.rand(1, 2, 4, 6), torch.rand(1, 3, 2, 2)])
    assert [tuple(one.shape) for one in maps] == [(1, 5, 4, 6), (1, 7, 2, 2)]


def test_a_pixel_is_projected_by_itself():
    """Weights 2 and -1 and the bias 0.5: 2 * 3 - 4 + 0.5 where the features are (3, 4), and the bias elsewhere."""
    projection = FeatureProjection((2,), (1,))
    with torch.no_grad():
        projection.layers[0].weight.copy_(torch.tensor([2.0, -1.0]).view(1, 2, 1, 1))
        projection.layers[0].bias.fill_(0.5)
    one = torch.zeros(1, 2, 1, 2)
    one[0, :, 0, 1] = torch.tensor([3.0, 4.0])
    assert projection([one])[0].flatten().tolist() == pytest.approx([0.5, 2.5])


def test_gradients_reach_map_and_weights():
    projection, one = FeatureProjection((2,), (3,)), torch.rand(1, 2, 2, 2, requires_grad=True)
    projection([one])[0].sum().backward()
    assert one.grad.abs().sum() > 0 and all(weight.grad is not None for weight in projection.parameters())


def test_what_makes_no_pairs_is_refused():
    with pytest.raises(ValueError, match="2 maps to project and 1 to be like; expected pairs"):
        FeatureProjection((2, 2), (3,))
    with pytest.raises(ValueError):
        FeatureProjection((2, 2), (3, 3))([torch.rand(1, 2, 1, 1)])
