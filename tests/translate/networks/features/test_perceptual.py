"""VGG-19 as a judge: torchvision's architecture and names, and the weighted distance by hand."""

import pytest
import torch
import torchvision
from torch import nn

from segment.networks.encoders.encoder import Encoder
from translate.networks.features.perceptual import EncoderFeatures, PerceptualLoss, VGG19Features


def test_is_torchvisions_network_up_to_relu5_1():
    with torch.device("meta"):
        own, theirs = VGG19Features().state_dict(), torchvision.models.vgg19().state_dict()
    used = {key for key in theirs if key.startswith("features.") and int(key.split(".")[1]) <= 28}
    assert set(own) == used
    assert all(own[key].shape == theirs[key].shape for key in own)


def test_hands_out_the_five_maps():
    maps = VGG19Features(width=1 / 32)(torch.rand(1, 3, 32, 48))
    assert [tuple(one.shape) for one in maps] == [
        (1, 2, 32, 48), (1, 4, 16, 24), (1, 8, 8, 12), (1, 16, 4, 6), (1, 16, 2, 3)
    ]  # fmt: skip
    assert all(one.min() >= 0 for one in maps)


def test_takes_weights_and_leaves_what_it_does_not_need():
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = torchvision.models.vgg19().features.state_dict()
    weights = {f"features.{key}": torch.full(shape.shape, 0.01) for key, shape in shapes.items()}
    network = VGG19Features(weights | {"classifier.0.bias": torch.zeros(4)})
    assert network.features[28].bias[0] == pytest.approx(0.01)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_refuses_weights_of_another_network():
    with pytest.raises(ValueError, match="no weights of VGG-19"):
        VGG19Features({"model.1.weight": torch.zeros(1)}, width=1 / 32)


class Offsets(nn.Module):
    """Five maps: the image times 1, 2, 4, 8 and 16."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)
        self.seen = []

    def forward(self, image):
        self.seen.append(image)
        return [image * 2**depth for depth in range(5)]


def test_by_hand():
    fake, real = torch.zeros(1, 3, 4, 4, requires_grad=True), torch.full((1, 3, 4, 4), -0.5, requires_grad=True)
    network = Offsets()
    loss = PerceptualLoss(network)(fake, real)
    # 0.5 * (1/32 + 2/16 + 4/8 + 8/4 + 16)
    assert loss.item() == pytest.approx(0.5 * (0.03125 + 0.125 + 0.5 + 2 + 16))
    loss.backward()
    assert fake.grad.abs().sum() > 0 and real.grad is None


def test_the_image_goes_in_as_it_is():
    network = Offsets()
    image = torch.full((1, 3, 4, 4), -1.0)
    PerceptualLoss(network)(image, image)
    assert all(torch.equal(seen, image) for seen in network.seen)


class Doubled(Encoder):
    """Five maps: the normalised image times 1, 2, 4, 8 and 16."""

    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, normalised):
        return tuple(normalised * 2**depth for depth in range(5))


def test_an_encoder_in_the_place_of_vgg_gets_its_own_normalisation():
    """-1 to 1 is 0 to 1, and that by 0.5 and 0.25 from -2 to 2: what differs by 0.5 differs by 1 in its first map."""
    encoder = Doubled()
    encoder.scale = nn.Parameter(torch.ones(()))  # something to freeze, and to tell the device by
    features = EncoderFeatures(encoder.train())
    assert [one.unique().item() for one in features(torch.full((1, 3, 4, 4), -0.5))] == [-1, -2, -4, -8, -16]
    fake, real = torch.zeros(1, 3, 4, 4, requires_grad=True), torch.full((1, 3, 4, 4), -0.5)
    loss = PerceptualLoss(features)(fake, real)
    assert loss.item() == pytest.approx(1 / 32 + 2 / 16 + 4 / 8 + 8 / 4 + 16)
    loss.backward()
    assert fake.grad.abs().sum() > 0 and not encoder.training and not encoder.scale.requires_grad


def test_refuses_images_of_different_size():
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) and \(1, 3, 4, 8\)"):
        PerceptualLoss(Offsets())(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 8))
