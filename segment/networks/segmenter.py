"""What every segmentation network here shares: an image in [0, 1] of any size in, logits of that size out.

Normalisation, padding to the network's stride and upsampling live here once, so that a network file holds nothing but
the network and so that a state dict has the authors' key names and no others.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX
from segment.normalisation import SyncedBatchNorm2d


class SegmenterOutput(NamedTuple):
    """What a network returns in training mode; logits have the size of the image."""

    main: Tensor
    """(B, K, H, W)."""
    auxiliary: tuple[Tensor, ...] = ()
    """Logits (B, K, H, W) of each head that only training uses."""
    boundary: Tensor | None = None
    """(B, 1, H, W): of a head that tells boundaries between classes from all else."""


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of red, green and blue in 0..1. Most published weights were trained with these, and so are ours."""


class Segmenter(nn.Module, ABC):
    """Base of all segmentation networks; a subclass says how `coarse_logits` come about, and sets what differs."""

    stride: int
    """The sides of the image are padded to a multiple of it."""
    align_corners: bool = False
    """How logits are brought to the size of the image; the published networks differ."""
    auxiliary_weight: float = 0.4
    """Weight of each auxiliary head's loss in the network's own recipe."""
    encoder: str
    """The submodule whose output is the deepest map of features, before any pooling of context."""
    classifier: str
    """The submodule whose input is the map of features that pixels are classified by."""
    encoder_keys: tuple[str, ...] = ("",)
    """How the names of tensors begin that published weights of an encoder may fill; by default any name."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not persistent: see the file's top.
        self.register_buffer("image_mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """From now on, take these statistics of red, green and blue in 0..1 for those that the weights were made with.

        Raises:
            ValueError: They are not three each, or a deviation is not above 0.
        """
        if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
            raise ValueError(f"Mean is {list(mean)}, deviation {list(std)}; expected three each, deviations above 0")
        self.image_mean.copy_(self.image_mean.new_tensor(mean).view(1, 3, 1, 1))
        self.image_std.copy_(self.image_std.new_tensor(std).view(1, 3, 1, 1))

    @abstractmethod
    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits, of any height and width, of a normalised image whose sides divide by the stride.

        Those of auxiliary and boundary heads are needed in training mode only and may be left out at any time.
        """

    def classifying_module(self) -> nn.Module:
        """The submodule that `classifier` names; some networks have no room for that attribute."""
        return self.get_submodule(self.classifier)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of all that is not the encoder, as far as `encoder_keys` tell, else the classifier's."""
        if self.encoder_keys == ("",):
            return self.classifying_module().parameters()
        named = self.named_parameters()
        return (parameter for name, parameter in named if not name.startswith(self.encoder_keys))

    def classes(self) -> int:
        """How many classes it tells apart, from one pass of an empty image."""
        return self._pass_of_empty_image()[0].shape[1]

    def feature_channels(self) -> int:
        """Channels of the map of features that pixels are classified by, from one pass of an empty image."""
        return self._pass_of_empty_image()[1].shape[1]

    @torch.no_grad()
    def _pass_of_empty_image(self) -> tuple[Tensor, Tensor]:
        network, was_training = self, self.training
        logits, features = network.eval().with_features(self.image_mean.expand(1, 3, 64, 64))
        self.train(was_training)
        return logits, features

    @torch.no_grad()
    def auxiliary_heads(self) -> int:
        """How many heads with logits of the classes only training uses."""
        return len(copy.deepcopy(self).train()(self.image_mean.expand(2, 3, 64, 64)).auxiliary)

    def with_features(self, image: Tensor, forward_pass: Callable[[Tensor], Any] | None = None) -> tuple[Any, Tensor]:
        """What `forward` returns, and the map of features that pixels are classified by, from one pass.

        Args:
            image: As `forward` takes it.
            forward_pass: What to return the output of instead of `forward`'s, such as `with_encoder_features`.

        Returns:
            The output; and (B, C, h, w), at the classifier's own size, with gradient where there is one. A network that
            sees several scales classifies at each: of these the finest map, which says most of where things are.
        """
        seen: list[Tensor] = []
        with self.classifying_module().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
            output = self(image) if forward_pass is None else forward_pass(image)
        return output, _finest(seen)

    def with_encoder_features(self, image: Tensor) -> tuple[SegmenterOutput | Tensor, Tensor]:
        """What `forward` returns, and the encoder's deepest map of features (B, C, h, w), from one pass."""
        seen: list[Tensor] = []
        with self.get_submodule(self.encoder).register_forward_hook(lambda _, inputs, output: seen.append(output)):
            output = self(image)
        return output, _finest(seen)

    def own_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Weighted losses, by name, that the network's paper adds to those of its main and auxiliary heads; none here.

        Args:
            output: Of the network in training mode.
            label_map: (B, H, W) int64 train ids; 255 = ignore.
        """
        return {}

    def forward(self, image: Tensor) -> SegmenterOutput | Tensor:
        """Classify every pixel.

        Args:
            image: (B, 3, H, W) RGB in [0, 1], any height and width.

        Returns:
            In training mode a `SegmenterOutput`, in evaluation mode the main logits alone; all of the image's size.
        """
        height, width = image.shape[-2:]
        padded = self._pad((image - self.image_mean) / self.image_std)
        size = tuple(padded.shape[-2:])
        main, auxiliary, boundary = self.coarse_logits(padded)
        main = self._upsample(main, size)[..., :height, :width]
        if not self.training:
            return main
        return SegmenterOutput(
            main,
            tuple(self._upsample(logits, size)[..., :height, :width] for logits in auxiliary),
            None if boundary is None else self._upsample(boundary, size)[..., :height, :width],
        )

    def at_image_size(self, coarse: Tensor, height: int, width: int) -> Tensor:
        """What is said of the features of a padded image, (B, K, h, w), brought to the image's size as logits are."""
        return self._upsample(coarse, self._padded_size(height, width))[..., :height, :width]

    def over_image(self, features: Tensor, height: int, width: int) -> Tensor:
        """What of a map of features lies over the image, and not over what the image was padded with.

        A map's cells lie where those of its logits do: with `align_corners` the outer ones at the image's corners.

        Args:
            features: (B, C, h, w), of an image that was padded.
            height: Of the image.
            width: Of the image.

        Returns:
            (B, C, h', w') with cells of about the same size, which part the image evenly, interpolated; `features`
            itself where they do so, and nothing was padded.
        """
        padded = self._padded_size(height, width)
        if padded == (height, width) and not self.align_corners:
            return features
        sides = tuple(zip(features.shape[-2:], (height, width), padded, strict=True))
        size = [max(1, round(cells * (side / whole))) for cells, side, whole in sides]
        (down, top), (right, left) = (_part(side, whole, self.align_corners) for _, side, whole in sides)
        part = features.new_tensor([[right, 0, left], [0, down, top]]).expand(len(features), 2, 3)  # x first
        grid = F.affine_grid(part, [*features.shape[:2], *size], align_corners=False)
        return F.grid_sample(features, grid, padding_mode="border", align_corners=self.align_corners)

    def _padded_size(self, height: int, width: int) -> tuple[int, int]:
        return height + -height % self.stride, width + -width % self.stride

    def padded_labels(self, label_map: Tensor) -> Tensor:
        """Label maps (B, H, W) filled up with 255 to the size that their images are padded to, for maps of features."""
        height, width = label_map.shape[-2:]
        return F.pad(label_map, (0, -width % self.stride, 0, -height % self.stride), value=IGNORE_INDEX)

    def _pad(self, image: Tensor) -> Tensor:
        """Repeat the last row and column until both sides divide by the stride, so that upsampling is in register."""
        height, width = image.shape[-2:]
        bottom, right = -height % self.stride, -width % self.stride
        if bottom == right == 0:
            return image
        return F.pad(image, (0, right, 0, bottom), mode="replicate")

    def _upsample(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        if tuple(logits.shape[-2:]) == size:
            return logits
        return F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)


def _part(side: int, whole: int, align_corners: bool) -> tuple[float, float]:
    """The factor and the summand that take places from -1 to 1 over the first `side` pixels of `whole` to the places,
    again from -1 to 1, where `grid_sample` looks for them.
    """
    if align_corners:  # there -1 and 1 are the outer pixels' centres, and here their rims
        return side / (whole - 1), (side - 1) / (whole - 1) - 1
    return side / whole, side / whole - 1


def _finest(maps: list[Tensor]) -> Tensor:
    return max(maps, key=lambda features: features.shape[-1] * features.shape[-2])


def refuse_single_image(network: nn.Module, image: Tensor, pooled_norm: nn.Module) -> None:
    """Raise ValueError where `pooled_norm`, which normalises globally pooled maps, would have to train on one image.

    What is pooled over several processes sees the images of all of them, and looks for itself.
    """
    sees_one_image = isinstance(pooled_norm, nn.BatchNorm2d) and not isinstance(pooled_norm, SyncedBatchNorm2d)
    if image.shape[0] == 1 and pooled_norm.training and sees_one_image:
        raise ValueError(
            f"{type(network).__name__} cannot train on a batch of 1: the batch statistics of a globally pooled map "
            "need at least 2 images. Raise the batch size to 2 or more, or put the network in evaluation mode."
        )
