"""Training batches by step number.

The batch of a step is a pure function of (seed, step): which frames, which crops, which colours. So a resumed run goes
on with exactly the batches it would have had, whatever the number of worker processes, and there is no sampler state.
"""

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pipelines.data.augment import (
    SegmenterAugmentation,
    crop_window,
    fit_height,
    random_flip,
)
from pipelines.data.frames import FrameSet
from pipelines.data.images import to_tensor
from pipelines.data.random_keys import keyed_random
from pipelines.errors import NoInputsError, UserError
from segment.classes import IGNORE_INDEX
from segment.methods.supervised import LabelledBatch
from translate.methods.cyclegan import UnpairedBatch


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
        """uint8 (H, W) of train ids, of the size of `image(index)`."""
        if index in self._label_maps:
            return self._label_maps[index]
        frames, position = self.places[index]
        height, width = self.image(index).shape[:2]
        reduced = cv2.resize(frames.read_label_map(position), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return self._keep(self._label_maps, index, reduced)

    def read_all(self, labels: bool, progress: Callable[[int], None] = lambda done: None) -> None:
        """Read as many images as are kept, and every label map: a bad file shows itself now, not hours into training.

        Worker processes that are forked afterwards share what is kept here.

        Args:
            labels: Whether the label maps are wanted.
            progress: Called with the number of frames done.

        Raises:
            ImageError: A file cannot be used; it is named.
            UserError: A label map is wanted and missing.
        """
        keeping = True
        for index, (frames, position) in enumerate(self.places):
            if keeping:
                self.image(index)
                keeping = index in self._images
            if labels and keeping:
                self.label_map(index)
            elif labels:
                frames.read_label_map(position)
            progress(index + 1)

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


class UnpairedBatches:
    """Batches for a translator: source and target crops that have nothing to do with each other.

    Every frame of a domain comes once before any comes again (a new order each round), as in the reference code.
    """

    def __init__(self, source: FramePool, target: FramePool, seed: int, batch: int, height: int, crop: int) -> None:
        self.domains = {"source": source, "target": target}
        self.seed, self.batch, self.height, self.crop = seed, batch, max(height, crop), crop

    def __call__(self, step: int) -> UnpairedBatch:
        """The batch of a step."""
        return UnpairedBatch(**{domain: self._crops(domain, step) for domain in self.domains})

    def _crops(self, domain: str, step: int) -> torch.Tensor:
        pool = self.domains[domain]
        crops = []
        for position in range(step * self.batch, (step + 1) * self.batch):
            rounds, place = divmod(position, len(pool))
            order = keyed_random(self.seed, domain, "order", rounds).permutation(len(pool))
            random = keyed_random(self.seed, domain, "crop", position)
            image = fit_height(pool.image(int(order[place])), self.height, enlarge=True, least_width=self.crop)
            top, left = crop_window(image.shape, (self.crop, self.crop), random)
            crops.append(to_tensor(random_flip(image[top : top + self.crop, left : left + self.crop], random)))
        return torch.stack(crops)


class LabelledBatches:
    """Batches for a segmenter: each slot first draws one of the pools by its share, then a frame of it.

    Args:
        pools: Frames by the name of their share.
        shares: Probability of each pool; those of 0 are never read.
        seed: Of the run.
        batch: Slots in a batch.
        augmentation: Applied to every frame.
        rare_class_sampler: Draws the frame of a pool; None draws evenly.
    """

    def __init__(
        self,
        pools: dict[str, FramePool],
        shares: dict[str, float],
        seed: int,
        batch: int,
        augmentation: SegmenterAugmentation,
        rare_class_sampler: Callable[[str, np.random.Generator], int] | None = None,
    ) -> None:
        self.names = [name for name, share in shares.items() if share > 0]
        self.shares = np.array([shares[name] for name in self.names])
        self.pools, self.seed, self.batch = pools, seed, batch
        self.augmentation = augmentation
        self.rare_class_sampler = rare_class_sampler

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of a step."""
        slots = [self._slot(step, slot) for slot in range(self.batch)]
        return LabelledBatch(torch.stack([image for image, _ in slots]), torch.stack([labels for _, labels in slots]))

    def _slot(self, step: int, slot: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = keyed_random(self.seed, "mixture", step, slot)
        name = self.names[int(random.choice(len(self.names), p=self.shares / self.shares.sum()))]
        pool = self.pools[name]
        index = self.rare_class_sampler(name, random) if self.rare_class_sampler else int(random.integers(len(pool)))
        return self.augmentation(pool.image(index), pool.label_map(index), random)


class RareClassSampler:
    """Draw a class, rare ones more often, then a frame that shows it.

    P(c) is proportional to exp((1 - f_c) / T) with f_c the class's share of all labelled pixels: Hoyer et al.,
    DAFormer, CVPR 2022, eq. 11. A frame shows a class when it has at least `least_share` of it (3,000 of 1280x720
    pixels there).
    """

    least_share = 3000 / (1280 * 720)

    def __init__(self, pools: dict[str, FramePool], number_of_classes: int, temperature: float) -> None:
        self.frames: dict[str, list[np.ndarray]] = {}
        self.probabilities: dict[str, np.ndarray] = {}
        for name, pool in pools.items():
            counts = pool.classes_by_frame(number_of_classes)
            frequency = counts.sum(0) / max(counts.sum(), 1)
            shown = counts >= self.least_share * np.maximum(counts.sum(1, keepdims=True), 1)
            drawable = shown.any(0)
            if not drawable.any():
                raise NoInputsError(f"no {name} frame shows a class: every label map is ignored throughout")
            # Relative to the rarest, so that a low temperature cannot round every weight to zero.
            weights = np.exp(
                (frequency[drawable].min() - frequency) / temperature, where=drawable, out=np.zeros(len(frequency))
            )
            self.frames[name] = [np.flatnonzero(shown[:, c]) for c in range(number_of_classes)]
            self.probabilities[name] = weights / weights.sum()

    def __call__(self, name: str, random: np.random.Generator) -> int:
        """The index of a frame of pool `name`."""
        chosen = int(random.choice(len(self.probabilities[name]), p=self.probabilities[name]))
        return int(random.choice(self.frames[name][chosen]))


class _Steps(Dataset):
    """The batches as a map-style data set, so that DataLoader's workers can make them ahead of time."""

    def __init__(self, make_batch: Callable[[int], Any], last: int) -> None:
        self.make_batch, self.last = make_batch, last

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, step: int) -> Any:
        try:
            return self.make_batch(step)
        except UserError as error:
            return error  # DataLoader would wrap a worker's traceback around the message


def stream(make_batch: Callable[[int], Any], first: int, last: int, workers: int) -> Iterator[Any]:
    """Batches of steps first..last-1, in order, made by `workers` processes (0: in this one).

    With workers, OpenCV in this process is left on one thread: its thread pool does not survive a fork, and a forked
    worker that resizes that pool waits forever for threads it does not have.

    Raises:
        UserError: As `make_batch` raised it, whichever process it was in.
    """
    if workers:
        cv2.setNumThreads(1)
    loader = DataLoader(
        _Steps(make_batch, last),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=_leave_signals_to_the_parent,
        prefetch_factor=4 if workers else None,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _leave_signals_to_the_parent(worker: int) -> None:
    """The parent ends its workers itself: terminals and batch systems send signals to the whole group, and a worker
    that died of one would take the parent down before it could save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def largest_height(height: int, largest_scale: float) -> int:
    """How high a frame must be kept so that the largest random scale loses nothing."""
    return math.ceil(height * max(largest_scale, 1.0))
