"""SAFN: features of both domains grow longer, and nothing else is asked of target frames.

Xu, Li, Yang, Lin, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain
Adaptation", ICCV 2019 (arXiv:1811.07456), stepwise, at each place of the map. The loss, which any other method may have
beside its own, is in `segment/adaptation/feature_norm.py`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from segment.adaptation.feature_norm import Domain, FeatureNorm, FeatureNormSettings
from segment.batches import AdaptationBatch
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter


@dataclass(frozen=True)
class SAFNSettings(FeatureNormSettings):
    """The settings of the loss on feature norms, which is all that there is."""


class SAFN(SegmenterTraining):
    """A segmenter that learns the source's labels, and longer features on either side."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "SAFN"
    takes_feature_norm: ClassVar[bool] = False  # it is that loss
    Settings = SAFNSettings
    settings: SAFNSettings
    feature_norm: FeatureNorm

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: SAFNSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, feature_norm=settings, **collaborators)

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels and to have longer features, there and on the target. Xu et al., sec. 3."""
        labelled = self.augmented(batch.source)
        source, features = self.network.with_features(labelled.image)
        learnt = update.backward(
            self.supervised_losses(source, labelled.label_map) | self.norm_losses(features, "source")
        )
        _, features = self.network.with_features(self.augmented_target(batch))
        learnt |= update.backward(self.norm_losses(features, "target"))
        update.step("network")
        self.follow()
        return learnt

    def norm_losses(self, features: Tensor, domain: Domain) -> dict[str, Tensor]:
        """What the network pays for short features, in one domain: a constant in value, as the loss is."""
        return {f"norm_{domain}": self.feature_norm.loss(features, domain)}
