"""What methods that learn from unpaired frames have in common: the words for their networks, losses and schedules.

CUT's authors built on CycleGAN's code and kept the way that both kinds of networks are trained; theirs are CycleGAN's,
but for blurs before halving and after doubling. So these settings, and what is made of them, stand once.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import nn

from segment.settings import OneOf, PositiveInt
from translate.choices import check_antialias, check_divides, chosen
from translate.methods.translator_training import TranslatorTrainingSettings
from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.normalisation import Norm


@dataclass(frozen=True)
class UnpairedTrainingSettings(TranslatorTrainingSettings):
    """Networks, losses and schedule. Defaults are CycleGAN's."""

    generator: Annotated[str, OneOf("translate.networks.GENERATORS")] = "resnet9"
    discriminator: Annotated[str, OneOf("translate.networks.DISCRIMINATORS")] = "patch"
    discriminator_layers: Annotated[int, Ge(1), Le(6)] = 3
    """Halvings of the patch discriminator: 1 to 5 see patches of 16, 34, 70, 142, 286 pixels."""
    initialisation: Annotated[str, OneOf("translate.networks.initialisation.INITIALISATIONS")] = "normal"
    gan_loss: Annotated[str, OneOf("translate.losses.GAN_LOSSES")] = "least_squares"
    schedule: Annotated[str, OneOf("translate.schedules.SCHEDULES")] = "linear"
    """How the learning rate falls in the last `decay_fraction` of the steps."""
    generator_channels: PositiveInt = 64
    """Width of the generators' first layer; 64 in the paper, 16 trains on a CPU in minutes."""
    discriminator_channels: PositiveInt = 64
    antialias: bool = False
    """Blur before halving and after doubling, in ResNets: no checkerboard and smoother pictures, in more time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_antialias(self.antialias, self.generator)

    def check_crop(self, width: int, height: int) -> None:
        check_divides(self.generator, width, height)
        least = 3 * 2**self.discriminator_layers if self.discriminator == "patch" else 0
        for side in (width, height):
            if side < least:
                raise ValueError(
                    f"crop is {side}; a discriminator of {self.discriminator_layers} layers needs {least} or more"
                )


def make_generator(settings: UnpairedTrainingSettings, norm: Norm = "instance") -> nn.Module:
    """A generator with freshly drawn weights. ValueError if its name is unknown."""
    blurred = {"antialias": True} if settings.antialias else {}  # only ResNets know the word
    return chosen(GENERATORS, settings.generator)(
        base_channels=settings.generator_channels, norm=norm, initialisation=settings.initialisation, **blurred
    )


def make_discriminator(
    settings: UnpairedTrainingSettings, norm: Norm = "instance", antialias: bool = False
) -> nn.Module:
    """A discriminator with freshly drawn weights. ValueError if its name is unknown.

    Args:
        settings: Which, and how wide.
        norm: As of the generators.
        antialias: Blur before halving, of a patch discriminator.
    """
    depth = {"layers": settings.discriminator_layers} if settings.discriminator == "patch" else {}
    if antialias:
        depth["antialias"] = True  # only the patch discriminator knows the word
    return chosen(DISCRIMINATORS, settings.discriminator)(
        base_channels=settings.discriminator_channels, norm=norm, initialisation=settings.initialisation, **depth
    )
