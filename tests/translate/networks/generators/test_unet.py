"""The U-Net generator against figures measured on the authors' own code."""

import pytest
import torch

from tests.translate.networks.generators.generator_tester import GeneratorTester
from translate.networks import GENERATORS
from translate.networks.generators.unet import UnetGenerator


class TestUnet256(GeneratorTester):
    name = "unet256"
    parameters = 54_409_603
    tensors = 32


class TestUnet256WithBatchNorm(GeneratorTester):
    name = "unet256"
    settings = {"norm": "batch"}  # noqa: RUF012
    parameters = 54_413_955
    tensors = 82
    depends_on_batch = True


class TestUnet128(GeneratorTester):
    name = "unet128"
    # The form with batch norm, less what each level's norms learn beyond the biases that they replace; from outside in:
    parameters = 41_828_995 - (-64 + 192 + 384 + 768 + 2 * 1024 + 0)
    tensors = 28


class TestUnet128WithBatchNorm(GeneratorTester):
    name = "unet128"
    settings = {"norm": "batch"}  # noqa: RUF012
    parameters = 41_828_995
    tensors = 70
    depends_on_batch = True


def test_names_are_those_of_published_checkpoints():
    names = set(UnetGenerator(halvings=5, base_channels=1, norm="batch").state_dict())
    inner = "model.model.1.model.3.model.3.model"
    assert {"model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.weight"} <= names
    assert {"model.model.3.bias", f"{inner}.1.weight", f"{inner}.2.running_var", f"{inner}.3.model.1.weight"} <= names
    assert "model.model.0.bias" not in names


def test_shapes_are_those_of_published_checkpoints():
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in UnetGenerator().state_dict().items()}
    assert shapes["model.model.0.weight"] == (64, 3, 4, 4)
    assert shapes["model.model.1.model.1.weight"] == (128, 64, 4, 4)
    assert shapes["model.model.1.model.5.weight"] == (256, 64, 4, 4)  # transposed: (in, out, 4, 4)
    assert shapes["model.model.3.weight"] == (128, 3, 4, 4)


def test_dropout_is_on_the_levels_in_between():
    dropped = [name for name, layer in UnetGenerator(base_channels=1, dropout=True).named_modules() if "7" in name[-1:]]
    assert len(dropped) == 3  # of eight: all of full width but the innermost
    assert all(name.endswith("model.7") for name in dropped)


def test_the_smallest_image_comes_down_to_one_pixel():
    torch.manual_seed(0)
    generator = GENERATORS["unet128"](base_channels=1)
    assert generator(torch.rand(1, 3, 128, 128)).shape == (1, 3, 128, 128)


def test_refuses_fewer_levels_than_it_widens_over():
    with pytest.raises(ValueError, match="at least 5 halvings, not 4"):
        UnetGenerator(halvings=4)
