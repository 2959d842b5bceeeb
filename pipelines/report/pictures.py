"""How pictures are fitted and inlined in a page as data URIs.

A prediction is kept as a flat-colour PNG over one JPEG of its frame and the browser blends the two: class borders stay
sharp, the reader may change the blending, and the photograph is stored once and not once per arm.
"""

import base64

import cv2
import numpy as np

from pipelines.data.images import encode_jpeg, encode_png
from pipelines.data.labels.label_formats import coloured
from segment.class_groups import Groups, lowest_ids
from segment.classes import PALETTE

WIDEST = 640
"""Pixels across of a picture in the report; larger ones are scaled down so that the page stays a few megabytes."""

JPEG_QUALITY = 88


def photograph(image: np.ndarray) -> str:
    """A frame, uint8 (H, W, 3) RGB, as the data URI of a JPEG at most `WIDEST` pixels across."""
    return data_uri("image/jpeg", encode_jpeg(fitted(image, cv2.INTER_AREA), JPEG_QUALITY))


def painting(label_map: np.ndarray, groups: Groups = ()) -> str:
    """A label map, (H, W) of train ids, as the data URI of a PNG in class colours, at most `WIDEST` pixels across.

    `groups` are train ids that are scored as one: each is painted in the colour of its lowest (`as_scored`).
    """
    return data_uri("image/png", encode_png(coloured(as_scored(fitted(label_map, cv2.INTER_NEAREST), groups))))


def as_scored(label_map: np.ndarray, groups: Groups) -> np.ndarray:
    """Train ids with each group at its lowest; what is no class of ours is 255 in labels and predictions alike.

    A label map may tell a sign from a light where the network learnt both as one: without this what is right would be
    painted in two colours.
    """
    return np.array(lowest_ids(groups), np.uint8)[label_map]


def fitted(array: np.ndarray, interpolation: int, widest: int = WIDEST) -> np.ndarray:
    """The array scaled down to `widest` pixels across, its proportions kept; smaller ones are returned as they are."""
    height, width = array.shape[:2]
    if width <= widest:
        return array
    return cv2.resize(array, (widest, max(1, round(height * widest / width))), interpolation=interpolation)


def colour(train_id: int) -> str:
    """The colour of a class as CSS writes it: '#804080'."""
    return "#{:02x}{:02x}{:02x}".format(*PALETTE[train_id])


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of this media type ("image/png") as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
