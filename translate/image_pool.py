"""A memory of past fakes, so that a discriminator does not forget what the generator did a while ago.

Idea of Shrivastava et al. (CVPR 2017, arXiv:1612.07828, sec. 2.3), as Zhu et al. (ICCV 2017) use it. The images are
buffers: they are saved with the method, so that a resumed run goes on as if it had never stopped.
"""

from typing import Any

import torch
from torch import Tensor, nn

from segment.peers import ALONE, Peers


class ImagePool(nn.Module):
    """Swaps about half of the images handed in for ones from earlier steps.

    Until it is full, the pool stores each image and returns it. Then each image is, with probability 1/2, stored in a
    random place while the image that was there is returned; else returned as it came. Draws use torch's global CPU
    generator, which is alike in all processes. All images have one shape; memory for `capacity` of them is taken when
    the first arrives.

    Args:
        capacity: Images kept; 0 returns every image as it came.
    """

    images: Tensor
    count: Tensor
    peers: Peers = ALONE
    """The processes whose images the pool takes in together, so that it is the same in all of them."""

    def __init__(self, capacity: int = 50) -> None:
        super().__init__()
        if capacity < 0:
            raise ValueError(f"The capacity of an image pool cannot be negative: {capacity}.")
        self.capacity = capacity
        self.register_buffer("images", torch.empty(0))  # (capacity, C, H, W) from the first image on
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, fakes: Tensor) -> Tensor:
        """Exchange a batch with the pool.

        Args:
            fakes: (B, C, H, W).

        Returns:
            (B, C, H, W) on the device and of the type of `fakes`, without gradient.

        Raises:
            ValueError: The images differ in shape from those in the pool.
        """
        if self.capacity == 0:
            return fakes.detach()
        self._take_memory(fakes)
        fakes, own = self.peers.gathered(fakes), len(fakes)
        stored = int(self.count)
        returned = fakes.clone()
        for place, fake in enumerate(fakes):
            if stored < self.capacity:
                self.images[stored] = fake
                stored += 1
            elif torch.rand(()) < 0.5:
                drawn = int(torch.randint(self.capacity, ()))
                returned[place] = self.images[drawn]
                self.images[drawn] = fake
        self.count.fill_(stored)
        return self.peers.own(returned, own)

    def _take_memory(self, fakes: Tensor) -> None:
        shape = fakes.shape[1:]
        if self.images.numel() == 0:
            # Zeros rather than empty: checkpoints of equal runs are equal bytes, unused places included.
            self.images = fakes.new_zeros((self.capacity, *shape))
        elif self.images.shape[1:] != shape:
            raise ValueError(
                f"Images of shape {tuple(shape)} cannot join a pool of {tuple(self.images.shape[1:])}. "
                "Train on crops of one size; to change it, start without the pool's past images."
            )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Make room first: the saved pool may have held images when this one has none yet, or the reverse."""
        saved = state_dict.get(prefix + "images")
        if saved is not None and saved.numel() and len(saved) != self.capacity:
            error_msgs.append(
                f"{prefix}images holds {len(saved)} images, but the pool was made for {self.capacity}; "
                "keep the pool's size as it was when the checkpoint was written."
            )
            return
        if saved is not None and saved.shape != self.images.shape:
            self.images = torch.empty_like(saved, device=self.images.device)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
