"""Label maps as a translator's input: what a frame shows, in train ids, however its data set writes it."""

import numpy as np

from pipelines.batch_inference.plan import FrameToTranslate
from pipelines.data.images import image_error
from pipelines.data.labels.encodings import LabelEncoding


def read_label_map(frame: FrameToTranslate) -> np.ndarray:
    """The frame's label map, uint8 (H, W) of train ids, 255 = ignore.

    Raises:
        ImageError: The frame has none, or its file cannot be used.
    """
    if frame.label is None or frame.label_encoding is None:
        raise image_error(frame.image, f"frame {frame.name!r} has no label map, which this translator needs")
    return LabelEncoding.from_json(dict(frame.label_encoding)).decode(frame.label)
