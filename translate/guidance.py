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

    def labelled_images(self, batch: UnpairedBatch, domain: str) -> Tensor | None:
        """Further images of `domain` whose translation the task loss wants: the labelled ones (B, 3, H, W) in [0, 1] of
        the target; None where it wants none.

        Raises:
            ValueError: It does, and there are none.
        """
        if self.task_weight == 0 or domain == "source":
            return None
        return _needed(batch.labelled_target, "task", "target")

    def losses(
        self, batch: UnpairedBatch, domain: str, fake: Tensor, labelled_fake: Tensor | None
    ) -> dict[str, Tensor]:
        """What the generator that translates from `domain` pays for images that the expert cannot read.

        Args:
            batch: What was translated, with the labels that the forms in use need.
            domain: "source" or "target".
            fake: (B, 3, H, W) in [-1, 1], translated from the batch's images of the domain; gradients flow.
            labelled_fake: The same, from `labelled_images(batch, domain)`.

        Returns:
            Weighted scalars as far as they are in use: "label" and "consistency_source" from source images, "task" and
            "consistency_target" from target images. Nothing reaches the expert.

        Raises:
            ValueError: Labels are missing.
        """
        self.follow(fake.device)
        wanted = self._wanted(batch, domain, fake, labelled_fake)
        if not wanted:
            return {}
        # One pass over all images, exact in evaluation mode, where statistics are constants.
        judged = list({id(image): image for _, image, _, _ in wanted}.values())
        logits = self.expert(torch.cat([to_unit(image) for image in judged])).split([len(image) for image in judged])
        seen = {id(image): one for image, one in zip(judged, logits, strict=True)}
        return {term: weight * cross_entropy(seen[id(image)], truth) for term, image, truth, weight in wanted}

    def _wanted(
        self, batch: UnpairedBatch, domain: str, fake: Tensor, labelled_fake: Tensor | None
    ) -> list[tuple[str, Tensor, Tensor, float]]:
        """Per term: its name, the translation that it judges, what the expert ought to see there, and the weight."""
        wanted = []
        if self.task_weight > 0 and labelled_fake is not None:
            truth = _needed(batch.target_label_map, "task", "target")
            wanted.append(("task", labelled_fake, truth, self.task_weight))
        if self.label_weight > 0 and domain == "source":
            wanted.append(("label", fake, _needed(batch.source_label_map, "label", "source"), self.label_weight))
        if self.consistency_weight > 0:
            before = self._predict(batch.source if domain == "source" else batch.target)
            wanted.append((f"consistency_{domain}", fake, before, self.consistency_weight))
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
