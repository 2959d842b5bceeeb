"""Folding leaves no trace in the answer, and none in the network that was given."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segment.complexity import count_parameters
from segment.folding import FoldedBatchNorm2d, folded
from segment.networks import NETWORKS
from segment.normalisation import SyncedBatchNorm2d

LARGE = 30e6
"""Parameters from which a network is too large for a quick test."""


def with_lived_in_norms(network):
    """Normalisation that changes something, as after training."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def folded_norms(network):
    return sum(isinstance(module, FoldedBatchNorm2d) for module in network.modules())


def assert_same(network, image):
    with torch.no_grad():
        expected, actual = network(image), folded(network, tuple(image.shape[-2:]))(image)
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


def by_size():
    for name, build in NETWORKS.items():
        with torch.device("meta"):
            large = count_parameters(build(auxiliary=False)) > LARGE
        yield pytest.param(name, marks=pytest.mark.slow if large else ())


@pytest.mark.parametrize("name", list(by_size()))
def test_every_network_answers_as_before(name):
    torch.manual_seed(0)
    network = with_lived_in_norms(NETWORKS[name](num_classes=3, auxiliary=False).double())
    assert_same(network, torch.rand(1, 3, 64, 96, dtype=torch.float64))
    assert folded_norms(folded(network)) > 0


def test_by_hand():
    """y = 2 (3x + 1 - 4) / 2 + 5 = 3x + 2, with a variance of 4."""
    conv, norm = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=1e-12)
    nn.init.constant_(conv.weight, 1)
    nn.init.constant_(conv.bias, 1)
    norm.running_mean.fill_(4)
    norm.running_var.fill_(4)
    nn.init.constant_(norm.weight, 2)
    nn.init.constant_(norm.bias, 5)
    fused, gone = folded(nn.Sequential(conv, norm))
    torch.testing.assert_close(fused.weight, torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(fused.bias, torch.tensor([2.0]))
    assert isinstance(gone, FoldedBatchNorm2d)


def test_the_network_is_left_alone():
    network = with_lived_in_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).train()
    before = copy.deepcopy(network.state_dict())
    folded(network)
    assert network.training and isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class UsedTwice(nn.Module):
    """The convolution's output goes around the normalisation, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) + F.relu(x)


class OneNormForTwo(UsedTwice):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(self.other(x))


class OneConvolutionForTwo(UsedTwice):
    def __init__(self):
        super().__init__()
        self.other = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) + self.other(self.conv(x))


class NormFirst(UsedTwice):
    def forward(self, x):
        return self.conv(F.relu(self.norm(x)))


@pytest.mark.parametrize("build", [UsedTwice, OneNormForTwo, OneConvolutionForTwo, NormFirst])
def test_what_cannot_be_folded_is_left(build):
    network = with_lived_in_norms(build())
    assert folded_norms(folded(network)) == 0
    assert_same(network, torch.rand(1, 3, 16, 16))


class Again(UsedTwice):
    """Both together, twice: shared over scales, say."""

    def forward(self, x):
        return self.norm(self.conv(self.norm(self.conv(x))))


def test_a_pair_that_runs_twice_is_folded():
    network = with_lived_in_norms(Again())
    assert folded_norms(folded(network)) == 1
    assert_same(network, torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3, affine=False), SyncedBatchNorm2d(3)])
def test_norms_of_other_kinds(norm):
    network = with_lived_in_norms(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), norm))
    assert folded_norms(folded(network)) == 1
    assert_same(network, torch.rand(1, 3, 16, 16))


def test_norm_of_the_batch_itself_stays():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    assert folded_norms(folded(network)) == 0
