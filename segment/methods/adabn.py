"""AdaBN: the source's labels teach the weights, target frames give the statistics of batch normalisation.

Li, Wang, Shi, Liu, Hou, "Revisiting Batch Normalization For Practical Domain Adaptation", ICLR workshop 2017
(arXiv:1603.04779). Every method that shows target frames to a network in training mode moves its statistics towards
them, whatever else it asks of them. This one asks nothing else, and so says what that alone is worth.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from segment.batches import AdaptationBatch
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.normalisation import keeping_statistics, normalises_by_batch
from segment.settings import check_settings


@dataclass(frozen=True)
class AdaBNSettings:
    """Whose statistics the network is evaluated with."""

    statistics: Literal["target", "both"] = "target"
    """Of the target alone, as in the paper; or of source and target batches in turn, as other methods that adapt leave
    them."""

    def __post_init__(self) -> None:
        check_settings(self)


class AdaBN(SegmenterTraining):
    """A segmenter that learns the source's labels, and measures target frames without learning from them."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "AdaBN"
    takes_feature_norm: ClassVar[bool] = False  # it would learn from target frames
    Settings = AdaBNSettings
    settings: AdaBNSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: AdaBNSettings, **collaborators: Any
    ) -> None:
        """As for every method.

        Raises:
            ValueError: The network has no batch normalisation whose statistics move, or longer features are asked for.
        """
        super().__init__(network, training, settings, **collaborators)
        if self.feature_norm is not None:
            raise ValueError(
                "adabn learns nothing from target frames, and feature_norm would; leave it out, or take safn"
            )
        if training.batch_norm == "frozen":
            raise ValueError('adabn moves the statistics of batch normalisation, and batch_norm is "frozen"')
        if not normalises_by_batch(network):
            raise ValueError("adabn moves the statistics of batch normalisation, and the network has none")

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels by the source batch's statistics, then measure the target's. Li et al., alg. 1; its
        one pass over all target frames after the training is made little by little, beside it.
        """
        labelled = self.augmented(batch.source)
        with keeping_statistics(self.network) if self.settings.statistics == "target" else nullcontext():
            source = self.output(labelled.image, "source")
        learnt = update.backward(self.supervised_losses(source, labelled.label_map))
        with torch.no_grad():
            self.output(self.augmented_target(batch), "target")
        update.step("network")
        self.follow()
        return learnt
