"""HyPER-GAN's discriminator: the authors' size and names, and a field of 22 pixels."""

from tests.translate.networks.discriminators.discriminator_tester import DiscriminatorTester
from tests.translate.networks.receptive_field import receptive_field
from translate.networks.discriminators.crop import CropDiscriminator


class TestCrop(DiscriminatorTester):
    name = "crop"
    # 64 * 48 + 64, 128 * 64 * 16 + 128, 256 * 128 * 16 + 256, and 256 + 1.
    parameters = 3_136 + 131_200 + 524_544 + 257
    names = {f"net.{layer}.{kind}" for layer in (0, 2, 5, 8) for kind in ("weight", "bias")}  # noqa: RUF012
    judgements = (32, 32)


def test_receptive_field():
    """4 at a quarter, twice enlarged by a 4x4 kernel of stride 2: 2 * 4 + 2 = 10, and 22."""
    assert receptive_field(CropDiscriminator(base_channels=1), side=96) == 22
