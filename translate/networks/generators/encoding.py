"""How a generator's encoder is asked for what its layers put out: CUT compares patches by them.

Shared by the light generators, whose layers are counted from 1, the input being layer 0.
"""

from collections.abc import Sequence

from torch import Tensor, nn


def walk(encoder: Sequence[nn.Module], image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Through all of the encoder: what comes out, and what the given layers put out on the way, in ascending order."""
    found = [image] if 0 in layers else []
    for place, layer in enumerate(encoder, start=1):
        image = layer(image)
        if place in layers:
            found.append(image)
    return image, found


def features_of(encoder: Sequence[nn.Module], image: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """What the given layers put out, in ascending order; nothing is computed beyond the last.

    Raises:
        ValueError: There is no such layer.
    """
    if not layers or min(layers) < 0 or max(layers) > len(encoder):
        raise ValueError(f"Layers are {list(layers)}; expected positions from 0 to {len(encoder)}.")
    return walk(encoder[: max(layers)], image, layers)[1]
