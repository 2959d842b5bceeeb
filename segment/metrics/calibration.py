"""How far a network's confidence can be believed: of the pixels it is 80 % sure of, 80 % should be right.

Expected calibration error as in Guo et al., ICML 2017 (arXiv:1706.04599), over pixels. Pixels are counted per image;
counts of images add up, so nothing but the sums is kept.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segment.class_groups import Groups
from segment.classes import IGNORE_INDEX
from segment.metrics.merged_classes import merge_labels, merge_log_probabilities

BINS = 15
"""Bins of equal width, as in Guo et al.; the upper end of a bin belongs to it."""


@dataclass(frozen=True)
class Reliability:
    """Sums over the valid pixels of one image or of many; `+` joins them.

    `pixels` and `right` are int64, `confidence` float64, (bins,) each; the two losses are sums in float64.
    """

    pixels: Tensor
    right: Tensor
    confidence: Tensor
    negative_log_likelihood: float
    squared_error: float

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.pixels + other.pixels,
            self.right + other.right,
            self.confidence + other.confidence,
            self.negative_log_likelihood + other.negative_log_likelihood,
            self.squared_error + other.squared_error,
        )

    def calibration_error(self) -> float:
        """Mean over pixels of how far the confidence of their bin is from its share of right ones; NaN without any."""
        return self._per_pixel(float((self.confidence - self.right).abs().sum()))

    def mean_negative_log_likelihood(self) -> float:
        """In nats per pixel; NaN without any."""
        return self._per_pixel(self.negative_log_likelihood)

    def brier_score(self) -> float:
        """Mean squared distance of the probabilities from the truth, 0 to 2, summed over classes (Brier, 1950)."""
        return self._per_pixel(self.squared_error)

    def _per_pixel(self, total: float) -> float:
        pixels = int(self.pixels.sum())
        return total / pixels if pixels else math.nan


def reliability(logits: Tensor, label_map: Tensor, groups: Groups = ()) -> Reliability:
    """Count the valid pixels of images by how sure the network is of them.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) integers, train ids; 255 = ignore.
        groups: Train ids that the labels cannot tell apart: their probabilities are added up, under the lowest.

    Raises:
        ValueError: Logits and label map differ in size.
    """
    if logits.shape[0] != label_map.shape[0] or logits.shape[-2:] != label_map.shape[-2:]:
        raise ValueError(
            f"The logits are {tuple(logits.shape)}, the label map {tuple(label_map.shape)}. "
            "Upsample the logits to the size of the label map."
        )
    valid = label_map != IGNORE_INDEX
    truth = merge_labels(label_map[valid].long(), groups)  # (N,)
    log_probabilities = merge_log_probabilities(logits.movedim(1, -1)[valid].float().log_softmax(1), groups)  # (N, K)
    probabilities = log_probabilities.exp()
    confidence, answer = probabilities.max(1)
    place = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    sums = torch.zeros(BINS, dtype=torch.float64, device=logits.device).index_add(0, place, confidence.double())
    # The squared distance from the truth is the sum of squares of all probabilities, and 1 - 2 p of the true class.
    of_truth = probabilities.gather(1, truth[:, None]).double()
    squared_error = probabilities.square().sum(1).double().sum() + (1 - 2 * of_truth).sum()
    return Reliability(
        torch.bincount(place, minlength=BINS).cpu(),
        torch.bincount(place[answer == truth], minlength=BINS).cpu(),
        sums.cpu(),
        -float(log_probabilities.gather(1, truth[:, None]).double().sum()),
        float(squared_error),
    )
