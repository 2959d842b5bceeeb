"""Translators of layouts in use: they take the source's label maps and leave its images alone."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from pipelines.batch_inference.plan import PlannedFrame
from pipelines.data.images import image_error
from pipelines.data.labels.encodings import LabelEncoding, cityscapes
from pipelines.data.labels.instances import instance_file, number_things
from pipelines.data.labels.label_formats import label_id_table
from pipelines.engine.checkpoint_files import settings_in
from pipelines.errors import UserError
from pipelines.experiment.trained import is_published
from pipelines.pretrained.keys import AUTHORS_LABELS
from translate.layout_translator import LayoutTranslator

LayoutReader = Callable[[PlannedFrame], np.ndarray]


def layout_reader(
    method: LayoutTranslator, checkpoint: Path, frames: Sequence[PlannedFrame]
) -> tuple[LayoutReader, str | None]:
    """What `translate_frames` reads for a method that takes label maps.

    Args:
        method: Of the checkpoint.
        checkpoint: Says how label maps were read in training; here they are read the same way.
        frames: Those to come.

    Returns:
        The reader, and what is unusual about it, for the identity of what comes of it: "label_ids" for a published
        network of Cityscapes' ids (our own were trained by way of the train ids), "without_instances" where the frames
        have instance maps and the network was trained without.
    """
    label_ids = method.labels == AUTHORS_LABELS and is_published(checkpoint)
    instances = settings_in(checkpoint, "translator").get("instances", True)
    read = partial(read_layout, table=label_table(method.labels), label_ids=label_ids, instances=instances)
    if label_ids:
        return read, "label_ids"
    passed_over = not instances and any(frame.label is not None and instance_file(frame.label) for frame in frames)
    return read, "without_instances" if passed_over else None


def read_label_map(frame: PlannedFrame) -> np.ndarray:
    """The frame's label map, uint8 (H, W) of train ids, 255 = ignore.

    Raises:
        ImageError: The frame has none, or its file cannot be used.
    """
    if frame.label is None or frame.label_encoding is None:
        raise image_error(frame.image, f"frame {frame.name!r} has no label map, which this translator needs")
    return LabelEncoding.from_json(dict(frame.label_encoding)).decode(frame.label)


def read_layout(
    frame: PlannedFrame, table: np.ndarray | None = None, label_ids: bool = False, instances: bool = True
) -> np.ndarray:
    """A frame's label map with its instances, as `number_things`, int32 (H, W).

    Args:
        frame: With a label map.
        table: uint8 (256,), train id to the id that the method knows; None: train ids.
        label_ids: Give Cityscapes' labelIds as they are stored. By way of train ids all that is none of the 19 classes
            becomes "unlabeled": the bonnet, the border of the image, parking, walls of tunnels.
        instances: Use the instance map that lies beside the label map.

    Raises:
        ImageError: It has none, or one of its files cannot be used.
    """
    if label_ids and frame.label is not None and frame.label_encoding == cityscapes().to_json():
        label_map = _stored_label_ids(frame.label)
    else:
        label_map = read_label_map(frame)
        label_map = label_map if table is None else table[label_map]
    return number_things(label_map, instance_file(frame.label) if instances and frame.label is not None else None)


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
