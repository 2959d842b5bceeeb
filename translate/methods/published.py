"""Generators that others have trained: used as they are, without the networks that trained them.

A published checkpoint is often one generator, one way, alone. It translates like any other; to be trained on it lacks a
discriminator, and its counterpart.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from segment.methods.method import Update
from translate.choices import chosen
from translate.methods.batches import UnpairedBatch
from translate.methods.translator import Direction, Translator
from translate.networks import GENERATORS


class Published(Translator):
    """One generator for each of `directions`, of one architecture.

    Args:
        generator: Key of GENERATORS.
        generator_channels: Channels of a generator at full resolution.
        norm: "instance" or "batch".
        antialias: Of ResNet generators with blurred halvings and doublings, as CUT's are.
        directions: What it translates; each has its own weights.

    Raises:
        ValueError: The network's name is unknown, or there is no direction.
    """

    def __init__(
        self,
        *,
        generator: str,
        generator_channels: int = 64,
        norm: str = "instance",
        antialias: bool = False,
        directions: Sequence[Direction] = ("source_to_target",),
    ) -> None:
        super().__init__()
        if not directions:
            raise ValueError("directions is empty; a translator translates at least one way.")
        self.directions = tuple(directions)
        # Only ResNets know the word.
        blurred = {"antialias": True} if antialias else {}
        for direction in self.directions:
            network = chosen(GENERATORS, generator)(base_channels=generator_channels, norm=norm, **blurred)
            self.add_module(direction, network)

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def learning_rate_scale(self, step: int) -> float:
        return 1.0

    def step(self, batch: UnpairedBatch, update: Update) -> dict[str, Tensor]:
        """There is nothing to train with."""
        raise ValueError("A published generator alone cannot be trained: train cyclegan or cut.")

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        self.check_direction(direction)
        return self.get_submodule(direction)
