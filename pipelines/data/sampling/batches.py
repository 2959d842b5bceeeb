"""What batches are drawn from and how: frames in memory, whose turn it is, and where a crop is cut.

The batch of a step is a pure function of (seed, step): which frames, which crops, which colours. So a resumed run goes
on with exactly the batches it would have had, whatever the number of worker processes, and there is no sampler state.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.data.frames import FrameSet
from pipelines.data.sampling.augment import crop_window, fit_height, fitted_size
from pipelines.data.sampling.random_keys import keyed_random
from pipelines.errors import NoInputsError
from segment.classes import IGNORE_INDEX


class FramePool:
    """Frames of several sets under one index, reduced once to the largest size that training needs and then kept.

    Args:
        sets: The frame sets, in order.
        height: No frame is kept higher than this; the width follows the aspect.
        kept_bytes: Frames beyond this much memory are read anew each time.
    """

    def __init__(self, sets: Sequence[FrameSet], height: int, kept_bytes: int = 2**30) -> None:
        self.places = [(frames, index) for frames in sets for index in range(len(frames))]
        self.height = height
        self._bytes_left = kept_bytes
        self._images: dict[int, np.ndarray] = {}
        self._label_maps: dict[int, np.ndarray] = {}
        if not self.places:
            raise NoInputsError(
                "there are no frames to train on: " + (", ".join(s.name for s in sets) or "no set given")
            )

    def __len__(self) -> int:
        return len(self.places)

    def image(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3), at most `height` high."""
        if index in self._images:
            return self._images[index]
        frames, position = self.places[index]
        return self._keep(self._images, index, fit_height(frames.read_image(position), self.height))

    def label_map(self, index: int) -> np.ndarray:
        """uint8 (H, W) of train ids, of the size of `image(index)`; ignored throughout where the frame has none."""
        if index in self._label_maps:
            return self._label_maps[index]
        frames, position = self.places[index]
        if not frames.has_label_map(position):
            return np.full(self.image(index).shape[:2], IGNORE_INDEX, np.uint8)
        label_map = frames.read_label_map(position)
        return self._keep(self._label_maps, index, fit_labels(label_map, self.kept_shape(label_map.shape)))

    def kept_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of a frame in here whose file is of `shape` (H, W, ...): told without reading the image."""
        width, height = fitted_size(shape, self.height)
        return height, width

    def read_all(self, labels: bool, progress: Callable[[int], None] = lambda done: None) -> None:
        """Read as many images as are kept, and every label map: a bad file shows itself now, not hours into training.

        Worker processes that are forked afterwards share what is kept here.

        Args:
            labels: Whether the label maps are wanted, of the frames that have any.
            progress: Called with the number of frames done.

        Raises:
            ImageError: A file cannot be used; it is named.
            NoInputsError: The label maps of a set are wanted and show no class: its loss would be nothing throughout.
        """
        keeping = True
        labelled, taught = set(), set()
        for index, (frames, position) in enumerate(self.places):
            if keeping:
                self.image(index)
                keeping = index in self._images
            if labels and frames.has_label_map(position):
                label_map = self.label_map(index) if keeping else frames.read_label_map(position)
                labelled.add(frames.name)
                if frames.name not in taught and (label_map != IGNORE_INDEX).any():
                    taught.add(frames.name)
            progress(index + 1)
        if untaught := sorted(labelled - taught):
            raise NoInputsError(
                f"no frame of {', '.join(untaught)} shows a class: every label map is ignored throughout, so there is "
                "nothing to learn from. Look at the settings of the set, and at its files with `sim2real data check`"
            )

    def _keep(self, kept: dict[int, np.ndarray], index: int, array: np.ndarray) -> np.ndarray:
        if array.nbytes <= self._bytes_left:
            self._bytes_left -= array.nbytes
            kept[index] = array
        return array

    def classes_by_frame(self, number_of_classes: int) -> np.ndarray:
        """Pixels of each class in each frame, (frames, classes), counted on the kept label maps."""
        counts = np.zeros((len(self), number_of_classes), np.int64)
        for index in range(len(self)):
            ids = np.bincount(self.label_map(index).ravel(), minlength=IGNORE_INDEX + 1)
            counts[index] = ids[:number_of_classes]
        return counts


@dataclass(frozen=True)
class Draws:
    """Which batches are drawn here: each is a function of the run's seed and of its step."""

    seed: int
    """The run's seed."""
    batch: int
    """Slots in a batch, each for one frame (of every domain)."""
    share: range | None = None
    """The slots to make, where several processes share a batch; None for all. What is in a slot does not depend on who
    makes it."""

    @property
    def slots(self) -> range:
        """The slots that are made here: this process's share, or all."""
        return range(self.batch) if self.share is None else self.share

    def frame_at(self, purpose: str, position: int, frames: int) -> int:
        """Whose turn it is among so many frames: each comes once before any comes again, in a new order each round.

        Args:
            purpose: What is drawn; frames for another purpose come in an order of their own.
            position: How many were drawn before.
            frames: How many there are.
        """
        rounds, place = divmod(position, frames)
        return int(keyed_random(self.seed, purpose, "order", rounds).permutation(frames)[place])


@dataclass(frozen=True)
class Crops:
    """How crops are cut for a translator."""

    height: int
    """Frames are brought to this height, times the random scale, before cropping."""
    size: tuple[int, int]
    """Width and height of the crops; smaller frames are enlarged to it."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the scale, drawn log-uniformly."""
    flip: bool = True
    """Mirror half of the crops."""

    def drawn_height(self, random: np.random.Generator) -> int:
        """What a frame is brought to before cropping: no less than a crop."""
        return self._at_scale(float(np.exp(random.uniform(*map(math.log, self.scale)))))

    def fixed_height(self) -> int | None:
        """The same where the scale leaves nothing to draw, else None."""
        return self._at_scale(self.scale[0]) if self.scale[0] == self.scale[1] else None

    def _at_scale(self, scale: float) -> int:
        return max(round(scale * self.height), self.size[1])

    def window(self, shape: tuple[int, ...], random: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a random crop; the columns run backwards where it is mirrored."""
        width, height = self.size
        top, left = crop_window(shape, (height, width), random)
        columns = slice(left, left + width)
        if self.flip and random.random() < 0.5:
            columns = slice(left + width - 1, left - 1 if left else None, -1)
        return slice(top, top + height), columns


def fit_labels(label_map: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A label map brought to the height and width of an image, nearest neighbour."""
    height, width = shape[:2]
    return cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def largest_height(height: int, largest_scale: float) -> int:
    """How high a frame must be kept so that the largest random scale loses nothing."""
    return math.ceil(height * max(largest_scale, 1.0))
