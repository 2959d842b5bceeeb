"""What every segmentation network here shares: an image in [0, 1] of any size in, logits of that size out.

Normalisation, padding to the network's stride and upsampling live here once, so that a network file holds nothing but
the network and so that a state dict has the authors' key names and no others.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SegmenterOutput(NamedTuple):
    """What a network returns in training mode: logits (B, K, H, W) of its head and, if any, its auxiliary head."""

    main: Tensor
    auxiliary: Tensor | None


class Segmenter(nn.Module, ABC):
    """Base of all segmentation networks; a subclass sets `stride` and says how `coarse_logits` come about."""

    stride: int
    """The coarse logits have 1/stride of the height and width of the padded image."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Statistics of ImageNet, with which all published weights were trained. Not persistent: see the file's top.
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("image_mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("image_std", std.view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H / stride, W / stride) of a normalised image whose sides divide by the stride.

        The auxiliary logits are needed in training mode only and may be None at any time.
        """

    def forward(self, image: Tensor) -> SegmenterOutput | Tensor:
        """Classify every pixel.

        Args:
            image: (B, 3, H, W) RGB in [0, 1], any height and width.

        Returns:
            In training mode a `SegmenterOutput`, in evaluation mode the main logits alone; all (B, K, H, W).
        """
        height, width = image.shape[-2:]
        padded = self._pad((image - self.image_mean) / self.image_std)
        main, auxiliary = self.coarse_logits(padded)
        main = self._upsample(main)[..., :height, :width]
        if not self.training:
            return main
        return SegmenterOutput(main, None if auxiliary is None else self._upsample(auxiliary)[..., :height, :width])

    def _pad(self, image: Tensor) -> Tensor:
        """Repeat the last row and column until both sides divide by the stride, so that upsampling is in register."""
        height, width = image.shape[-2:]
        bottom, right = -height % self.stride, -width % self.stride
        if bottom == right == 0:
            return image
        return F.pad(image, (0, right, 0, bottom), mode="replicate")

    def _upsample(self, logits: Tensor) -> Tensor:
        height, width = logits.shape[-2:]
        size = (height * self.stride, width * self.stride)
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)
