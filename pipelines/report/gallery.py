"""The pictures that the page of a comparison shows, as the comparison hands them over; any of them may be missing."""

from dataclasses import dataclass, field

import numpy as np

from pipelines.report.error_maps import ErrorPicture


@dataclass(frozen=True)
class Translation:
    """A synthetic frame, the same frame translated, and the real frame that looks most like it; uint8 (H, W, 3) RGB."""

    source: np.ndarray
    translated: np.ndarray
    real_neighbour: np.ndarray
    name: str


@dataclass(frozen=True)
class PredictionPicture:
    """A frame, uint8 (H, W, 3), with its label and each arm's prediction, uint8 (H, W) of train ids, and mean IoU."""

    name: str
    image: np.ndarray
    label: np.ndarray
    predictions: dict[str, np.ndarray]
    scores: dict[str, float]


@dataclass(frozen=True)
class Gallery:
    """All that the page shows beside the numbers; any part may be empty.

    `translator_curve` has one entry per logged step of the translator: the step and its losses by name. `errors` has
    the best, median and worst frame of each arm.
    """

    translations: list[Translation] = field(default_factory=list)
    best: list[PredictionPicture] = field(default_factory=list)
    worst: list[PredictionPicture] = field(default_factory=list)
    translator_curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    errors: dict[str, list[ErrorPicture]] = field(default_factory=dict)
