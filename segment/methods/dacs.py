"""DACS: learn from frames of both domains at once, pasted together, by the labels of a slowly moving teacher.

Tranheden, Olsson, Pinto, Svensson, "DACS: Domain Adaptation via Cross-domain Mixed Sampling", WACV 2021
(arXiv:2007.08702). Half of a source frame's classes are pasted over a target frame; the teacher labels what is seen of
the target. True labels beside every pseudo-label keep classes from dying out.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from segment.adaptation.pseudo_labels import log_of_pseudo_labels
from segment.batches import AdaptationBatch
from segment.methods.method import Update
from segment.methods.self_training import SelfTraining, SelfTrainingSettings


@dataclass(frozen=True)
class DACSSettings(SelfTrainingSettings):
    """The settings of the paper's code, where self-training begins at once: `start_step` 0 has it so."""


class DACS(SelfTraining):
    """A segmenter that learns its teacher's labels of the target beside true ones."""

    title: ClassVar[str] = "DACS"
    Settings = DACSSettings
    settings: DACSSettings

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels; label the target, mix, learn the mixture; let the teacher follow. Algorithm 1."""
        labelled = self.augmented(batch.source)
        losses, logits = self.source_losses(labelled)
        learnt = update.backward(losses)
        if self.teacher_is_ready(logits, labelled.label_map):
            target = self.augmented_target(batch)
            pseudo_label, weight = self.pseudo_labels(target)
            learnt |= update.backward(self.mixed_losses(self.mixture(labelled, target, pseudo_label, weight)))
            learnt |= log_of_pseudo_labels(pseudo_label, weight, logits.shape[1])
        update.step("network")
        self.follow()
        return learnt
