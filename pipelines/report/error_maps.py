"""Where a segmenter is wrong: error maps of an arm's best, median and worst frame, and what it took for what.

Three frames of each arm, so that neither a lucky nor an unlucky one stands for all. A map is a see-through picture
over a small JPEG of the frame: what is right is veiled, what is wrong shows the colour of the true class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.data.images import encode_jpeg, encode_webp
from pipelines.data.labels.label_formats import coloured
from pipelines.report.pictures import as_scored, data_uri, fitted
from segment.class_groups import Groups
from segment.classes import IGNORE_INDEX

WIDTH = 320
"""Pixels across of these pictures: there are many, and the page is to stay below three megabytes."""

JPEG_QUALITY = 80
VEIL = 190
"""Opacity, of 255, of the white over what is right."""

HATCH = 6
"""Pixels from one line to the next over what is not labelled."""

RANKS = ("best", "median", "worst")


@dataclass(frozen=True)
class Confusion:
    """The share of a frame's labelled pixels that is `label` and was taken for `seen`, None for void."""

    label: int
    seen: int | None
    share: float


@dataclass(frozen=True)
class ErrorPicture:
    """A frame, uint8 (H, W, 3), its label and an arm's prediction, uint8 (H, W) of train ids, and how it went.

    `rank` says the frame's place among all of this arm, `score` is its mean IoU.
    """

    rank: str
    name: str
    score: float
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    confused: list[Confusion]
    groups: Groups = ()

    @property
    def wrong(self) -> float:
        """Share of the labelled pixels that are wrong; NaN without any."""
        truth, seen = as_scored(self.label, self.groups), as_scored(self.prediction, self.groups)
        counted = truth != IGNORE_INDEX
        return float((truth != seen)[counted].mean()) if counted.any() else math.nan


def ranked_frames(scores: Sequence[float]) -> dict[str, int]:
    """The places of the best, median and worst of the frames that have a score; each frame once, fewer for few frames.

    Args:
        scores: Mean IoU by frame; NaN where the label shows no class.
    """
    values = np.asarray(scores, float)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    if not len(order):
        return {}
    places = {"best": int(order[-1]), "worst": int(order[0])}
    if len(order) > 2:
        places["median"] = int(order[len(order) // 2])
    chosen = {rank: places[rank] for rank in RANKS if rank in places}
    return {"best": chosen["best"]} if len(order) == 1 else chosen


def most_confused(confusion: Sequence[Sequence[int]], most: int = 3, least: float = 0.005) -> list[Confusion]:
    """What was most often taken for something else.

    Args:
        confusion: (K, K + 1) pixels, rows true classes, the last column void; groups already merged.
        most: How many.
        least: Share of all labelled pixels up to which a confusion is not worth a word: half a percent, which is
            written as 0 %.
    """
    counts = np.asarray(confusion, np.int64)
    total = counts.sum()
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:most]
    pairs = [divmod(int(place), counts.shape[1]) for place in order]
    return [
        Confusion(label, seen if seen < len(counts) else None, float(wrong[label, seen] / total))
        for label, seen in pairs
        if wrong[label, seen] > least * total
    ]


def error_map(label: np.ndarray, prediction: np.ndarray, groups: Groups = ()) -> np.ndarray:
    """What is wrong in the colour of its true class, over a frame that shows through.

    Args:
        label: uint8 (H, W) train ids; 255 = ignore.
        prediction: Of the same shape.
        groups: Train ids that are scored as one: confusion among them is no error.

    Returns:
        uint8 (H, W, 4) RGBA: right pixels under a white veil, wrong ones opaque, ignored ones hatched in black.

    Raises:
        ValueError: The shapes differ.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"The prediction is {prediction.shape}, the label map {label.shape}; expected one shape.")
    truth, seen = as_scored(label, groups), as_scored(prediction, groups)
    ignored, wrong = truth == IGNORE_INDEX, (truth != seen) & (truth != IGNORE_INDEX)
    picture = np.full((*label.shape, 4), (255, 255, 255, VEIL), np.uint8)
    picture[wrong, :3], picture[wrong, 3] = coloured(truth)[wrong], 255
    rows, columns = np.indices(label.shape)
    lines = (rows + columns) % HATCH < 2
    picture[ignored] = (0, 0, 0, 120)
    picture[ignored & lines] = (0, 0, 0, 255)
    return picture


def small_photograph(image: np.ndarray) -> str:
    """A frame as the data URI of a JPEG of at most `WIDTH` pixels across."""
    return data_uri("image/jpeg", encode_jpeg(fitted(image, cv2.INTER_AREA, WIDTH), JPEG_QUALITY))


def small_painting(label_map: np.ndarray, groups: Groups = ()) -> str:
    """A label map in class colours as the data URI of a WebP without loss, of at most `WIDTH` pixels across.

    Classes of a group have one colour, as in `painting`.
    """
    small = fitted(label_map, cv2.INTER_NEAREST, WIDTH)
    return data_uri("image/webp", encode_webp(coloured(as_scored(small, groups))))


def error_painting(picture: ErrorPicture) -> str:
    """The error map as the data URI of a see-through WebP of at most `WIDTH` pixels across."""
    small = [fitted(array, cv2.INTER_NEAREST, WIDTH) for array in (picture.label, picture.prediction)]
    return data_uri("image/webp", encode_webp(error_map(small[0], small[1], picture.groups)))
