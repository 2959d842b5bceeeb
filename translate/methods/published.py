"""Generators that others have trained: used as they are, without the networks that trained them.

A published checkpoint is often one generator, one way, alone. It translates like any other; to be trained on it lacks a
discriminator, and its counterpart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from torch import nn

from segment.settings import OneOf, PositiveInt, check_settings
from translate.choices import Direction, check_antialias, chosen
from translate.networks import GENERATORS
from translate.networks.generators.pix2pixhd import GlobalGenerator
from translate.translator import ImageTranslator

OF_IMAGES: dict[str, Callable[..., nn.Module]] = {**GENERATORS, "global": partial(GlobalGenerator, in_channels=3)}
"""All generators that take images; the last is pix2pixHD's."""


@dataclass(frozen=True)
class PublishedSettings:
    """Generators of a published checkpoint, as `sim2real checkpoint import` found them; used, never trained."""

    generator: Annotated[str, OneOf("translate.methods.published.OF_IMAGES")]
    directions: tuple[Direction, ...]
    """What it translates; each has its own weights."""
    halvings: PositiveInt = 4
    """Halvings in the generator "global"."""
    blocks: PositiveInt = 9
    """Residual blocks of the generator "global"."""
    generator_channels: PositiveInt = 64
    norm: Literal["instance", "batch", "frame"] = "instance"
    """"frame" is batch normalisation by the statistics of each frame instead of those that were saved."""
    antialias: bool = False
    """Blurs before halving and after doubling, as CUT's generators have them."""
    antialias_at: Literal["both", "halving", "doubling"] = "both"
    """Where it blurs: CUT's --no_antialias_up leaves "halving", --no_antialias "doubling"."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.directions:
            raise ValueError("directions is empty; a translator translates at least one way")
        check_antialias(self.antialias, self.generator)
        if self.antialias_at != "both" and not self.antialias:
            raise ValueError(f"antialias_at is {self.antialias_at}, and antialias false; set antialias to true")
        if self.generator == "global" and self.norm != "instance":
            raise ValueError(f'norm is {self.norm}; the generator "global" has instance normalisation. Leave norm out')
        if self.generator != "global" and (self.halvings, self.blocks) != (4, 9):
            raise ValueError(
                f'halvings and blocks are for the generator "global"; the generator is {self.generator}. Leave them out'
            )


class Published(ImageTranslator):
    """One generator for each direction, of one architecture."""

    Settings = PublishedSettings

    def __init__(self, settings: PublishedSettings) -> None:
        """Draw all weights. ValueError if the network's name is unknown."""
        super().__init__({direction: _generator(settings) for direction in settings.directions})

    @classmethod
    def translator(cls, settings: PublishedSettings) -> "Published":
        """Itself: there is nothing that only training needs. See `TranslatorTraining.translator`."""
        return cls(settings)

    @classmethod
    def kept(cls, settings: PublishedSettings) -> dict[str, str]:
        """Where `state_dict()` keeps each generator; see `TranslatorTraining.kept`."""
        return {direction: f"{direction}." for direction in settings.directions}


def _generator(settings: PublishedSettings) -> nn.Module:
    """Made with the words that its kind knows."""
    words: dict[str, Any] = {"norm": settings.norm}
    if settings.generator == "global":
        words = {"halvings": settings.halvings, "blocks": settings.blocks}
    elif settings.antialias:
        words["antialias"] = True if settings.antialias_at == "both" else settings.antialias_at
    return chosen(OF_IMAGES, settings.generator)(base_channels=settings.generator_channels, **words)
