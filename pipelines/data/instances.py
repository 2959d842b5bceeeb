"""Instance maps, where a data set has them beside its label maps: which pixels are one car and which the next.

Cityscapes writes them as *_instanceIds.png (Cordts et al., CVPR 2016). Layouts need no more than where one thing ends,
so label and instance are kept as one number.
"""

from pathlib import Path

import numpy as np

from pipelines.data.images import image_error, read_raw

LABEL_FILES = ("_labelIds.png", "_labelTrainIds.png")
INSTANCE_FILE = "_instanceIds.png"
LARGEST_ID = 2**16 - 2
"""So that a thing's number stays below 2^24 and survives a float32."""


def instance_file(label: Path) -> Path | None:
    """The instance map that belongs to a label file, or None."""
    for suffix in LABEL_FILES:
        if label.name.endswith(suffix):
            beside = label.with_name(label.name.removesuffix(suffix) + INSTANCE_FILE)
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
    ids = read_raw(instances)
    if ids.shape != label_map.shape:
        raise image_error(
            instances,
            f"the instance map has shape {ids.shape}, its label map {label_map.shape}; both must have one size and "
            "one channel",
        )
    if ids.max(initial=0) > LARGEST_ID:
        raise image_error(instances, f"holds instance id {int(ids.max())}; the largest that fits is {LARGEST_ID}")
    return things + ((ids.astype(np.int32) + 1) << 8)
