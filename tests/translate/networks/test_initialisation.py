"""How networks start, by name, at deviations worked out from the layer's shape."""

import pytest
import torch
from torch import nn

from translate.networks.initialisation import INITIALISATIONS, draw_convolutions, draw_weights


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("normal", 0.02),
        ("xavier", 0.02 * (2 / (9 * 64 + 9 * 128)) ** 0.5),  # gain * sqrt(2 / (fan in + fan out))
        ("kaiming", (2 / (9 * 64)) ** 0.5),  # sqrt(2 / fan in)
    ],
)
def test_deviation(name, expected):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 128, 3)
    draw_weights(layer, name)
    assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert abs(layer.weight.mean().item()) < 0.02 * expected * 3
    assert torch.count_nonzero(layer.bias) == 0


def test_orthogonal_rows_of_length_gain():
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, 3)
    draw_weights(layer, "orthogonal")
    rows = layer.weight.flatten(1)
    assert torch.allclose(rows @ rows.T, 0.02**2 * torch.eye(8), atol=1e-7)


def test_batch_norms_start_near_one():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4096)
    draw_weights(norm, "normal")
    assert norm.weight.mean().item() == pytest.approx(1, abs=2e-3)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.count_nonzero(norm.bias) == 0


def test_pix2pixhd_draws_its_convolutions_alone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.ConvTranspose2d(64, 32, 3), nn.Linear(2, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    draw_convolutions(network)
    drawn = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert drawn == {"0.weight", "1.weight"}
    assert all(network[place].weight.std().item() == pytest.approx(0.02, rel=0.02) for place in (0, 1))


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_equal_seeds_start_equal(name):
    layers = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    for layer in layers:
        torch.manual_seed(5)
        draw_weights(layer, name)
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no initialisation 'he'; the valid ones are normal, xavier, kaiming"):
        draw_weights(nn.Conv2d(1, 1, 1), "he")
