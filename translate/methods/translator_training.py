"""What every method of stage one has in common: it is trained, and what it has learnt translates.

What translates is a `Translator` that knows nothing of training; a method is one too, and can say which parts of what
it saves make one up, so that a trained translator is opened without the method.
Recipe: Adam, and a learning rate that falls in the last part of the training, as in CycleGAN's published code.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from segment.methods.method import Method
from segment.peers import Peers
from segment.settings import Decay, Fraction, PositiveFloat, PositiveInt, check_settings
from translate.schedules import LearningRate
from translate.translator import Translator

LearnsFrom = Literal["unpaired", "paired", "translated"]
BETAS = (0.5, 0.999)
"""Decay rates of Adam's two moments, in CycleGAN's code and all that came after it."""


@dataclass(frozen=True)
class TranslatorTrainingSettings:
    """How a translator is trained, whatever the method. Defaults are those of CycleGAN's published code."""

    steps: PositiveInt = 100_000
    learning_rate: PositiveFloat = 2e-4
    decay_fraction: Fraction = 0.5
    """Last part of the steps in which the learning rate falls linearly; 100 of 200 epochs in the paper."""
    ema_decay: Decay | None = None
    """Decay of moving averages of the generators, which then translate; absent: no average."""

    def __post_init__(self) -> None:
        check_settings(self)

    def check_crop(self, width: int, height: int) -> None:
        """Raise ValueError unless crops of this size suit every network that is trained on them."""


class TranslatorTraining(Method, Translator):
    """Networks that learn to translate; a subclass is one paper."""

    learns_from: ClassVar[LearnsFrom]
    """Source and target frames that have nothing to do with each other; labelled target frames alone; or source frames
    with their translations by a teacher."""

    Settings: ClassVar[type[TranslatorTrainingSettings]]
    """Dataclass of all that the method is told, beside what it works with (guidance, a perceptual loss)."""

    settings: TranslatorTrainingSettings

    learning_rate: LearningRate
    _optimizers: dict[str, Optimizer]

    @classmethod
    @abstractmethod
    def translator(cls, settings: Any) -> Translator:
        """What translates, its weights freshly drawn; nothing that only training needs is built."""

    @classmethod
    @abstractmethod
    def kept(cls, settings: Any) -> dict[str, str]:
        """Where `state_dict()` keeps what translates: each part of `translator(settings)`, and its prefix there."""

    def memory_format(self, device: torch.device) -> torch.memory_format:
        return torch.channels_last if device.type == "cpu" else torch.contiguous_format

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def learning_rate_scale(self, step: int) -> float:
        return self.learning_rate.scale(step)

    def join(self, peers: Peers) -> None:
        """Fill all memories of past images and styles together with other processes, each of which trains its part."""
        for module in self.modules():
            if hasattr(module, "peers"):
                module.peers = peers

    def taken_over(self) -> dict[str, nn.Module]:
        """The networks whose weights a warm start takes over, by their places in `state_dict()`: all that learn."""
        return {
            name: network
            for name, network in self.named_children()
            if any(parameter.requires_grad for parameter in network.parameters())
        }

    def start_from(self, state: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Take over the weights of all trained networks from the state dict of a method of the same kind.

        Everything else begins anew: optimizers, averages, pools of past images, the count of steps.

        Returns:
            The networks of which the state has nothing, since a term that they serve was left out when it was trained;
            they keep the weights that were drawn.

        Raises:
            ValueError: Weights of what translates are missing, or some of another network's; or they are those of
                another architecture.
        """
        absent = []
        for name, network in self.taken_over().items():
            translates = name.split(".")[0] in self.directions
            if translates or any(key.startswith(f"{name}.") for key in state):
                _fill(network, name, state)
            else:
                absent.append(name)
        return tuple(absent)


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> Adam:
    """The optimizer of every network of stage one."""
    # Fused: one pass over the weights instead of a dozen; 17 ms against 107 on two CPU cores, at CycleGAN's sizes.
    return Adam(parameters, lr=learning_rate, betas=BETAS, fused=True)


def _fill(network: nn.Module, name: str, state: Mapping[str, Tensor]) -> None:
    """Load the part of a method's state that belongs to the network called `name`."""
    prefix = f"{name}."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        network.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{name} cannot start from these weights: {' '.join(str(error).split())}") from error
