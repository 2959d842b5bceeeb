"""Previews: what a method wants a person to see, as one picture with a row for each title."""

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from pipelines.data.images import to_image, write_image

SHOWN = 4
CAPTION_HEIGHT = 18


def write_preview(path: Path, rows: dict[str, Tensor]) -> None:
    """Write a sheet: one captioned row of up to four images for each title.

    Args:
        path: A .jpg or .png file.
        rows: Images (B, 3, H, W) in [0, 1] by title; all of one size.
    """
    sheet = np.concatenate([_row(title, images) for title, images in rows.items()])
    write_image(path, sheet)


def _row(title: str, images: Tensor) -> np.ndarray:
    pictures = np.concatenate([to_image(image.detach().float().cpu()) for image in images[:SHOWN]], axis=1)
    caption = np.full((CAPTION_HEIGHT, pictures.shape[1], 3), 255, np.uint8)
    cv2.putText(caption, title, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([caption, pictures])
