"""Multiply-adds of a network's convolutions, counted from the shapes that pass through it."""

from torch import Tensor, nn


def multiply_adds(network: nn.Module, image: Tensor) -> int:
    """Products of all convolutions for one pass over `image`; transposed ones count what each input pixel spreads."""
    counted = []

    def count(layer, inputs, output):
        pixels = (inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output).shape[-2:].numel()
        counted.append(pixels * layer.weight.numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(image)
    for hook in hooks:
        hook.remove()
    return sum(counted)
