"""Batch normalisation folded into the convolution before it: the same function with a pass over the features less.

In evaluation a batch normalisation multiplies and adds constants per channel, which the weights of a convolution can do
as well. Which convolution stands before which normalisation is a matter of `forward`, not of the order of submodules;
so a run on the meta device, which takes no memory, is watched. That works where tracing a graph does not.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network, size: tuple[int, int] = (128, 128)) -> Network:
    """A copy of a network, in evaluation mode and without gradients, with all that can be folded.

    A normalisation is folded if it sees the output of one convolution and no other input, and that output is used
    nowhere else, in every call. What is not run in evaluation (auxiliary heads) stays as it is.

    Args:
        network: Takes an image (1, 3, H, W); left alone.
        size: (height, width) of the image that it is watched on.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for convolution, norm in _pairs(network, size):
        fused = fuse_conv_bn_eval(network.get_submodule(convolution), network.get_submodule(norm))
        network.set_submodule(convolution, fused.requires_grad_(False))
        network.set_submodule(norm, FoldedBatchNorm2d().eval())
    return network


def _pairs(network: nn.Module, size: tuple[int, int]) -> list[tuple[str, str]]:
    """Names of convolutions and of the normalisations to fold into them."""
    watched = copy.deepcopy(network).to("meta")
    uses = _Uses()
    made_by: dict[int, str] = {}
    before: dict[str, set[str | None]] = {}
    after: dict[str, set[str | None]] = {}

    def note_output(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            made_by[id(output)] = name
            after.setdefault(name, set())

        return hook

    def note_input(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            source = made_by.get(id(inputs[0]))
            before.setdefault(name, set()).add(source)
            if source is not None:
                after[source].add(name)

        return hook

    for name, module in watched.named_modules():
        if type(module) is nn.Conv2d:
            module.register_forward_hook(note_output(name))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.register_forward_pre_hook(note_input(name))
    with torch.no_grad(), uses:
        watched(torch.zeros(1, 3, *size, device="meta"))

    shared = {made_by[identity] for identity in made_by if uses.count.get(identity, 0) != 1}
    return [
        (convolution, norm)
        for norm, sources in before.items()
        for convolution in sources
        if convolution is not None and len(sources) == 1 and after[convolution] == {norm} and convolution not in shared
    ]


class FoldedBatchNorm2d(nn.Identity):
    """Stands where a normalisation was: printed networks tell, and places in a sequence stay."""


class _Uses(TorchFunctionMode):
    """Counts the functions that make something of each tensor; reading its shape is none."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no other tensor takes the identity of one that is gone

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.kept.append((args, kwargs, result))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, Tensor):
                    self.count[id(leaf)] = self.count.get(id(leaf), 0) + 1
        return result
