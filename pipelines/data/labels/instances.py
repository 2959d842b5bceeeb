"""Instance maps, where a data set has them beside its label maps: which pixels are one car and which the next.

Cityscapes writes them as *_instanceIds.png (Cordts et al., CVPR 2016). Layouts need no more than where one thing ends,
so label and instance are kept as one number; evaluation weighs each instance alike, so it needs its class too.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.data.images import image_error, read_raw
from pipelines.data.labels.encodings import IGNORE, cityscapes

LABEL_FILES = ("_labelIds.png", "_labelTrainIds.png")
INSTANCE_FILE = "_instanceIds.png"
LABEL_FOLDER, INSTANCE_FOLDER = "_label", "_inst"
"""How pix2pixHD's authors end the names of the two folders beside each other: train_label and train_inst."""
LARGEST_ID = 2**16 - 2
"""The largest instance id that is read: with it a thing's number stays below 2^24 and survives a float32."""
PER_CLASS = 1000
"""A stored id is label id * 1000 + number, or the bare label id where things are not told apart."""


def instance_file(label: Path) -> Path | None:
    """The instance map that belongs to a label file, or None: beside it, or as pix2pixHD's authors sort them."""
    for suffix in LABEL_FILES:
        if label.name.endswith(suffix):
            beside = label.with_name(label.name.removesuffix(suffix) + INSTANCE_FILE)
            folder = label.parent.name
            if folder.endswith(LABEL_FOLDER) and not beside.exists():
                beside = label.parent.with_name(folder.removesuffix(LABEL_FOLDER) + INSTANCE_FOLDER) / beside.name
            return beside if beside.exists() else None
    return None


def number_things(label_map: np.ndarray, instances: Path | None) -> np.ndarray:
    """Number all things: the label in the lowest byte, above it the instance, if there are instances.

    Args:
        label_map: uint8 (H, W).
        instances: Instance map of the same size; None numbers by label alone.

    Returns:
        int32 (H, W), below 2^24; `things & 255` is the label map.

    Raises:
        ImageError: The instance map cannot be read, is of another size, or holds ids that are too large.
    """
    things = label_map.astype(np.int32)
    if instances is None:
        return things
    ids = _read(instances, label_map.shape)
    if ids.max(initial=0) > LARGEST_ID:
        raise image_error(instances, f"holds instance id {int(ids.max())}; the largest that fits is {LARGEST_ID}")
    return things + ((ids.astype(np.int32) + 1) << 8)


def read_instance_map(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The instances of the classes that count.

    Args:
        path: Of a *_instanceIds.png.
        shape: (height, width) of the label map that it belongs to.

    Returns:
        int32 (H, W): train id * 1000 + number; -1 where there is no instance of one of the 19 classes.

    Raises:
        ImageError: As `number_things`.
    """
    return _instances_of_ids()[_read(path, shape)]


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    ids = read_raw(path)
    if ids.shape != shape:
        raise image_error(
            path,
            f"the instance map has shape {ids.shape}, its label map {shape}; both must have one size and one channel",
        )
    return ids


@lru_cache
def _instances_of_ids() -> np.ndarray:
    """int32 (65536,), from a stored id to what `read_instance_map` returns."""
    table = np.full(2**16, -1, np.int32)
    for label_id, train_id in cityscapes().ids.items():
        first = label_id * PER_CLASS
        if first and train_id != IGNORE:
            table[first : first + PER_CLASS] = train_id * PER_CLASS + np.arange(PER_CLASS)
    return table
