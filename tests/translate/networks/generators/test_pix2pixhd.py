"""The generators of pix2pixHD against figures measured on the authors' own code."""

import pytest
import torch
from torch import nn

from tests.translate.networks.receptive_field import receptive_field
from translate.networks.generators.pix2pixhd import GlobalGenerator, LocalEnhancer, coarse_closing

GLOBAL_PLAIN = [1, 4, 7, 10, 13, 25, 28, 31, 34]


def state(make, **settings):
    with torch.device("meta"):
        return make(**settings).state_dict()


def names(plain, blocks, prefix="model"):
    layers = [f"{prefix}.{layer}" for layer in plain]
    layers += [f"{prefix}.{block}.conv_block.{layer}" for block in blocks for layer in (1, 5)]
    return {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def numbers(tensors):
    return sum(tensor.numel() for tensor in tensors.values()), len(tensors)


def small(make=GlobalGenerator, **settings):
    torch.manual_seed(0)
    return make(**{"in_channels": 5, "base_channels": 2, "halvings": 2, "blocks": 1} | settings)


@pytest.mark.parametrize(("channels", "expected"), [(36, 182_546_755), (35, 182_543_619), (39, 182_556_163)])
def test_global_generator_has_the_authors_number_of_parameters(channels, expected):
    assert numbers(state(GlobalGenerator, in_channels=channels)) == (expected, 56)


def test_local_enhancer_has_the_authors_number_of_parameters():
    assert numbers(state(LocalEnhancer, in_channels=36)) == (182_857_059, 74)


def test_names_are_those_of_published_checkpoints():
    assert set(state(GlobalGenerator, in_channels=36)) == names([*GLOBAL_PLAIN, 38], range(16, 25))
    local = names(GLOBAL_PLAIN, range(16, 25)) | names([1, 4], [], "model1_1") | names([3, 7], range(3), "model1_2")
    assert set(state(LocalEnhancer, in_channels=36)) == local


def test_shapes_are_those_of_published_checkpoints():
    shapes = {key: tuple(tensor.shape) for key, tensor in state(LocalEnhancer, in_channels=36).items()}
    assert shapes["model.1.weight"] == (64, 36, 7, 7)
    assert shapes["model.16.conv_block.1.weight"] == (1024, 1024, 3, 3)
    assert shapes["model.25.weight"] == (1024, 512, 3, 3)  # transposed: (in, out, 3, 3)
    assert shapes["model1_1.1.weight"] == (32, 36, 7, 7) and shapes["model1_2.7.weight"] == (3, 32, 7, 7)


def test_receptive_field():
    """Four doublings make sixteen kinds of columns; the middle of 768 is one of the kind that sees widest."""
    assert receptive_field(GlobalGenerator(in_channels=3, base_channels=1), side=768) == 645


@pytest.mark.parametrize("settings", [{}, {"make": LocalEnhancer}, {"make": LocalEnhancer, "enhancers": 2}])
def test_keeps_batch_and_size_and_teaches_every_weight(settings):
    generator = small(**settings, **({"base_channels": 4} if "make" in settings else {}))
    layout = torch.rand(2, 5, 32, 48, requires_grad=True)
    image = generator(layout)
    assert image.shape == (2, 3, 32, 48) and image.abs().max() <= 1
    image.square().sum().backward()
    assert layout.grad.abs().sum() > 0
    weights = {name: weight for name, weight in generator.named_parameters() if name.endswith("weight")}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_an_image_does_not_depend_on_its_batch():
    generator, layouts = small(LocalEnhancer), torch.rand(2, 5, 16, 16)
    apart = torch.cat([generator(layout[None]) for layout in layouts])
    torch.testing.assert_close(generator(layouts), apart)


def test_each_enhancer_doubles_the_resolution_of_the_one_inside():
    generator = small(LocalEnhancer, base_channels=4, enhancers=2)
    assert generator.coarse(torch.rand(1, 5, 32, 48)).shape == (1, 5, 8, 12)
    assert generator.coarse_channels == 16
    features = generator.model(torch.rand(1, 5, 8, 12))
    assert features.shape == (1, 16, 8, 12) and coarse_closing(16)(features).shape == (1, 3, 8, 12)


def test_coarse_layouts_are_means_that_do_not_count_what_is_outside():
    layout = torch.ones(1, 5, 8, 8)
    assert torch.equal(small(LocalEnhancer).coarse(layout), torch.ones(1, 5, 4, 4))


def test_starts_with_small_gaussian_weights():
    torch.manual_seed(0)
    generator = GlobalGenerator(in_channels=20, base_channels=16, halvings=2, blocks=1)
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            tolerance = 4 * 0.02 / (2 * layer.weight.numel()) ** 0.5  # 4 standard errors of a measured deviation
            assert layer.weight.std().item() == pytest.approx(0.02, abs=tolerance)


@pytest.mark.parametrize(
    ("make", "size", "message"),
    [
        (GlobalGenerator, (18, 16), r"16x18; sides must divide by 4 and be at least 8.*Pad"),
        (LocalEnhancer, (16, 20), r"20x16; sides must divide by 8 and be at least 16"),
        (GlobalGenerator, (4, 16), "at least 8"),
    ],
)
def test_refuses_sizes_it_would_not_give_back(make, size, message):
    with pytest.raises(ValueError, match=message):
        small(make)(torch.zeros(1, 5, *size))


@pytest.mark.parametrize(("setting", "make"), [("blocks", GlobalGenerator), ("enhancers", LocalEnhancer)])
def test_refuses_to_have_none(setting, make):
    with pytest.raises(ValueError, match=f"{setting} is 0; expected at least 1"):
        small(make, **{setting: 0})
