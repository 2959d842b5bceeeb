"""Augmentation on the host, frame by frame, image and label map in step.

Everything random comes from the generator handed in, which is keyed by (seed, step, slot). What moves pixels is drawn
before what changes colours, so that the settings of the latter leave crops and flips as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import cv2
import numpy as np
import torch

from pipelines.data.images import through_jpeg, to_image, to_tensor
from segment.appearance.sensor import sensor_noise, shot_and_read
from segment.appearance.style import transfer_amplitude, transfer_colour, transfer_histogram
from segment.classes import IGNORE_INDEX


def fit_height(image: np.ndarray, height: int, enlarge: bool = False, least_width: int = 0) -> np.ndarray:
    """Bring an image to a height, the width following the aspect; by area downwards, bicubic upwards.

    Args:
        image: uint8 (H, W, 3).
        height: The wanted height.
        enlarge: Also enlarge lower images; otherwise they stay as they are.
        least_width: Go higher than `height` where the width would fall below this.
    """
    size = fitted_size(image.shape, height, enlarge, least_width)
    if size == (image.shape[1], image.shape[0]):
        return image
    shrinks = size[1] < image.shape[0] or size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def fitted_size(shape: tuple[int, ...], height: int, enlarge: bool = False, least_width: int = 0) -> tuple[int, int]:
    """Width and height to which `fit_height` brings an image of `shape` (H, W, ...)."""
    scale = max(height / shape[0], least_width / shape[1])
    if scale == 1 or (scale > 1 and not enlarge):
        return shape[1], shape[0]
    return max(round(shape[1] * scale), least_width, 1), max(round(shape[0] * scale), 1)


def crop_window(shape: tuple[int, ...], size: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a random window of `size` (height, width) inside an image of `shape` (H, W, ...)."""
    top = int(random.integers(max(shape[0] - size[0], 0) + 1))
    left = int(random.integers(max(shape[1] - size[1], 0) + 1))
    return top, left


@dataclass(frozen=True)
class FrameChanges:
    """What is varied in a frame of the crop's size, by the workers or on the device; nothing by default."""

    flip: bool = False
    """Mirror half of the time."""
    colour_jitter: float = 0.0
    """Half-width of the factors of brightness, contrast and saturation; a tenth of it for hue."""
    blur: float = 0.0
    """Probability of a Gaussian blur, sigma 0.3 to 2 pixels."""
    gamma: float = 0.0
    """Probability of an exponent between 1/2 and 2, drawn log-uniformly."""
    grey: float = 0.0
    """Probability of a frame without colour."""
    noise: float = 0.0
    """Probability of a sensor's noise."""
    jpeg: float = 0.0
    """Probability of a JPEG compression."""
    jpeg_quality: tuple[int, int] = (40, 95)
    """Lowest and highest quality."""
    style_from_target: float = 0.0
    """Probability that a frame takes the looks of the style image, where it is given one."""
    style: str = "colour"
    """ "colour", "histogram", "fourier", or "either" the first or the last."""
    style_window: float = 0.01
    """How far "fourier" reaches; see `segment.appearance.style.transfer_amplitude`."""


@dataclass(frozen=True)
class SegmenterAugmentation:
    """Scale, crop, flip, the target's looks, colour, gamma, grey, blur, noise and JPEG, in this order: a camera's.

    Args:
        height: Frames are brought to this height, times the random scale.
        crop: Width and height of the result; what is missing is filled with black and ignored.
        scale: Range of the scale, drawn log-uniformly.
        changes: What comes after the crop.
        fills_crop: Scale no frame to less than what fills the crop. Of frames whose labels nobody sees nothing says
            what was filled up, and a network would learn from it as from anything that they show.
    """

    height: int
    crop: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    changes: FrameChanges = FrameChanges()
    fills_crop: bool = False

    def __call__(
        self,
        image: np.ndarray,
        label_map: np.ndarray,
        random: np.random.Generator,
        style: Callable[[], np.ndarray] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment one frame.

        Args:
            image: uint8 (H, W, 3).
            label_map: uint8 (H, W).
            random: Keyed to this slot.
            style: Reads a target frame, uint8 (h, w, 3); None for a frame that keeps its own looks.

        Returns:
            Image (3, h, w) in [0, 1] and label map int64 (h, w), of the crop's size.
        """
        least = self.crop if self.fills_crop else (1, 1)
        scale = float(np.exp(random.uniform(*np.log(self.scale)))) * self.height / image.shape[0]
        scale = max(scale, least[0] / image.shape[1], least[1] / image.shape[0])
        size = (max(round(image.shape[1] * scale), least[0]), max(round(image.shape[0] * scale), least[1]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        # "Exact", for OpenCV's plain nearest neighbour takes corners of pixels for centres: half a pixel off the image.
        label_map = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST_EXACT)
        image, label_map = self._crop(image, label_map, random)
        shown = self._shown(size)
        if self.changes.flip and random.random() < 0.5:
            image, label_map, shown = image[:, ::-1], label_map[:, ::-1], shown[:, ::-1]
        tensor, counted = to_tensor(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(shown))
        if style is not None and random.random() < self.changes.style_from_target:
            tensor = self._styled(tensor, counted, style(), random)
        tensor = self._camera(self._colour(tensor, counted, random), random)
        # Contrast and noise have made grey of the filling, by which nobody would know it any more.
        return tensor.where(counted, 0.0), torch.from_numpy(label_map.astype(np.int64))

    def _crop(
        self, image: np.ndarray, label_map: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        width, height = self.crop
        down, right = max(height - image.shape[0], 0), max(width - image.shape[1], 0)
        if down or right:
            image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT)
            label_map = cv2.copyMakeBorder(label_map, 0, down, 0, right, cv2.BORDER_CONSTANT, value=IGNORE_INDEX)
        top, left = crop_window(image.shape, (height, width), random)
        window = (slice(top, top + height), slice(left, left + width))
        return image[window], label_map[window]

    def _shown(self, size: tuple[int, int]) -> np.ndarray:
        """bool (h, w) of the crop: what shows the scaled frame of `size` (width, height), and is not filled up."""
        shown = np.zeros((self.crop[1], self.crop[0]), bool)
        shown[: size[1], : size[0]] = True  # a frame that leaves something to fill lies at the crop's upper left
        return shown

    def _styled(
        self, image: torch.Tensor, shown: torch.Tensor, style: np.ndarray, random: np.random.Generator
    ) -> torch.Tensor:
        target = to_tensor(fit_style(style, self.crop))[None]
        if self.changes.style == "histogram":
            return transfer_histogram(image[None], target, shown[None])[0]
        if self.changes.style == "colour" or (self.changes.style == "either" and random.random() < 0.5):
            return transfer_colour(image[None], target, shown[None])[0]
        return transfer_amplitude(image[None], target, self.changes.style_window, shown[None])[0]

    def _colour(self, image: torch.Tensor, shown: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        functional = _torchvision()
        if self.changes.colour_jitter > 0:
            low, high = 1 - self.changes.colour_jitter, 1 + self.changes.colour_jitter
            image = functional.adjust_brightness(image, random.uniform(low, high))
            image = adjust_contrast(image, random.uniform(low, high), shown)
            image = functional.adjust_saturation(image, random.uniform(low, high))
            image = functional.adjust_hue(image, random.uniform(-0.1, 0.1) * self.changes.colour_jitter)
        if self.changes.gamma > 0 and random.random() < self.changes.gamma:
            image = functional.adjust_gamma(image, 2 ** random.uniform(-1, 1))
        if self.changes.grey > 0 and random.random() < self.changes.grey:
            image = functional.rgb_to_grayscale(image, num_output_channels=3)
        return image

    def _camera(self, image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """What lens, sensor and file do to a picture."""
        if self.changes.blur > 0 and random.random() < self.changes.blur:
            image = _torchvision().gaussian_blur(image, kernel_size=[9, 9], sigma=[random.uniform(0.3, 2.0)])
        if self.changes.noise > 0 and random.random() < self.changes.noise:
            shot, read = shot_and_read(random.random(), random.standard_normal())
            normal = torch.from_numpy(random.standard_normal(image.shape, dtype=np.float32))
            image = sensor_noise(image, normal, shot, read)
        if self.changes.jpeg > 0 and random.random() < self.changes.jpeg:
            quality = int(random.integers(self.changes.jpeg_quality[0], self.changes.jpeg_quality[1] + 1))
            image = to_tensor(through_jpeg(to_image(image), quality))
        return image


def _torchvision() -> ModuleType:
    """Its functions on images. It takes seconds to import, for which whoever only scales frames does not wait."""
    from torchvision.transforms.v2 import functional

    return functional


def fit_style(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A target frame as style: the whole of it at the crop's `size` (width, height), stretched if need be."""
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def adjust_contrast(image: torch.Tensor, factor: float, shown: torch.Tensor) -> torch.Tensor:
    """Move (3, H, W) in [0, 1] away from, or towards, its mean grey where it is `shown`, bool (H, W); elsewhere black.

    torchvision's own takes the mean with torch, which adds in another order for another number of threads: batches
    would not be the same bits in this process and in a worker.
    """
    # What is not shown is black: it adds nothing to the sum.
    grey = float(_torchvision().rgb_to_grayscale(image).numpy().sum(dtype=np.float64)) / int(shown.sum())
    return (factor * image + (1 - factor) * grey).clamp(0, 1)
