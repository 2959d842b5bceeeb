"""The projection of patches: what it takes from where, and the names and sizes of the authors' netF."""

import pytest
import torch

from translate.networks.features.patch_projection import PatchProjection


def test_names_and_parameters_are_those_of_the_authors():
    projection = PatchProjection((3, 128, 256, 256, 256))
    names = [f"mlp_{place}.{layer}.{part}" for place in range(5) for layer in (0, 2) for part in ("weight", "bias")]
    assert list(projection.state_dict()) == names
    # 256 * (3 + 128 + 3 * 256) + 5 * 256 * 256 weights, and 2 * 5 * 256 biases
    assert sum(one.numel() for one in projection.parameters()) == 560_384


def test_gives_unit_vectors_of_every_place():
    maps = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    locations = [torch.tensor([0, 7, 19]), torch.tensor([3])]
    first, second = PatchProjection((3, 6), features=8)(maps, locations)
    assert first.shape == (2, 3, 8) and second.shape == (2, 1, 8)
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(2, 3))


def test_a_place_counts_along_rows():
    """Place 7 in a map of 4 rows and 5 columns is row 1, column 2; by hand with weights that let everything through."""
    projection = PatchProjection((2,), features=2)
    for layer in (0, 2):
        torch.nn.init.eye_(projection.mlp_0[layer].weight)
    one = torch.zeros(1, 2, 4, 5)
    one[0, :, 1, 2] = torch.tensor([3.0, 4.0])
    (found,) = projection([one], [torch.tensor([7])])
    torch.testing.assert_close(found, torch.tensor([[[0.6, 0.8]]]))


def test_gradients_reach_map_and_weights():
    projection, one = PatchProjection((3,), features=4), torch.randn(1, 3, 4, 4, requires_grad=True)
    projection([one], [torch.tensor([5, 6])])[0].sum().backward()
    assert one.grad[:, :, 1, 1:3].abs().sum() > 0 and one.grad[:, :, 0].abs().sum() == 0
    assert all(weight.grad is not None for weight in projection.parameters())


def test_refuses_maps_of_other_channels():
    with pytest.raises(ValueError, match=r"\(4,\) channels, with 1 sets of locations; expected \(3,\)"):
        PatchProjection((3,))([torch.zeros(1, 4, 2, 2)], [torch.tensor([0])])
