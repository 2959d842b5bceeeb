"""Augmentation on the device, batch by batch: what changes colours, and flips; scale and crop stay with the workers.

For machines whose GPU waits for too few processors. All draws are from torch's global generator, which the training
loop seeds from (seed, step): the batch is a function of both here too. Draws that decide something are made on the
host, so that they are the same on every device.
"""

import kornia.augmentation as K
import torch
from torch import Tensor

from pipelines.data.sampling.augment import FrameChanges
from segment.appearance.sensor import sensor_noise, shot_and_read
from segment.appearance.style import transfer_amplitude, transfer_colour, transfer_histogram
from segment.batches import LabelledBatch


class DeviceAugmentation:
    """Flip, the target's looks, colour, gamma, grey, blur, noise and JPEG of a whole batch.

    The distributions are those of `SegmenterAugmentation`, but for contrast: the mean grey counts what is filled up
    around a frame, too. That is black in the end, as it was.
    """

    def __init__(self, changes: FrameChanges) -> None:
        self.changes = changes
        factors = (1 - changes.colour_jitter, 1 + changes.colour_jitter)
        hue = 0.1 * changes.colour_jitter
        self.jitter = (
            K.ColorJitter(factors, factors, factors, (-hue, hue), order=[0, 1, 2, 3]) if changes.colour_jitter else None
        )
        self.grey = K.RandomGrayscale(p=changes.grey) if changes.grey else None
        self.blur = K.RandomGaussianBlur((9, 9), (0.3, 2.0), p=changes.blur) if changes.blur else None
        self.jpeg = K.RandomJPEG(tuple(map(float, changes.jpeg_quality)), p=changes.jpeg) if changes.jpeg else None

    @torch.no_grad()
    def __call__(self, batch: LabelledBatch) -> LabelledBatch:
        """The batch, augmented, on its device; the label map changes by the flip alone."""
        # The step around it may run in bf16, of which a picture of 256 levels would keep every other.
        with torch.autocast(batch.image.device.type, enabled=False):
            image, label_map = self._flipped(batch.image.float(), batch.label_map)
            shown = LabelledBatch(image, label_map).shown()
            if batch.style is not None and batch.styled is not None:
                image = self._styled(image, shown, batch.style, batch.styled)
            for change in (self.jitter, self._exposed, self.grey, self.blur, self._noisy, self.jpeg):
                image = image if change is None else change(image)
        # Contrast, gamma and noise have made grey of the filling, by which nobody would know it any more.
        return LabelledBatch(image.clamp(0, 1).where(shown[:, None], 0.0), label_map)

    def _flipped(self, image: Tensor, label_map: Tensor) -> tuple[Tensor, Tensor]:
        if not self.changes.flip:
            return image, label_map
        mirrored = _drawn(image, 0.5)
        return (
            image.flip(-1).where(mirrored[:, None, None, None], image),
            label_map.flip(-1).where(mirrored[:, None, None], label_map),
        )

    def _styled(self, image: Tensor, shown: Tensor, style: Tensor, styled: Tensor) -> Tensor:
        chosen = _drawn(image, self.changes.style_from_target) & styled
        if self.changes.style == "histogram":
            looks = transfer_histogram(image, style, shown)
            return looks.where(chosen[:, None, None, None], image)
        by_colour = _drawn(image, {"colour": 1.0, "either": 0.5, "fourier": 0.0}[self.changes.style])
        result = image
        if self.changes.style != "fourier":
            looks = transfer_colour(image, style, shown)
            result = looks.where((chosen & by_colour)[:, None, None, None], result)
        if self.changes.style != "colour":
            looks = transfer_amplitude(image, style, self.changes.style_window, shown)
            result = looks.where((chosen & ~by_colour)[:, None, None, None], result)
        return result

    def _exposed(self, image: Tensor) -> Tensor:
        if self.changes.gamma == 0:
            return image
        exponents = 2 ** (2 * torch.rand(len(image)) - 1)
        exponents = exponents.where(torch.rand(len(image)) < self.changes.gamma, 1.0).to(image.device)
        return image.clamp(min=1e-6) ** exponents[:, None, None, None]

    def _noisy(self, image: Tensor) -> Tensor:
        if self.changes.noise == 0:
            return image
        chosen = _drawn(image, self.changes.noise)[:, None, None, None]
        draws = zip(torch.rand(len(image)).tolist(), torch.randn(len(image)).tolist(), strict=True)
        variances = torch.tensor([shot_and_read(*draw) for draw in draws], device=image.device)
        shot, read = variances.T[..., None, None, None]
        return sensor_noise(image, torch.randn_like(image), shot, read).where(chosen, image)


def _drawn(image: Tensor, probability: float) -> Tensor:
    """bool (B,) on the image's device, each True with a probability; drawn on the host."""
    return (torch.rand(len(image)) < probability).to(image.device)
