"""Training batches of a segmenter: frames of several pools in their shares, rare classes more often where asked for.

The batch of a step is a pure function of (seed, step), as all batches are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from pipelines.data.images import to_tensor
from pipelines.data.sampling.augment import SegmenterAugmentation, fit_style
from pipelines.data.sampling.batches import Draws, FramePool
from pipelines.data.sampling.random_keys import keyed_random
from pipelines.errors import NoInputsError
from segment.batches import LabelledBatch


@dataclass(frozen=True)
class Mixture:
    """From which pools frames are drawn, and which of their frames."""

    shares: Mapping[str, float]
    """Probability of each pool, by its name; those of 0 are never read."""
    rare_class_sampler: Callable[[str, np.random.Generator], int] | None = None
    """Draws the frame of a pool; None draws by `weights`."""
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    """How often each frame of a pool is drawn beside its others, by the pool's name; a pool without is drawn evenly."""
    exact_shares: bool = False
    """Each batch holds the shares, rounded up or down to whole slots, and the mean over batches exactly."""
    target_from_step: int | None = None
    """From this step on all slots draw from the pool "target"; None for never."""


class LabelledBatches:
    """Batches for a segmenter: each slot first draws one of the pools by its share, then a frame of it.

    Args:
        pools: Frames by the name of their share.
        mixture: How they are drawn from.
        draws: Which batches.
        augmentation: Applied to every frame.
        style: Target frames whose looks the frames of all pools but "target" may take; None for none.
        style_in_batch: Hand a style image to whoever augments the batch, instead of using it here.
    """

    def __init__(
        self,
        pools: dict[str, FramePool],
        mixture: Mixture,
        draws: Draws,
        augmentation: SegmenterAugmentation,
        style: FramePool | None = None,
        style_in_batch: bool = False,
    ) -> None:
        self.names = [name for name, share in mixture.shares.items() if share > 0]
        self.shares = np.array([mixture.shares[name] for name in self.names])
        self.pools, self.mixture, self.draws, self.augmentation = pools, mixture, draws, augmentation
        self.style, self.style_in_batch = style, style is not None and style_in_batch

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of a step, or this process's part of it."""
        images, label_maps, names = zip(*(self._slot(step, slot) for slot in self.draws.slots), strict=True)
        if not self.style_in_batch:
            return LabelledBatch(torch.stack(images), torch.stack(label_maps))
        crop = self.augmentation.crop
        styles = [to_tensor(fit_style(self._style_of(step, slot), crop)) for slot in self.draws.slots]
        styled = torch.tensor([name != "target" for name in names])
        return LabelledBatch(torch.stack(images), torch.stack(label_maps), torch.stack(styles), styled)

    def class_shares(self, number_of_classes: int) -> np.ndarray:
        """Share of each class among the labelled pixels, (classes,), of the pools in their shares."""
        counts = [self.pools[name].classes_by_frame(number_of_classes).sum(0) for name in self.names]
        shares = [share * count / max(count.sum(), 1) for share, count in zip(self.shares, counts, strict=True)]
        return np.sum(shares, axis=0)

    def _slot(self, step: int, slot: int) -> tuple[torch.Tensor, torch.Tensor, str]:
        """Image, label map, and the name of the pool that they are from."""
        random = keyed_random(self.draws.seed, "mixture", step, slot)
        name = self._pool_of(step, slot, random)
        pool = self.pools[name]
        if self.mixture.rare_class_sampler:
            index = self.mixture.rare_class_sampler(name, random)
        else:
            index = drawn(np.arange(len(pool)), self.mixture.weights.get(name), random)
        keeps_looks = self.style is None or self.style_in_batch or name == "target"
        style = None if keeps_looks else partial(self._style_of, step, slot)
        return *self.augmentation(pool.image(index), pool.label_map(index), random, style), name

    def _pool_of(self, step: int, slot: int, random: np.random.Generator) -> str:
        from_step = self.mixture.target_from_step
        if from_step is not None and step >= from_step:
            return "target"
        probabilities = self.shares / self.shares.sum()
        if not self.mixture.exact_shares:
            return self.names[int(random.choice(len(self.names), p=probabilities))]
        # Slots lie at even distances, all moved by one draw: each share gets its number of them, off by less than one.
        place = (keyed_random(self.draws.seed, "shares", step).random() + slot) / self.draws.batch
        return self.names[min(int(np.searchsorted(probabilities.cumsum(), place, "right")), len(self.names) - 1)]

    def _style_of(self, step: int, slot: int) -> np.ndarray:
        """The target frame, uint8 (h, w, 3), whose looks a slot may take."""
        return self.style.image(int(keyed_random(self.draws.seed, "style", step, slot).integers(len(self.style))))


def drawn(indices: np.ndarray, weights: np.ndarray | None, random: np.random.Generator) -> int:
    """One of `indices`, in proportion to its weight among all weights of a pool; evenly without weights."""
    if weights is None:
        return int(random.choice(indices))
    return int(random.choice(indices, p=weights[indices] / weights[indices].sum()))


class RareClassSampler:
    """Draw a class, rare ones more often, then a frame that shows it.

    P(c) is proportional to exp((1 - f_c) / T) with f_c the class's share of all labelled pixels: Hoyer et al.,
    DAFormer, CVPR 2022, eq. 11. A frame shows a class when it has at least `least_share` of it (3,000 of 1280x720
    pixels there). With weights, which must not be 0, it is drawn in proportion to them among the frames that show it.
    """

    least_share = 3000 / (1280 * 720)

    def __init__(
        self,
        pools: dict[str, FramePool],
        number_of_classes: int,
        temperature: float,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.weights = weights or {}
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
        return drawn(self.frames[name][chosen], self.weights.get(name), random)
