"""The discriminators of pix2pixHD against figures measured on the authors' own code."""

import pytest
import torch
from torch import nn

from tests.translate.networks.receptive_field import receptive_field
from translate.networks.discriminators.multiscale import MultiscaleDiscriminator


def state(**settings):
    with torch.device("meta"):
        return MultiscaleDiscriminator(in_channels=39, **settings).state_dict()


@pytest.mark.parametrize(("scales", "parameters", "tensors"), [(2, 5_603_202, 20), (3, 8_404_803, 30)])
@pytest.mark.parametrize("features", [True, False])
def test_has_the_authors_number_of_parameters(scales, parameters, tensors, features):
    found = state(scales=scales, features=features)
    assert (sum(tensor.numel() for tensor in found.values()), len(found)) == (parameters, tensors)


def test_names_are_those_of_published_checkpoints():
    kinds = ("weight", "bias")
    with_features = {f"scale{i}_layer{j}.0.{kind}" for i in range(2) for j in range(5) for kind in kinds}
    without = {f"layer{i}.{j}.{kind}" for i in range(2) for j in (0, 2, 5, 8, 11) for kind in kinds}
    assert set(state()) == with_features
    assert set(state(features=False)) == without


class OneScale(nn.Module):
    def __init__(self, place):
        super().__init__()
        self.discriminator = MultiscaleDiscriminator(in_channels=3, base_channels=1, scales=3, features=False)
        self.place = place

    def forward(self, image):
        return self.discriminator(image)[self.place][-1]


@pytest.mark.parametrize(("place", "expected"), [(0, 70), (1, 141), (2, 283)])
def test_receptive_field(place, expected):
    assert receptive_field(OneScale(place), side=2 * expected + 96) == expected


def test_hands_out_features_of_every_layer_full_resolution_first():
    judged = MultiscaleDiscriminator(in_channels=4, base_channels=2)(torch.rand(1, 4, 32, 64))
    assert [len(layers) for layers in judged] == [5, 5]
    assert [tuple(layer.shape[1:]) for layer in judged[0]] == [
        (2, 17, 33), (4, 9, 17), (8, 5, 9), (16, 6, 10), (1, 7, 11)
    ]  # fmt: skip
    assert judged[1][0].shape == (1, 2, 9, 17)


def test_the_last_discriminator_sees_full_resolution():
    torch.manual_seed(0)
    discriminator = MultiscaleDiscriminator(in_channels=3, base_channels=2, scales=2)
    image = torch.rand(1, 3, 32, 32)
    before = discriminator(image)
    with torch.no_grad():
        discriminator.scale1_layer0[0].weight.zero_()
    after = discriminator(image)
    assert not torch.equal(before[0][0], after[0][0]) and torch.equal(before[1][0], after[1][0])


def test_what_lies_outside_does_not_darken_the_borders_of_coarser_scales():
    discriminator = MultiscaleDiscriminator(in_channels=1, base_channels=2)
    seen = []
    discriminator.scale0_layer0.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    discriminator(torch.ones(1, 1, 32, 32))
    assert torch.equal(seen[0], torch.ones(1, 1, 16, 16))


def test_both_forms_judge_alike():
    torch.manual_seed(0)
    with_features = MultiscaleDiscriminator(in_channels=3, base_channels=2)
    without = MultiscaleDiscriminator(in_channels=3, base_channels=2, features=False)
    for own, other in zip(without.parameters(), with_features.parameters(), strict=True):
        own.data.copy_(other)
    image = torch.rand(1, 3, 32, 32)
    for one, other in zip(with_features(image), without(image), strict=True):
        assert len(other) == 1 and torch.equal(one[-1], other[-1])


def test_refuses_to_have_none():
    with pytest.raises(ValueError, match="scales 0"):
        MultiscaleDiscriminator(in_channels=3, scales=0)
