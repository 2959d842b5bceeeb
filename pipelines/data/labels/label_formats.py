"""How a predicted label map is written: our train ids, the ids that the Cityscapes benchmark wants, or colours.

The tables are those that label maps are read by, turned round.
"""

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from pipelines.data.labels.label_tables import label_maps
from segment.classes import CLASS_NAMES, PALETTE

LabelFormat = Literal["train_ids", "label_ids", "colour"]


def in_format(label_map: np.ndarray, label_format: LabelFormat) -> np.ndarray:
    """A label map as it is written.

    Args:
        label_map: uint8 (H, W) of train ids; what is none of the 19 is "unlabelled" (id 0, black).
        label_format: "train_ids" as they are; "label_ids" of Cityscapes, 7 for road to 33 for bicycle; "colour" of
            Cityscapes.

    Returns:
        uint8 (H, W), or (H, W, 3) RGB for "colour".
    """
    if label_format == "train_ids":
        return label_map
    return coloured(label_map) if label_format == "colour" else cv2.LUT(label_map, label_id_table())


def coloured(label_map: np.ndarray) -> np.ndarray:
    """The classes' colours, uint8 (H, W, 3) RGB, of a uint8 (H, W) map of train ids; black where there is no class."""
    return cv2.applyColorMap(np.ascontiguousarray(label_map), _colours())  # a look-up; indexing is slower


@lru_cache
def label_id_table() -> np.ndarray:
    """uint8 (256,), train id to Cityscapes label id; what is no train id becomes 0, "unlabelled"."""
    table = np.zeros(256, np.uint8)
    for label_id, entry in label_maps()["cityscapes"]["ids"].items():
        if entry["train_id"] < len(CLASS_NAMES) and int(label_id) >= 0:
            table[entry["train_id"]] = int(label_id)
    return table


@lru_cache
def _colours() -> np.ndarray:
    table = np.zeros((256, 1, 3), np.uint8)
    table[: len(PALETTE), 0] = PALETTE
    return table
