"""CBST: learn from the target what a trained network was surest of, class by class; in rounds.

Zou, Yu, Kumar, Wang, "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training", ECCV
2018 (arXiv:1810.07911). The pseudo-labels of a round are made before it, of all target frames, by its teachers; the
network that it trains is the teacher of the next. Their denoising by prototypes is ProDA's idea (Zhang et al., CVPR
2021).

Differs: of a pixel's classes the three likeliest are weighed, where the paper weighs all; a fourth has less than a
quarter of the probability.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from segment.adaptation.guards import PseudoLabelCollapse
from segment.adaptation.pseudo_labels import log_of_pseudo_labels
from segment.batches import AdaptationBatch, LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.losses import cross_entropy
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, NonNegativeFloat, PositiveFloat, check_settings


@dataclass(frozen=True)
class CBSTSettings:
    """How pseudo-labels are chosen, before training, and what they weigh in it."""

    pseudo_weight: PositiveFloat = 1.0
    """Weight of the loss on pseudo-labels."""
    kept_share: Fraction = 0.2
    """Share of each class's pixels, its surest, that become pseudo-labels; p in algorithm 2. The paper adds 0.05 in
    each further round, up to 0.5."""
    largest_threshold: Fraction = 0.9
    """Whoever is likelier than this counts in any case."""
    assignment: Literal["balanced", "likeliest"] = "balanced"
    """Which class a pixel is given to. "balanced": the one whose probability is the most times its threshold, by which
    rare classes gain pixels from frequent ones (eq. 4). "likeliest": rare classes only keep more of their own, as in
    BDL's and FDA's code."""
    flip: bool = True
    """Whether the teachers look at the mirror image, too."""
    prototype_temperature: NonNegativeFloat = 0.0
    """Above 0, probabilities are weighed by the nearness of features to the classes' means over all frames, distances
    divided by this; ProDA has 1."""

    def __post_init__(self) -> None:
        check_settings(self)


class CBST(SegmenterTraining):
    """A segmenter that learns true labels of the source and chosen pseudo-labels of the target."""

    learns_from: ClassVar[LearnsFrom] = "pseudo_labels"
    title: ClassVar[str] = "CBST"
    takes_teacher: ClassVar[bool] = True
    Settings = CBSTSettings
    settings: CBSTSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: CBSTSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.guards.append(PseudoLabelCollapse())

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the labels of the source, then the pseudo-labels of the target. Zou et al., eq. 3, its second half."""
        labelled = self.augmented(batch.source)
        source = self.output(labelled.image, "source")
        learnt = update.backward(self.supervised_losses(source, labelled.label_map))
        if batch.pseudo_label is None:
            raise ValueError("The batch holds no pseudo-labels of the target, which are all that CBST learns from it.")
        target = self.augmented(LabelledBatch(batch.target, batch.pseudo_label))
        learnt |= update.backward(self.pseudo_losses(target))
        update.step("network")
        self.follow()
        counts = target.label_map != IGNORE_INDEX
        return learnt | log_of_pseudo_labels(target.label_map, counts.float(), source.main.shape[1])

    def pseudo_losses(self, target: LabelledBatch) -> dict[str, Tensor]:
        """What the main head pays for contradicting the pseudo-labels; pixels without one cost nothing.

        Cross-entropy, whatever the loss on the source: one that looks for hard pixels would learn the labels most that
        the network doubts, of which many are wrong.
        """
        loss = cross_entropy(self.output(target.image, "target").main, target.label_map)
        return {"pseudo": self.settings.pseudo_weight * loss}
