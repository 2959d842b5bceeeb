"""Batches for a translator of layouts: crops of images with the label maps that belong to them.

An image and its label map are one frame, matched by name when its set was opened. The batch of a step is a pure
function of (seed, step), as all batches are.
"""

import cv2
import numpy as np
import torch

from pipelines.data.images import to_tensor
from pipelines.data.labels.instances import instance_file, number_things
from pipelines.data.sampling.augment import fit_height
from pipelines.data.sampling.batches import Crops, Draws, FramePool
from pipelines.data.sampling.random_keys import keyed_random
from translate.methods.batches import PairedBatch


class PairedBatches:
    """Every frame comes once before any comes again, in a new order each round.

    Args:
        pool: Labelled frames.
        draws: Which batches.
        crops: How they are cut.
        instances: Use the instance maps that lie beside the label maps. A frame without one, among others with, is
            numbered by its labels.
        table: uint8 (256,), train id to the id that the batches hold; None: train ids.
        kept_bytes: Instance maps beyond this much memory are read anew each time.
    """

    def __init__(
        self,
        pool: FramePool,
        draws: Draws,
        crops: Crops,
        *,
        instances: bool = True,
        table: np.ndarray | None = None,
        kept_bytes: int = 2**29,
    ) -> None:
        self.pool, self.draws, self.crops, self.table = pool, draws, crops, table
        labels = [frames.frames[position].label for frames, position in pool.places] if instances else []
        found = {index: instance_file(label) for index, label in enumerate(labels) if label is not None}
        self.instance_files = {index: path for index, path in found.items() if path is not None}
        self._kept: dict[int, np.ndarray] = {}
        self._bytes_left = kept_bytes

    def read_instances(self) -> None:
        """Read every instance map once: a bad file shows itself before the first step. ImageError names it."""
        for index in self.instance_files:
            self._things(index)

    def __call__(self, step: int) -> PairedBatch:
        """The batch of a step, or this process's part of it."""
        slots = [self._slot(step * self.draws.batch + slot) for slot in self.draws.slots]
        images, label_maps, things = zip(*slots, strict=True)
        return PairedBatch(
            torch.stack(images), torch.stack(label_maps), torch.stack(things) if self.instance_files else None
        )

    def _slot(self, position: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        index = self.draws.frame_at("paired", position, len(self.pool))
        random = keyed_random(self.draws.seed, "paired", "crop", position)
        wanted, width = self.crops.drawn_height(random), self.crops.size[0]
        image = fit_height(self.pool.image(index), wanted, enlarge=True, least_width=width)
        things = _fitted(self._things(index), image.shape)
        window = self.crops.window(image.shape, random)
        image, things = image[window], things[window]
        label_map = (things & 255).astype(np.uint8)
        if self.table is not None:
            label_map = self.table[label_map]
        return to_tensor(np.ascontiguousarray(image)), _ids(label_map), _ids(things)

    def _things(self, index: int) -> np.ndarray:
        """int32 (H, W) as `number_things`, of the size of the pool's image."""
        if index in self._kept:
            return self._kept[index]
        path = self.instance_files.get(index)
        if path is None:
            return number_things(self.pool.label_map(index), None)
        frames, position = self.pool.places[index]
        things = number_things(frames.read_label_map(position), path)
        things = _fitted(things, self.pool.kept_shape(things.shape))
        if things.nbytes <= self._bytes_left:
            self._bytes_left -= things.nbytes
            self._kept[index] = things
        return things


def _fitted(things: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers brought to the height and width of an image, nearest neighbour; as float32, which holds them exactly."""
    height, width = shape[:2]
    if things.shape == (height, width):
        return things
    resized = cv2.resize(things.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(np.int32)


def _ids(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.int64))
