"""Translators of layouts, in training and in use: what they learn from, what judges them, and what they are given.

Training takes labelled target frames; translation takes the source's label maps and leaves its images alone. What a run
found on this machine and not in its config (instance maps) is in its `notes.json`, so that it goes on with the same.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from pipelines.batch_inference.plan import FrameToTranslate
from pipelines.data.disk.files import sha256_of
from pipelines.data.images import image_error
from pipelines.data.labels.encodings import LabelEncoding, cityscapes
from pipelines.data.labels.instances import instance_file, number_things
from pipelines.data.labels.label_formats import label_id_table
from pipelines.data.sampling.batches import Crops, Draws, largest_height
from pipelines.data.sampling.paired_batches import PairedBatches
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.keys import AUTHORS_LABELS
from pipelines.stages.training.training_run import filled_pool, note
from translate.layout_translator import LayoutTranslator

# --- training --------------------------------------------------------------------------------------


def paired_batches(workspace: Workspace, seed: int, processes: Processes = ALONE) -> PairedBatches:
    """Crops of the labelled target frames that the experiment allows itself, with their label and instance maps.

    Raises:
        NoInputsError: No target frame has a label map.
        ImageError: A file cannot be used, or holds labels that its encoding does not have; it is named.
    """
    settings = workspace.experiment.translator
    if not workspace.labelled_target:
        raise NoInputsError(f"no target frame has a label map; {settings.method} learns from labelled target frames")
    pool = filled_pool(
        "labelled target",
        workspace.labelled_subset(seed),
        largest_height(settings.height, settings.scale[1]),
        labels=True,
        processes=processes,
    )
    batches = PairedBatches(
        pool,
        Draws(seed, settings.batch, processes.share_of(settings.batch)),
        Crops(settings.height, settings.crop, settings.scale, settings.flip),
        instances=settings.instances,
        table=label_table(settings.labels),
    )
    batches.read_instances()
    hashes = [sha256_of(batches.instance_files[index]) for index in sorted(batches.instance_files)]
    found = hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None
    if processes.leads:
        note(workspace.translator(seed), "instance_maps", found)
    return batches


# --- translation -----------------------------------------------------------------------------------


def layout_reader(method: LayoutTranslator, label_ids: bool = False) -> Callable[[FrameToTranslate], np.ndarray]:
    """What `translate_frames` reads for a method that takes label maps; `label_ids` as of `read_layout`."""
    return partial(read_layout, table=label_table(method.labels), label_ids=label_ids)


def read_label_map(frame: FrameToTranslate) -> np.ndarray:
    """The frame's label map, uint8 (H, W) of train ids, 255 = ignore.

    Raises:
        ImageError: The frame has none, or its file cannot be used.
    """
    if frame.label is None or frame.label_encoding is None:
        raise image_error(frame.image, f"frame {frame.name!r} has no label map, which this translator needs")
    return LabelEncoding.from_json(dict(frame.label_encoding)).decode(frame.label)


def read_layout(frame: FrameToTranslate, table: np.ndarray | None = None, label_ids: bool = False) -> np.ndarray:
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
