"""The ResNet generator against figures measured on the authors' own code."""

import pytest
import torch
from torch import nn

from tests.translate.networks.generator_tester import GeneratorTester
from tests.translate.networks.receptive_field import receptive_field
from translate.networks import GENERATORS
from translate.networks.resnet_generator import ResnetGenerator


class TestResnet9(GeneratorTester):
    name = "resnet9"
    parameters = 11_378_179
    tensors = 48

    def test_names_are_those_of_published_checkpoints(self):
        plain = [1, 4, 7, 19, 22, 26]
        expected = {f"model.{layer}.{kind}" for layer in plain for kind in ("weight", "bias")}
        expected |= {
            f"model.{block}.conv_block.{layer}.{kind}"
            for block in range(10, 19)
            for layer in (1, 5)
            for kind in ("weight", "bias")
        }
        assert set(self.tiny().state_dict()) == expected

    def test_shapes_are_those_of_published_checkpoints(self):
        with torch.device("meta"):
            shapes = {key: tuple(tensor.shape) for key, tensor in ResnetGenerator().state_dict().items()}
        assert shapes["model.1.weight"] == (64, 3, 7, 7)
        assert shapes["model.10.conv_block.1.weight"] == (256, 256, 3, 3)
        assert shapes["model.19.weight"] == (256, 128, 3, 3)  # transposed: (in, out, 3, 3)
        assert shapes["model.26.weight"] == (3, 64, 7, 7)


class TestResnet6(GeneratorTester):
    name = "resnet6"
    parameters = 7_837_699
    tensors = 36

    def test_names_are_those_of_published_checkpoints(self):
        names = set(self.tiny().state_dict())
        assert {"model.10.conv_block.1.weight", "model.15.conv_block.5.bias", "model.16.weight"} <= names
        assert {"model.19.bias", "model.23.weight"} <= names


@pytest.mark.parametrize(("name", "expected"), [("resnet6", 117), ("resnet9", 165)])
def test_receptive_field(name, expected):
    assert receptive_field(GENERATORS[name](base_channels=1), side=224) == expected


@pytest.mark.parametrize(("name", "expected"), [("resnet6", 121), ("resnet9", 169)])
def test_one_column_in_four_sees_four_pixels_more(name, expected):
    """The doublings give each pixel of a 4x4 cell its own field; who cuts tiles must reckon with the widest."""
    assert receptive_field(GENERATORS[name](base_channels=1), side=224, outputs=4) == expected


def test_starts_with_small_gaussian_weights_and_no_bias():
    torch.manual_seed(0)
    for layer in ResnetGenerator(blocks=6, base_channels=16).modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # 4 standard errors of a deviation measured on n draws: 4 * 0.02 / sqrt(2n).
            tolerance = 4 * 0.02 / (2 * layer.weight.numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(0.02, abs=tolerance)
            assert torch.count_nonzero(layer.bias) == 0


def test_normalises_without_learned_or_running_statistics():
    norms = [layer for layer in ResnetGenerator(base_channels=1).modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 5 + 2 * 9
    assert not any(norm.affine or norm.track_running_stats for norm in norms)
