"""DUDA: a large network adapts by self-training, and takes a small one with it that it teaches at every step.

Kang, Mithun, Rajvanshi, Chiu, Samarasekera, "DUDA: Distilled Unsupervised Domain Adaptation for Lightweight Semantic
Segmentation", 2025 (arXiv:2504.09814). A light network is a poor teacher of itself. So there are three: the large
student, its moving average, which labels the target for both students, and the small student, which is kept.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from segment.adaptation.mixing import Mixture
from segment.adaptation.pseudo_labels import log_of_pseudo_labels
from segment.averaging import MovingAverage
from segment.batches import AdaptationBatch
from segment.losses import imitation, weighted_cross_entropy
from segment.methods.method import Update
from segment.methods.segmenter_training import SegmenterTrainingSettings, build_optimizer, parameter_groups
from segment.methods.self_training import SelfTraining, SelfTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.settings import Decay, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True)
class DUDASettings(SelfTrainingSettings):
    """What self-training needs, and how the small network learns from the large one."""

    teacher_decay: Decay = 0.999
    imitation_weight: NonNegativeFloat = 1.0
    """Weight of the small network's divergence from the large student's probabilities on mixed frames."""
    temperature: PositiveFloat = 1.0
    large_learning_rate: PositiveFloat = 1.0
    """Factor on the learning rate of the large network, which starts from trained weights."""


class DUDA(SelfTraining):
    """The small network, which is evaluated; the large one; and the large one's moving average.

    The paper's first stage, the joint one. Its second, of the small network alone with a fixed teacher, is what
    `segment.methods.distillation` does; the weights by the classes' inconsistency there are left out.
    """

    title: ClassVar[str] = "DUDA"
    takes_teacher: ClassVar[bool] = True
    trains_teacher: ClassVar[bool] = True
    Settings = DUDASettings
    settings: DUDASettings

    def __init__(
        self,
        network: Segmenter,
        training: SegmenterTrainingSettings,
        settings: DUDASettings,
        *,
        teacher: nn.Module,
        **collaborators: Any,
    ) -> None:
        """Put a small network beside a large one.

        Args:
            network: The small one.
            training: How both are trained.
            settings: How they adapt.
            teacher: The large one, as it starts; of the same classes. It learns.
            collaborators: As for every method.

        Raises:
            ValueError: It is a mean of several networks, which cannot learn as one.
        """
        super().__init__(network, training, settings, **collaborators)
        if not isinstance(teacher, Segmenter):
            raise ValueError("DUDA goes on training its teacher, so it takes one; name a single checkpoint in teachers")
        self.large = self.with_shared_statistics(teacher)
        self._freeze(self.large)
        self.teacher = MovingAverage(self.large, settings.teacher_decay)
        rate = settings.large_learning_rate * training.learning_rate
        rates = rate, training.head_learning_rate
        groups = parameter_groups(self.large, training.weight_decay, *rates, self.large.head_parameters())
        self._optimizers["large"] = build_optimizer(training.optimizer, groups, rate, training.momentum)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what is frozen."""
        super().train(mode)
        self._freeze(self.large)
        return self

    def teaching_network(self) -> Segmenter:
        """The large one."""
        return self.large

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Both students learn the source and the mixture, the small one also from the large one. Stage one."""
        labelled = self.augmented(batch.source)
        losses, _ = self.source_losses(labelled)
        learnt = update.backward(losses)
        large = self.large(labelled.image)
        losses = self.losses_of_heads(large, labelled.label_map, self.large.auxiliary_weight)
        learnt |= update.backward({f"large_{name}": loss for name, loss in losses.items()})
        if self.teacher_is_ready(large.main.detach(), labelled.label_map):
            target = self.augmented_target(batch)
            pseudo_label, weight = self.pseudo_labels(target)
            mixture = self.mixture(labelled, target, pseudo_label, weight)
            said = self.large(mixture.image).main
            learnt |= update.backward({"large_mixed": self._mixed_loss(said, mixture)})
            learnt |= update.backward(self.students_losses(mixture, said.detach()))
            learnt |= log_of_pseudo_labels(pseudo_label, weight, said.shape[1])
        update.step("network", "large")
        self.follow()
        return learnt

    def students_losses(self, mixture: Mixture, said: Tensor) -> dict[str, Tensor]:
        """What the small network pays on mixed frames: for other labels, and for other logits than the large one's."""
        logits = self.output(mixture.image, "target").main
        losses = {"mixed": self._mixed_loss(logits, mixture)}
        if self.settings.imitation_weight > 0:
            losses["imitation"] = self.settings.imitation_weight * imitation(logits, said, self.settings.temperature)
        return losses

    def _mixed_loss(self, logits: Tensor, mixture: Mixture) -> Tensor:
        return self.settings.mixed_weight * weighted_cross_entropy(logits, mixture.label_map, mixture.weights)
