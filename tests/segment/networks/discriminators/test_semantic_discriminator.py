"""The discriminator of features: its answers, and that a class is judged as a place is."""

import torch

from segment.networks.discriminators.semantic_discriminator import SemanticDiscriminator


def test_twice_as_many_answers_as_classes_at_every_place():
    assert SemanticDiscriminator(5, classes=3, channels=8)(torch.rand(2, 5, 4, 6)).shape == (2, 6, 4, 6)


def test_each_place_is_judged_alone():
    torch.manual_seed(0)
    judge, features = SemanticDiscriminator(5, classes=3, channels=8), torch.rand(1, 5, 2, 2)
    torch.testing.assert_close(judge(features[..., 1:, 1:]), judge(features)[..., 1:, 1:])


def test_layers_are_the_papers():
    first, between, last = SemanticDiscriminator(2048, classes=19)
    assert (first.in_channels, first.out_channels, last.out_channels) == (2048, 1024, 38)
    assert between.negative_slope == 0.2 and first.kernel_size == last.kernel_size == (1, 1)
