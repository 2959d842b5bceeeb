"""Generators that others have trained: used as they are, without the networks that trained them.

A published checkpoint is often one generator, one way, alone. It translates like any other; to be trained on it lacks a
discriminator, and its counterpart.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer

from segment.methods.method import Update
from translate.choices import chosen
from translate.methods.batches import UnpairedBatch
from translate.methods.translator import Direction, Translator
from translate.networks import GENERATORS
from translate.networks.pix2pixhd import GlobalGenerator


class Published(Translator):
    """One generator for each of `directions`, of one architecture.

    Args:
        generator: Key of GENERATORS, or "global": pix2pixHD's, from images.
        halvings: Of the generator "global".
        blocks: Of the generator "global".
        generator_channels: Channels of a generator at full resolution.
        norm: "instance", "batch", or "frame": batch normalisation by the statistics of each frame.
        antialias: Of ResNet generators with blurred halvings and doublings, as CUT's are.
        directions: What it translates; each has its own weights.

    Raises:
        ValueError: The network's name is unknown, or there is no direction.
    """

    def __init__(
        self,
        *,
        generator: str,
        halvings: int = 4,
        blocks: int = 9,
        generator_channels: int = 64,
        norm: str = "instance",
        antialias: bool = False,
        directions: Sequence[Direction] = ("source_to_target",),
    ) -> None:
        super().__init__()
        if not directions:
            raise ValueError("directions is empty; a translator translates at least one way.")
        self.directions = tuple(directions)
        make = partial(GlobalGenerator, in_channels=3, halvings=halvings, blocks=blocks)
        if generator != "global":
            # Only ResNets know the word.
            make = partial(chosen(GENERATORS, generator), norm=norm, **({"antialias": True} if antialias else {}))
        for direction in self.directions:
            self.add_module(direction, make(base_channels=generator_channels))

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def learning_rate_scale(self, step: int) -> float:
        return 1.0

    def step(self, batch: UnpairedBatch, update: Update) -> dict[str, Tensor]:
        """There is nothing to train with."""
        raise ValueError("A published generator alone cannot be trained: train cyclegan or cut.")

    def preview(self, batch: UnpairedBatch) -> dict[str, Tensor]:
        """Images and their translations, (B, 3, H, W) in [0, 1], of each direction that there is."""
        shown = {}
        for direction in self.directions:
            domain, _, other = direction.partition("_to_")
            image = getattr(batch, domain)
            shown |= {domain: image, f"fake_{other}": self.translate(image, direction)}
        return shown

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        self.check_direction(direction)
        return self.get_submodule(direction)
