"""The encoder of styles against the authors' figures, and its means over instances."""

import pytest
import torch

from translate.networks.features.feature_encoder import FeatureEncoder


def test_has_the_authors_number_of_parameters_and_names():
    with torch.device("meta"):
        state = FeatureEncoder().state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 788_803
    layers = [1, 4, 7, 10, 13, 16, 19, 22, 25, 29]  # opening, four halvings, four doublings, closing
    assert set(state) == {f"model.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_one_style_for_each_instance_the_mean_over_its_pixels():
    torch.manual_seed(0)
    encoder = FeatureEncoder(features=2, base_channels=2, halvings=2)
    image = torch.rand(1, 3, 16, 16)
    numbers = torch.zeros(1, 16, 16, dtype=torch.int64)
    numbers[:, :, 8:] = 1
    styles = encoder(image, numbers)
    maps = encoder.model(image)
    expected = torch.stack([maps[0, :, :, :8].mean((1, 2)), maps[0, :, :, 8:].mean((1, 2))])
    torch.testing.assert_close(styles, expected)
    styles.sum().backward()
    assert encoder.model[1].weight.grad.abs().sum() > 0


def test_refuses_what_it_cannot_halve():
    encoder = FeatureEncoder(base_channels=2, halvings=2)
    with pytest.raises(ValueError, match="Image is 18x16; sides must divide by 4"):
        encoder(torch.zeros(1, 3, 16, 18), torch.zeros(1, 16, 18, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"4x4; sides must .* at least 8"):
        encoder(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
    assert encoder(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)).shape == (1, 3)
    with pytest.raises(ValueError, match="features 0"):
        FeatureEncoder(features=0)
