"""Distillation: a network that is fast learns on target frames what a heavy, adapted one says of them.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv:1503.02531), for dense labels, with
the teacher's pseudo-labels mixed into source frames as DACS mixes them (Tranheden et al., WACV 2021). The teacher, one
network or the mean of several, may be of any kind; it is not changed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from segment.adaptation.guards import PseudoLabelCollapse, UnsureTeacher
from segment.adaptation.mixing import Mixture, half_of_the_classes, mixture
from segment.adaptation.pseudo_labels import log_of_pseudo_labels
from segment.batches import AdaptationBatch
from segment.losses import imitation, weighted_cross_entropy
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, NonNegativeFloat, PositiveFloat, check_settings


@dataclass(frozen=True)
class DistillationSettings:
    """What of the teacher is learnt."""

    imitation_weight: NonNegativeFloat = 1.0
    """Weight of the divergence from the teacher's probabilities on target frames."""
    temperature: PositiveFloat = 1.0
    """Softens both sides' probabilities; 1 to 2 is usual for dense labels."""
    mixed_weight: NonNegativeFloat = 1.0
    """Weight of the loss on target frames with half of a source frame's classes pasted in, by the teacher's labels."""
    threshold: Fraction = 0.9
    """Probability from which on the teacher's label of a pixel counts there; the others cost nothing."""

    def __post_init__(self) -> None:
        check_settings(self)
        if max(self.imitation_weight, self.mixed_weight) == 0:
            raise ValueError("set imitation_weight or mixed_weight above 0, or leave adaptation out")


class Distillation(SegmenterTraining):
    """A segmenter, and a teacher beside it that is no part of its state."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "Distillation"
    takes_teacher: ClassVar[bool] = True
    Settings = DistillationSettings
    settings: DistillationSettings

    def __init__(
        self,
        network: Segmenter,
        training: SegmenterTrainingSettings,
        settings: DistillationSettings,
        *,
        teacher: nn.Module,
        **collaborators: Any,
    ) -> None:
        """Put a network beside its teacher.

        Args:
            network: To be trained.
            training: How, as for every method.
            settings: What of the teacher is learnt.
            teacher: In evaluation mode, on the device of the training, for images in [0, 1] and of the same classes.
            collaborators: As for every method.
        """
        super().__init__(network, training, settings, **collaborators)
        # In a tuple: its weights are known by the checkpoint that they come from, and belong into none of ours.
        self._teacher = (teacher.requires_grad_(False),)
        self.guards += [PseudoLabelCollapse(), UnsureTeacher()]

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels, imitate the teacher on the target, learn its labels in mixed frames."""
        labelled = self.augmented(batch.source)
        learnt = update.backward(self.supervised_losses(self.output(labelled.image, "source"), labelled.label_map))
        target = self.augmented_target(batch)
        with torch.no_grad():
            said = self._teacher[0](target)
        if self.settings.imitation_weight > 0:
            learnt |= update.backward(self.imitation_losses(target, said))
        likelihood, pseudo_label = said.float().softmax(dim=1).max(dim=1)
        weight = (likelihood >= self.settings.threshold).float()
        if self.settings.mixed_weight > 0:
            mask = half_of_the_classes(labelled.label_map, self.peers)
            mixed = mixture(mask, labelled, target, pseudo_label, weight)
            learnt |= update.backward(self.mixed_losses(mixed))
        update.step("network")
        self.follow()
        return learnt | log_of_pseudo_labels(pseudo_label, weight, said.shape[1])

    def imitation_losses(self, target: Tensor, said: Tensor) -> dict[str, Tensor]:
        """What the network pays for saying something else of target frames than the teacher said, logits `said`."""
        loss = imitation(self.output(target, "target").main, said, self.settings.temperature)
        return {"imitation": self.settings.imitation_weight * loss}

    def mixed_losses(self, mixed: Mixture) -> dict[str, Tensor]:
        """What the network pays for contradicting mixed labels, pixels weighing as given."""
        loss = weighted_cross_entropy(self.output(mixed.image, "target").main, mixed.label_map, mixed.weights)
        return {"mixed": self.settings.mixed_weight * loss}
