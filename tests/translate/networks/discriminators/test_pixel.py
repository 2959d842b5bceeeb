"""The pixel discriminator: the authors' size, and a field of one pixel where no norm looks further."""

import torch
from torch import nn

from tests.translate.networks.discriminators.discriminator_tester import DiscriminatorTester
from translate.networks.discriminators.pixel import PixelDiscriminator


class TestPixel(DiscriminatorTester):
    name = "pixel"
    parameters = 8_705
    names = {f"net.{layer}.{kind}" for layer in (0, 2, 5) for kind in ("weight", "bias")}  # noqa: RUF012
    judgements = (256, 256)


class TestPixelWithBatchNorm(DiscriminatorTester):
    """The layers after the first leave the bias to the norm: 128 + 1 fewer, 2 * 128 learnt by the norm."""

    name = "pixel"
    settings = {"norm": "batch"}  # noqa: RUF012
    parameters = 8_705 - 129 + 256
    names = {"net.0.weight", "net.0.bias", "net.2.weight", "net.5.weight"} | {
        f"net.3.{kind}" for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    judgements = (256, 256)


def test_judges_every_pixel_by_itself():
    torch.manual_seed(0)
    discriminator = PixelDiscriminator(base_channels=2)
    discriminator.net[3] = nn.Identity()
    image = torch.rand(1, 3, 6, 5, requires_grad=True)
    judgement = discriminator(image)
    assert judgement.shape == (1, 1, 6, 5)
    judgement[0, 0, 2, 3].backward()
    assert image.grad.abs().sum(1).nonzero().tolist() == [[0, 2, 3]]
