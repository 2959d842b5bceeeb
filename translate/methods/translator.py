"""What every method of stage one can do beyond training: translate.

A method is trained on crops; what it learned is used on whole frames of any size, one direction at a time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from segment.methods.method import Method
from segment.peers import Peers
from translate.padding import pad_to_multiple
from translate.value_range import to_signed, to_unit

Direction = Literal["source_to_target", "target_to_source"]


class Translator(Method):
    """A method whose networks turn frames of one domain into frames of another."""

    takes: ClassVar[Literal["image", "label_map"]] = "image"
    """What `translate` is given: images of the other domain, or label maps."""

    directions: ClassVar[tuple[Direction, ...]] = get_args(Direction)
    """What it learns; one-sided methods learn one."""

    def memory_format(self, device: torch.device) -> torch.memory_format:
        return torch.channels_last if device.type == "cpu" else torch.contiguous_format

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        """The generator to use: its moving average if there is one. Signed image to signed image, padded sides.

        Raises:
            ValueError: The method does not learn this direction.
        """
        ...

    def check_direction(self, direction: str) -> None:
        """ValueError, naming the valid ones, unless the method learns `direction`."""
        if direction not in self.directions:
            raise ValueError(f"There is no direction {direction!r}; the valid ones are {', '.join(self.directions)}.")

    @torch.no_grad()
    def translate(self, image: Tensor, direction: Direction = "source_to_target") -> Tensor:
        """Translate images of any size, without gradient.

        Args:
            image: (B, 3, H, W) in [0, 1]; mirrored at the right and bottom to a size that the generator takes.
            direction: One of `directions`.

        Returns:
            (B, 3, H, W), float32 in [0, 1], every pixel where it was.

        Raises:
            ValueError: The direction is not learnt, or `image` is not (B, 3, H, W).
        """
        generator = self.generator(direction)
        with evaluating(generator):
            return translate_padded(generator, image)

    def join(self, peers: Peers) -> None:
        """Fill all memories of past images and styles together with other processes, each of which trains its part."""
        for module in self.modules():
            if hasattr(module, "peers"):
                module.peers = peers

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of all trained networks from the state dict of a method of the same kind.

        Everything else begins anew: optimizers, averages, pools of past images, the count of steps.

        Raises:
            ValueError: A network's weights are missing, or are those of another architecture.
        """
        for name, network in self.named_children():
            if any(parameter.requires_grad for parameter in network.parameters()):
                _fill(network, name, state)


def translate_padded(generator: nn.Module, image: Tensor) -> Tensor:
    """Image (B, 3, H, W) in [0, 1] of any size through a generator of signed images, and cropped back; float32."""
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, generator.side_multiple, generator.smallest_side)
    return to_unit(generator(to_signed(padded)))[..., :height, :width].float()


def _fill(network: nn.Module, name: str, state: Mapping[str, Tensor]) -> None:
    """Load the part of a method's state that belongs to the network called `name`."""
    prefix = f"{name}."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        network.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{name} cannot start from these weights: {' '.join(str(error).split())}") from error


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
