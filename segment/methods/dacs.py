"""DACS: learn from frames of both domains at once, pasted together, by the labels of a slowly moving teacher.

Tranheden, Olsson, Pinto, Svensson, "DACS: Domain Adaptation via Cross-domain Mixed Sampling", WACV 2021
(arXiv:2007.08702). Half of a source frame's classes are pasted over a target frame; the teacher labels what is seen of
the target. True labels beside every pseudo-label keep classes from dying out.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2 import ColorJitter, GaussianBlur

from segment.averaging import MovingAverage
from segment.batches import AdaptationBatch
from segment.losses import weighted_cross_entropy
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.mixing import half_of_the_classes, pasted
from segment.networks.segmenter import Segmenter
from segment.settings import Decay, Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, check_settings


@dataclass(frozen=True)
class DACSSettings:
    """Defaults are those of the paper's code."""

    mixed_weight: PositiveFloat = 1.0
    """Weight of the loss on mixed frames; lambda in eq. 1."""
    teacher_decay: Decay = 0.99
    """Decay of the moving average that labels the target; DAFormer has 0.999."""
    threshold: Fraction = 0.968
    """Pseudo-labels weigh by the share of a frame's target pixels whose best class is at least so likely. A small
    network is seldom so sure: where the log's `pseudo_weight` stays near 0, lower it."""
    colour_jitter: Fraction = 0.2
    """Strength of the changes of colour on mixed frames, which the teacher does not see."""
    blur: Fraction = 0.5
    """Probability of blurring a mixed frame."""
    start_step: NonNegativeInt = 0
    """Steps that learn from source labels alone, until the teacher is worth listening to."""
    largest_blur: NonNegativeFloat = 1.15
    """Standard deviation in pixels, the smallest being 0.15."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.largest_blur < SMALLEST_BLUR:
            raise ValueError(f"largest_blur is {self.largest_blur}; it must be at least {SMALLEST_BLUR}")


SMALLEST_BLUR = 0.15


class DACS(SegmenterTraining):
    """A segmenter and its teacher, the moving average of its weights."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "DACS"
    Settings = DACSSettings
    settings: DACSSettings
    steps_taken: Tensor

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: DACSSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        # Its batch statistics are averaged like its weights. In the authors' code they are never copied at all.
        self.teacher = MovingAverage(self.network, settings.teacher_decay)
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        strength = settings.colour_jitter
        self.jitter = ColorJitter(strength, strength, strength, strength / 2)
        self.blur = GaussianBlur(5, (SMALLEST_BLUR, settings.largest_blur))

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels; label the target, mix, learn the mixture; let the teacher follow. Algorithm 1."""
        labelled = self.augmented(batch.source)
        learnt = update.backward(self.supervised_losses(self.network(labelled.image), labelled.label_map))
        if self._teacher_is_ready():
            target = self.augmented_target(batch)
            pseudo_label, weight = self.pseudo_labels(target)
            mask = half_of_the_classes(labelled.label_map)
            mixed = self.disguised(pasted(mask, labelled.image, target))
            label_map = pasted(mask, labelled.label_map, pseudo_label)
            weights = pasted(mask, torch.ones_like(weight), weight)
            learnt |= update.backward(self.mixed_losses(mixed, label_map, weights))
            learnt["pseudo_weight"] = weight.mean()
        update.step("network")
        self.follow()
        self.teacher.update(self.network)
        self.steps_taken += 1
        return learnt

    def _teacher_is_ready(self) -> bool:
        start = self.settings.start_step
        return start == 0 or int(self.steps_taken) >= start  # the count lies on the device: ask only where it matters

    @torch.no_grad()
    def pseudo_labels(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher sees in target frames, and how much it is to be believed.

        Returns:
            int64 (B, H, W); and (B, H, W), in each frame the share of pixels that the teacher is sure of. In the
            authors' code it is one share for the whole batch.
        """
        likelihood, pseudo_label = self.teacher.network(target).float().softmax(dim=1).max(dim=1)
        sure = (likelihood >= self.settings.threshold).float().mean(dim=(1, 2), keepdim=True)
        return pseudo_label, sure.expand_as(likelihood)

    def mixed_losses(self, mixed: Tensor, label_map: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """What the network pays for contradicting the mixed labels, by pixel as far as they are believed. Eq. 1."""
        loss = weighted_cross_entropy(self.network(mixed).main, label_map, weights)
        return {"mixed": self.settings.mixed_weight * loss}

    def disguised(self, image: Tensor) -> Tensor:
        """Images with other colours and perhaps blurred, each by its own draw: the student's task is the harder one."""
        changed = torch.stack([self.jitter(one) for one in image])
        blurred = torch.stack([self.blur(one) for one in changed])
        wanted = torch.rand(len(image), 1, 1, 1, device=image.device) < self.settings.blur
        return torch.where(wanted, blurred, changed)
