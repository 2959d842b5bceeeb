"""Translators of layouts in use: they take the source's label maps and leave its images alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from pipelines.batch_inference.plan import PlannedFrame
from pipelines.data.images import image_error
from pipelines.data.labels.encodings import LabelEncoding, cityscapes
from pipelines.data.labels.instances import instance_file, number_things
from pipelines.data.labels.label_formats import label_id_table
from pipelines.errors import UserError
from pipelines.pretrained.keys import AUTHORS_LABELS
from translate.layout_translator import LayoutTranslator


def layout_reader(method: LayoutTranslator, label_ids: bool = False) -> Callable[[PlannedFrame], np.ndarray]:
    """What `translate_frames` reads for a method that takes label maps; `label_ids` as of `read_layout`."""
    return partial(read_layout, table=label_table(method.labels), label_ids=label_ids)


def read_label_map(frame: PlannedFrame) -> np.ndarray:
    """The frame's label map, uint8 (H, W) of train ids, 255 = ignore.

    Raises:
        ImageError: The frame has none, or its file cannot be used.
    """
    if frame.label is None or frame.label_encoding is None:
        raise image_error(frame.image, f"frame {frame.name!r} has no label map, which this translator needs")
    return LabelEncoding.from_json(dict(frame.label_encoding)).decode(frame.label)


def read_layout(frame: PlannedFrame, table: np.ndarray | None = None, label_ids: bool = False) -> np.ndarray:
    """A frame's label map with its instances, as `number_things`, int32 (H, W).

    Args:
        frame: With a label map.
        table: uint8 (256,), train id to the id that the method knows; None: train ids.
        label_ids: Give Cityscapes' labelIds as they are stored. By way of train ids all that is none of the 19 classes
            becomes "unlabeled": the bonnet, the border of the image, parking, walls of tunnels.

    Raises:
        ImageError: It has none, or one of its files cannot be used.
    """
    if label_ids and frame.label is not None and frame.label_encoding == cityscapes().to_json():
        label_map = _stored_label_ids(frame.label)
    else:
        label_map = read_label_map(frame)
        label_map = label_map if table is None else table[label_map]
    return number_things(label_map, None if frame.label is None else instance_file(frame.label))


def _stored_label_ids(path: Path) -> np.ndarray:
    """uint8 (H, W), each an id that Cityscapes has."""
    stored = cityscapes().stored(path)
    cityscapes().to_train_ids(stored, path)  # refuses strange ids
    return stored.astype(np.uint8)


def translate_layout(method: LayoutTranslator, things: Tensor, style_seed: int = 0) -> Tensor:
    """What `read_layout` gave, as int64 (B, H, W), to images (B, 3, H, W) in [0, 1]."""
    return method.translate(things & 255, instance_map=things, style_seed=style_seed)


def label_table(labels: int) -> np.ndarray | None:
    """Train id to the id of a method's label space: None for the 19 train ids, Cityscapes' labelIds for 35.

    Ignored pixels become labelId 0, "unlabeled".

    Raises:
        UserError: There is no such label space.
    """
    if labels == 19:
        return None
    if labels != AUTHORS_LABELS:
        raise UserError(f"no label space has {labels} labels; expected 19 (train ids) or 35 (Cityscapes labelIds)")
    return label_id_table()
