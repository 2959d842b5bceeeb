"""Batches for a student: crops of source frames and of what a teacher made of them, at one and the same place.

The batch of a step is a pure function of (seed, step), as all batches are.
"""

import cv2
import numpy as np
import torch

from pipelines.data.images import image_error, to_tensor
from pipelines.data.sampling.augment import fit_height
from pipelines.data.sampling.batches import Crops, Draws, FramePool, fit_labels
from pipelines.data.sampling.random_keys import keyed_random
from translate.methods.batches import TranslatedBatch

LARGEST_SQUEEZE = 0.1
"""By so much the aspects of a frame and its translation may differ: tools that work at a fixed size squeeze frames."""


class TranslatedBatches:
    """Every frame comes once before any comes again, in a new order each round.

    Args:
        source: Source frames.
        translated: Their translations, in the same order; of any size, brought to that of the source.
        draws: Which batches.
        crops: How they are cut.
        labels: Whether to crop label maps with the source; those that a frame lacks are ignored throughout.
    """

    def __init__(
        self, source: FramePool, translated: FramePool, draws: Draws, crops: Crops, labels: bool = False
    ) -> None:
        if len(source) != len(translated):
            raise ValueError(f"There are {len(source)} source frames and {len(translated)} translations of them.")
        self.source, self.translated, self.draws, self.crops, self.labels = source, translated, draws, crops, labels

    def __call__(self, step: int) -> TranslatedBatch:
        """The batch of a step, or this process's part of it."""
        slots = [self._slot(step * self.draws.batch + slot) for slot in self.draws.slots]
        sources, translations, label_maps = zip(*slots, strict=True)
        return TranslatedBatch(
            torch.stack(sources), torch.stack(translations), torch.stack(label_maps) if self.labels else None
        )

    def _slot(self, position: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        index = self.draws.frame_at("translated", position, len(self.source))
        random = keyed_random(self.draws.seed, "translated", "crop", position)
        wanted, width = self.crops.drawn_height(random), self.crops.size[0]
        image = fit_height(self.source.image(index), wanted, enlarge=True, least_width=width)
        translated = self._fitted(index, image.shape)
        window = self.crops.window(image.shape, random)
        ids = None
        if self.labels:
            ids = torch.from_numpy(fit_labels(self.source.label_map(index), image.shape)[window].astype(np.int64))
        return to_tensor(image[window]), to_tensor(translated[window]), ids

    def _fitted(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """The translation at the size of the source's image.

        Raises:
            ImageError: Its aspect says that it shows another part of the scene.
        """
        translated, (height, width) = self.translated.image(index), shape[:2]
        own_height, own_width = translated.shape[:2]
        if abs(own_width * height / (own_height * width) - 1) > LARGEST_SQUEEZE:
            frames, place = self.translated.places[index]
            sources, source_place = self.source.places[index]
            raise image_error(
                frames.frames[place].image,
                f"it is {own_width}x{own_height} after fitting, its source {sources.frames[source_place].image} "
                f"{width}x{height}; expected the same view",
            )
        if translated.shape[:2] == (height, width):
            return translated
        shrinks = own_height > height
        return cv2.resize(translated, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
