"""Colour statistics in CIE L*a*b*, in which a distance of about 2 is just visible wherever it lies.

Colour drift is the commonest complaint about unpaired translation; means and deviations show it in six numbers.
"""

from torch import Tensor

from segment.appearance.lab import rgb_to_lab


def lab_statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of L*, a*, b* over each image's pixels: (B, 3, H, W) to (B, 3) and (B, 3)."""
    lab = rgb_to_lab(image)
    return lab.mean((2, 3)), lab.std((2, 3), correction=0)


def pooled_statistics(means: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over all pixels of a set, (3,) each, from those of its images (N, 3), which count alike."""
    mean = means.mean(0)
    variance = (deviations.square() + (means - mean).square()).mean(0)  # within images, and between them
    return mean, variance.sqrt()


def colour_difference(first: Tensor, second: Tensor) -> float:
    """Delta E (CIE 1976): the Euclidean distance of two L*a*b* triples (3,)."""
    return float((first - second).norm())
