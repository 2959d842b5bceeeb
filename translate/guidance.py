"""A downstream segmentation loss that steers the generators: what is translated must stay readable for a frozen expert.

Three forms, alone or together. *Task loss*, target to source: Mütze, Rottmann, Gottschalk, "Semi-supervised domain
adaptation with CycleGAN guided by a downstream task loss", VISAPP 2023 (arXiv:2208.08815). *Label loss*, source to
target, where labels come free, and *semantic consistency*, both ways without labels: Hoffman et al., "CyCADA", ICML
2018 (arXiv:1711.03213).
"""

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segment.losses import cross_entropy
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, NonNegativeFloat, NonNegativeInt, check_settings
from translate.value_range import to_unit

if TYPE_CHECKING:  # the methods, in whose package it is, import this file
    from translate.methods.batches import TranslatedBatch, UnpairedBatch


@dataclass(frozen=True)
class GuidanceSettings:
    """A frozen segmenter, the expert, keeps translated images readable; its forms work alone or together."""

    task_weight: NonNegativeFloat = 0.0
    """Weight of the expert's loss on the labelled target frames r, translated to source: CE(expert(G(r)), y) (Mütze et
    al., VISAPP 2023)."""
    label_weight: NonNegativeFloat = 0.0
    """Weight of the expert's loss on translated source frames, whose labels come free."""
    consistency_weight: NonNegativeFloat = 0.0
    """Weight of what the expert sees after translation against before, both ways: CE(expert(G(x)),
    argmax expert(x)) (CyCADA, ICML 2018)."""
    alpha: Fraction | None = None
    """Share of the guidance in the generators' objective, the rest weighs 1 - alpha; absent: terms are added."""
    start_step: NonNegativeInt = 0
    """Train so many steps without guidance first."""

    def __post_init__(self) -> None:
        check_settings(self)
        if max(self.task_weight, self.label_weight, self.consistency_weight) == 0:
            raise ValueError("set task_weight, label_weight or consistency_weight above 0, or leave guidance out")


class Guidance:
    """A frozen expert and what it thinks of translated images.

    Not a module: a method that holds one neither saves, trains nor averages the expert.
    """

    Settings = GuidanceSettings

    def __init__(self, expert: Segmenter, settings: GuidanceSettings) -> None:
        """Put the expert, a trained segmenter, into evaluation mode and freeze it where it is.

        Nothing of it ever changes, batch statistics included.
        """
        self.expert = expert.eval().requires_grad_(False)
        self.settings = settings

    def labelled_images(self, batch: "UnpairedBatch", domain: str) -> Tensor | None:
        """Further images of `domain` whose translation the task loss wants: the labelled ones (B, 3, H, W) in [0, 1] of
        the target; None where it wants none.

        Raises:
            ValueError: It does, and there are none.
        """
        if self.settings.task_weight == 0 or domain == "source":
            return None
        return _needed(batch.labelled_target, "task", "target")

    def losses(
        self, batch: "UnpairedBatch | TranslatedBatch", domain: str, fake: Tensor, labelled_fake: Tensor | None
    ) -> dict[str, Tensor]:
        """What the generator that translates from `domain` pays for images that the expert cannot read.

        Args:
            batch: What was translated, with the labels that the forms in use need.
            domain: "source" or "target".
            fake: (B, 3, H, W) in [-1, 1], translated from the batch's images of the domain; gradients flow.
            labelled_fake: (B, 3, H, W) in [-1, 1], translated from `labelled_images(batch, domain)`.

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
        self, batch: "UnpairedBatch | TranslatedBatch", domain: str, fake: Tensor, labelled_fake: Tensor | None
    ) -> list[tuple[str, Tensor, Tensor, float]]:
        """Per term: its name, the translation that it judges, what the expert ought to see there, and the weight."""
        wanted = []
        if self.settings.task_weight > 0 and labelled_fake is not None:
            truth = _needed(batch.target_label_map, "task", "target")
            wanted.append(("task", labelled_fake, truth, self.settings.task_weight))
        if self.settings.label_weight > 0 and domain == "source":
            truth = _needed(batch.source_label_map, "label", "source")
            wanted.append(("label", fake, truth, self.settings.label_weight))
        if self.settings.consistency_weight > 0:
            before = self._predict(batch.source if domain == "source" else batch.target)
            wanted.append((f"consistency_{domain}", fake, before, self.settings.consistency_weight))
        return wanted

    @torch.no_grad()
    def _predict(self, image: Tensor) -> Tensor:
        """The expert's label map (B, H, W) of untranslated images in [0, 1]."""
        return self.expert(image).max(dim=1).indices

    def mixed_with(self, rest: dict[str, Tensor], guidance: dict[str, Tensor]) -> dict[str, Tensor]:
        """The generators' whole objective, term by term: convex if there is an alpha, else a sum."""
        if self.settings.alpha is None:
            return rest | guidance
        guiding = {name: self.settings.alpha * loss for name, loss in guidance.items()}
        return {name: (1 - self.settings.alpha) * loss for name, loss in rest.items()} | guiding

    def follow(self, device: torch.device) -> None:
        """Bring the expert to the images' device, as the method's own networks are brought by the engine."""
        if any(tensor.device != device for tensor in chain(self.expert.parameters(), self.expert.buffers())):
            self.expert.to(device)


def _needed(tensor: Tensor | None, loss: str, domain: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"The {loss} loss needs labelled {domain} images; the batch has none.")
    return tensor
