"""What a trained translator does, whoever trained it and how: frames of one domain in, frames of the other out.

A method is trained on crops; what it learned is used on whole frames of any size, one direction at a time. Nothing here
knows of training: a translator is opened without the discriminators, pools and losses that it was made with.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.choices import Direction
from translate.padding import pad_to_multiple
from translate.value_range import to_signed, to_unit


class Translator(nn.Module, ABC):
    """A generator for each direction, a submodule of the direction's name."""

    takes: ClassVar[Literal["image", "label_map"]] = "image"
    """What `translate` is given: images of the other domain, or label maps."""

    directions: tuple[Direction, ...]
    """The ways that it goes; one-sided methods learn one."""

    source_to_target: nn.Module
    target_to_source: nn.Module

    def __init__(self, generators: Mapping[Direction, nn.Module]) -> None:
        """Take the generators, which say as `side_multiple` and `smallest_side` which sizes they are for."""
        super().__init__()
        self.directions = tuple(generators)
        for direction, network in generators.items():
            self.add_module(direction, network)

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        """The generator to use: its moving average if there is one. To signed images, of padded sides.

        Raises:
            ValueError: The translator does not go this way.
        """
        self.check_direction(direction)
        return self.get_submodule(direction)

    def check_direction(self, direction: str) -> None:
        """ValueError, naming the valid ones, unless `direction` is among `directions`."""
        if direction not in self.directions:
            raise ValueError(f"There is no direction {direction!r}; the valid ones are {', '.join(self.directions)}.")

    @abstractmethod
    def translate(self, given: Tensor, direction: Direction = "source_to_target") -> Tensor:
        """Translate what the translator `takes`, of any size, without gradient: (B, 3, H, W), float32 in [0, 1]."""


class ImageTranslator(Translator):
    """From images to images."""

    @torch.no_grad()
    def translate(self, image: Tensor, direction: Direction = "source_to_target") -> Tensor:
        """Translate images of any size, without gradient.

        Args:
            image: (B, 3, H, W) in [0, 1]; mirrored at the right and bottom to a size that the generator takes.
            direction: One of `directions`.

        Returns:
            (B, 3, H, W), float32 in [0, 1], every pixel where it was.

        Raises:
            ValueError: The translator does not go this way, or `image` is not (B, 3, H, W).
        """
        generator = self.generator(direction)
        with evaluating(generator):
            return translate_padded(generator, image)


def translate_padded(generator: nn.Module, image: Tensor) -> Tensor:
    """Image (B, 3, H, W) in [0, 1] of any size through a generator of signed images, and cropped back; float32."""
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, generator.side_multiple, generator.smallest_side)
    return to_unit(generator(to_signed(padded)))[..., :height, :width].float()


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Within the block, `networks` are in evaluation mode: what they compute leaves their batch statistics alone."""
    training = [network for network in networks if network.training]
    for network in training:
        network.eval()
    try:
        yield
    finally:
        for network in training:
            network.train()
