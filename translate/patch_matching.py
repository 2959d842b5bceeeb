"""Patches of real images that look most like given ones, by the pooled features of an encoder.

HyPER-GAN (Pasios and Nikolaidis, arXiv:2603.10604, 2026): a student that sees only its teacher's translations learns
their artefacts too; real patches of like content show it what is real. A few thousand patches need no search tree:
all similarities are one matrix product.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

AT_ONCE = 32
"""Patches that go through the encoder together."""


def grid_patches(image: Tensor, side: int) -> Tensor:
    """Square patches side by side from the top left corner; what is left over at the right and bottom is left out.

    Args:
        image: (B, C, H, W).
        side: Of the patches.

    Returns:
        (B * rows * columns, C, side, side): row by row of the first image, then of the next.

    Raises:
        ValueError: No patch fits.
    """
    rows, columns = (length // side for length in image.shape[-2:])
    if rows * columns == 0:
        raise ValueError(f"Images are {image.shape[-1]}x{image.shape[-2]}; patches of {side} pixels do not fit.")
    cut = image[..., : rows * side, : columns * side].unflatten(3, (columns, side)).unflatten(2, (rows, side))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


class RealPatches:
    """Real patches, and the features that they are found by.

    Not a module: a method that holds it neither saves nor trains the encoder.
    """

    def __init__(self, patches: Sequence[Tensor], encode: Callable[[Tensor], Tensor]) -> None:
        """Encode all patches once.

        Args:
            patches: uint8 (3, S, S), all of one size.
            encode: Images (B, 3, S, S) in [0, 1] to one vector each, (B, D), without gradient; on any device.

        Raises:
            ValueError: There is none.
        """
        if not patches:
            raise ValueError("There are no real patches to choose from.")
        self.patches = torch.stack(list(patches))
        self._encode = encode
        parts = [self.features(part.to(torch.get_default_dtype()) / 255) for part in self.patches.split(AT_ONCE)]
        self._known = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def side(self) -> int:
        """Of the patches, in pixels."""
        return self.patches.shape[-1]

    @torch.no_grad()
    def features(self, patches: Tensor) -> Tensor:
        """Patches (N, 3, S, S) in [0, 1] to unit vectors (N, D), float32 on the CPU, whatever surrounds it."""
        with _in_full_precision(patches.device):
            encoded = torch.cat([self._encode(part.float()) for part in patches.split(AT_ONCE)])
            return functional.normalize(encoded.float().cpu(), dim=1)

    def nearest(self, patches: Tensor) -> Tensor:
        """The real patch of most similar features for each given one: (N, 3, S, S) in [0, 1] to the same.

        Of equally similar ones the first is taken. Between unit vectors, the largest product is the least distance.
        """
        with _in_full_precision(patches.device):
            places = (self.features(patches.detach()) @ self._known.T).argmax(dim=1)
        return self.patches[places].to(patches) / 255


@contextmanager
def _in_full_precision(device: torch.device) -> Iterator[None]:
    """A training step in bf16 knows three digits of a product, in which like patches do not differ; the products are
    taken on the CPU.
    """
    with torch.autocast(device.type, enabled=False), torch.autocast("cpu", enabled=False):
        yield
