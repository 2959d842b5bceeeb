"""A downstream segmentation loss that steers the generators: what is translated must stay readable for a frozen expert.

Three forms, alone or together. *Task loss*, target to source: Mütze, Rottmann, Gottschalk, "Semi-supervised domain
adaptation with CycleGAN guided by a downstream task loss", VISAPP 2023 (arXiv:2208.08815). *Label loss*, source to
target, where labels come free, and *semantic consistency*, both ways without labels: Hoffman et al., "CyCADA", ICML
2018 (arXiv:1711.03213).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segment.losses import cross_entropy
from segment.networks.segmenter import Segmenter
from translate.value_range import to_unit

if TYPE_CHECKING:  # the methods, in whose package it is, import this file
    from translate.methods.batches import UnpairedBatch


class Guidance:
    """A frozen expert and what it thinks of translated images.

    Not a module: a method that holds one neither saves, trains nor averages the expert.

    Args:
        expert: A trained segmenter. It is put into evaluation mode and frozen where it is; nothing of it ever changes,
            batch statistics included.
        task_weight: Of CE(expert(target_to_source(r)), y) on the few labelled target images r.
        label_weight: Of CE(expert(source_to_target(s)), y) on source images s with their labels.
        consistency_weight: Of CE(expert(G(x)), argmax expert(x)) for both generators G on their images x.
        alpha: Share of the guidance in the generators' objective, alpha * guidance + (1 - alpha) * everything else;
            None adds the guidance to the rest.
        start_step: Steps without guidance at the beginning; 0 guides throughout.

    Raises:
        ValueError: No weight is above 0, or a number is out of range.
    """

    def __init__(
        self,
        expert: Segmenter,
        *,
        task_weight: float = 0.0,
        label_weight: float = 0.0,
        consistency_weight: float = 0.0,
        alpha: float | None = None,
        start_step: int = 0,
    ) -> None:
        weights = (task_weight, label_weight, consistency_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                f"Weights of the guidance are task {task_weight}, label {label_weight}, consistency "
                f"{consistency_weight}; expected none below 0 and at least one above."
            )
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; expected a share, 0 to 1, or None to add the guidance to the rest.")
        if start_step < 0:
            raise ValueError(f"start_step is {start_step}; expected 0 or more steps without guidance.")
        self.expert = expert.eval().requires_grad_(False)
        self.task_weight, self.label_weight, self.consistency_weight = weights
        self.alpha = alpha
        self.start_step = start_step

    def labelled_target(self, batch: UnpairedBatch) -> Tensor | None:
        """The batch's labelled target images (B, 3, H, W) in [0, 1] if the task loss wants their translation.

        Raises:
            ValueError: It does, and there are none.
        """
        if self.task_weight == 0:
            return None
        return _needed(batch.labelled_target, "task", "target")

    def losses(
        self, batch: UnpairedBatch, fake_source: Tensor, fake_target: Tensor, labelled_fake_source: Tensor | None
    ) -> dict[str, Tensor]:
        """What the generators pay for images that the expert cannot read.

        Args:
            batch: What was translated, with the labels that the forms in use need.
            fake_source: (B, 3, H, W) in [-1, 1], translated from `batch.target`; gradients flow.
            fake_target: The same, from `batch.source`.
            labelled_fake_source: The same, from `labelled_target(batch)`.

        Returns:
            Weighted scalars: "task", "label", "consistency_source" (of source images) and "consistency_target", as
            far as they are in use. `labelled_fake_source` and `fake_source` reach the generator target_to_source,
            `fake_target` the other one; nothing reaches the expert.

        Raises:
            ValueError: Labels are missing.
        """
        self.follow(batch.source.device)
        translated = {"source": fake_source, "target": fake_target, "labelled": labelled_fake_source}
        wanted = self._wanted(batch)
        names = sorted({name for _, name, _, _ in wanted})
        # One pass over all images, exact in evaluation mode, where statistics are constants.
        images = [to_unit(translated[name]) for name in names]
        logits = self.expert(torch.cat(images)).split([len(image) for image in images])
        seen = dict(zip(names, logits, strict=True))
        return {term: weight * cross_entropy(seen[name], truth) for term, name, truth, weight in wanted}

    def _wanted(self, batch: UnpairedBatch) -> list[tuple[str, str, Tensor, float]]:
        """Per term: its name, the translation that it judges, what the expert ought to see there, and the weight."""
        wanted = []
        if self.task_weight > 0:
            wanted.append(("task", "labelled", _needed(batch.target_label_map, "task", "target"), self.task_weight))
        if self.label_weight > 0:
            wanted.append(("label", "target", _needed(batch.source_label_map, "label", "source"), self.label_weight))
        if self.consistency_weight > 0:
            seen_source, seen_target = self._predict(torch.cat([batch.source, batch.target])).chunk(2)
            wanted.append(("consistency_source", "target", seen_source, self.consistency_weight))
            wanted.append(("consistency_target", "source", seen_target, self.consistency_weight))
        return wanted

    @torch.no_grad()
    def _predict(self, image: Tensor) -> Tensor:
        """The expert's label map (B, H, W) of untranslated images in [0, 1]."""
        return self.expert(image).max(dim=1).indices

    def mixed_with(self, rest: dict[str, Tensor], guidance: dict[str, Tensor]) -> dict[str, Tensor]:
        """The generators' whole objective, term by term: convex if there is an alpha, else a sum."""
        if self.alpha is None:
            return rest | guidance
        guiding = {name: self.alpha * loss for name, loss in guidance.items()}
        return {name: (1 - self.alpha) * loss for name, loss in rest.items()} | guiding

    def follow(self, device: torch.device) -> None:
        """Bring the expert to the images' device, as the method's own networks are brought by the engine."""
        if any(tensor.device != device for tensor in chain(self.expert.parameters(), self.expert.buffers())):
            self.expert.to(device)


def _needed(tensor: Tensor | None, loss: str, domain: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"The {loss} loss needs labelled {domain} images; the batch has none.")
    return tensor
