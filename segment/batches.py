"""What the methods of stage two are given at each step.

Images are float (B, 3, H, W) in [0, 1]; label maps int64 (B, H, W) of train ids, 255 = ignore. What a method must not
see, such as labels of the target, is in no batch: it cannot leak from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from segment.classes import IGNORE_INDEX


class Batch:
    """Tensors and smaller batches, some of which may be absent, that move together."""

    def to(self, device: torch.device | str) -> Self:
        """This batch on `device`; from pinned memory the copy does not block."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{name: _moved(part, device) for name, part in parts.items()})


def _moved(part: "Tensor | Batch | None", device: torch.device | str) -> "Tensor | Batch | None":
    if part is None:
        return None
    return part.to(device) if isinstance(part, Batch) else part.to(device, non_blocking=True)


@dataclass(frozen=True)
class LabelledBatch(Batch):
    """Frames with their labels."""

    image: Tensor
    label_map: Tensor
    style: Tensor | None = None
    """Images of the target, (B, 3, H, W) in [0, 1], whose looks augmentation may lend to the frames."""
    styled: Tensor | None = None
    """bool (B,): the frames that may take them; real ones do not."""

    def shown(self) -> Tensor:
        """bool (B, H, W): all but what was filled up beside a frame or below, rows and columns of ignored black."""
        something = (self.image > 0).any(dim=1) | (self.label_map != IGNORE_INDEX)
        return something.any(dim=2, keepdim=True) & something.any(dim=1, keepdim=True)


@dataclass(frozen=True)
class AdaptationBatch(Batch):
    """Labelled source frames, and frames of the target without labels: one batch of each."""

    source: LabelledBatch
    """The arm's frames in their shares: raw, translated, or mixed."""
    target: Tensor
    """(B, 3, H, W), augmented as the source is. Their labels, if the disk has any, are not read."""
    labelled_target: LabelledBatch | None = None
    """The few labelled target frames of a semi-supervised method."""
    pseudo_label: Tensor | None = None
    """int64 (B, H, W): of the target, what trained networks said of it before; 255 where they were not sure."""


BatchAugmentation = Callable[[LabelledBatch], LabelledBatch]
"""Changes a batch at random, with draws from torch's global generator, as the steps of all methods may draw."""
