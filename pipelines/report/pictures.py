"""The pictures of the report: what the caller hands over, and how they are fitted and inlined as data URIs.

A prediction is kept as a flat-colour PNG over one JPEG of its frame and the browser blends the two: class borders stay
sharp, the reader may change the blending, and the photograph is stored once and not once per arm.
"""

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipelines.data.images import encode_jpeg, encode_png
from segment.classes import IGNORE_INDEX, PALETTE

if TYPE_CHECKING:  # error maps are painted with what is here
    from pipelines.report.error_maps import ErrorPicture

WIDEST = 640
"""Pixels across of a picture in the report; larger ones are scaled down so that the page stays a few megabytes."""

JPEG_QUALITY = 88


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
class Pictures:
    """All that the page shows beside the numbers; any part may be empty.

    `translator_curve` has one entry per logged step of the translator: the step and its losses by name. `errors` has
    the best, median and worst frame of each arm.
    """

    translations: list[Translation] = field(default_factory=list)
    best: list[PredictionPicture] = field(default_factory=list)
    worst: list[PredictionPicture] = field(default_factory=list)
    translator_curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    errors: dict[str, list["ErrorPicture"]] = field(default_factory=dict)


def photograph(image: np.ndarray) -> str:
    """A frame, uint8 (H, W, 3) RGB, as the data URI of a JPEG at most `WIDEST` pixels across."""
    return _data_uri("image/jpeg", encode_jpeg(fitted(image, cv2.INTER_AREA), JPEG_QUALITY))


def painting(label_map: np.ndarray) -> str:
    """A label map, (H, W) of train ids, as the data URI of a PNG in class colours, at most `WIDEST` pixels across."""
    return _data_uri("image/png", encode_png(painted(fitted(label_map, cv2.INTER_NEAREST))))


def painted(label_map: np.ndarray) -> np.ndarray:
    """(H, W) train ids as uint8 (H, W, 3) RGB in the class colours; every other id, like 255, is black."""
    colours = np.zeros((IGNORE_INDEX + 1, 3), np.uint8)
    colours[: len(PALETTE)] = PALETTE
    return colours[label_map.astype(np.uint8)]


def fitted(array: np.ndarray, interpolation: int) -> np.ndarray:
    """The array scaled down to `WIDEST` across, its proportions kept; smaller ones are returned as they are."""
    height, width = array.shape[:2]
    if width <= WIDEST:
        return array
    return cv2.resize(array, (WIDEST, max(1, round(height * WIDEST / width))), interpolation=interpolation)


def colour(train_id: int) -> str:
    """The colour of a class as CSS writes it: '#804080'."""
    return "#{:02x}{:02x}{:02x}".format(*PALETTE[train_id])


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
