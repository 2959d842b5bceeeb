"""What every method of stage two has in common: a segmenter, its optimizer and schedule, its supervised losses.

A method that adapts is a subclass with its own step; which losses the labelled frames are learnt by, which weights
decay and which are evaluated is the same for all, so that a comparison of methods compares the methods.
Recipe: momentum SGD, poly schedule, auxiliary loss and hard pixels as in BiSeNet and DDRNet.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from segment.adaptation.feature_norm import Domain, FeatureNorm, FeatureNormSettings, with_loss
from segment.adaptation.guards import Guard
from segment.appearance.colours import paint_classes
from segment.averaging import MovingAverage
from segment.batches import AdaptationBatch, BatchAugmentation, LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.inference import predict
from segment.losses import LOSSES
from segment.methods.method import Method
from segment.networks.segmenter import Segmenter, SegmenterOutput
from segment.normalisation import freeze_batch_norm, freeze_batch_norm_scales, synced_batch_norm
from segment.peers import ALONE, Peers
from segment.schedules import schedule_of
from segment.settings import (
    Decay,
    NonNegativeFloat,
    NonNegativeInt,
    OneOf,
    PositiveFloat,
    PositiveInt,
    check_settings,
)

LearnsFrom = Literal["labelled", "adaptation", "semi_supervised", "pseudo_labels"]


@dataclass(frozen=True)
class SegmenterTrainingSettings:
    """How a segmenter is trained, whatever the method. Defaults are those of the real-time networks' recipes."""

    steps: PositiveInt = 80_000
    batch_norm: Literal["batch", "frozen", "scales_frozen", "synced"] = "batch"
    """"frozen" keeps statistics, scales and shifts as they are, which only makes sense with weights to start from;
    "scales_frozen" keeps scales and shifts and lets the statistics follow, as AdaptSegNet's code does; "synced" takes
    the statistics over the batches of all processes, and is "batch" in a single one. With "batch" each of several
    processes normalises by its own part, and the running statistics of process 0 are kept."""
    loss: Annotated[str, OneOf("segment.losses.LOSSES")] = "ohem"
    """What every head minimises. "ohem" is cross-entropy on the hard pixels (BiSeNet's code); "focal" weighs pixels by
    how unsure the network is (Lin et al., ICCV 2017); "dice" counts classes alike (Milletari et al., 3DV 2016);
    "boundary" gives the pixels beside another class half of the cross-entropy. "boundary+dice" is super-gradients'
    recipe for DDRNet, which reports 1.4 mIoU more than with "ohem"."""
    auxiliary_weight: NonNegativeFloat | None = None
    """Weight of the loss of each head that only training uses; absent: the network's own."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    """At its highest, right after the warm-up."""
    head_learning_rate: PositiveFloat = 1.0
    """Factor on the rate of what is not the encoder: 10 in DeepLab (arXiv:1606.00915) and in DAFormer."""
    momentum: Decay = 0.9
    """SGD's momentum; AdamW keeps its own defaults."""
    weight_decay: NonNegativeFloat = 5e-4
    """On convolution weights; biases and normalisation have none, as in BiSeNet's code."""
    schedule: Literal["poly", "cosine"] = "poly"
    """How the learning rate falls after the warm-up; "cosine" as in SGDR (arXiv:1608.03983), without restarts."""
    poly_power: PositiveFloat = 0.9
    """Exponent of the "poly" schedule: the rate is (1 - progress) ** poly_power (DeepLab, arXiv:1606.00915)."""
    warmup_steps: NonNegativeInt = 1000
    """Steps in which the rate rises to its full height."""
    ema_decay: Decay | None = None
    """Decay of the moving average of the weights that is then evaluated; absent: no average."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and steps {self.steps}; set warmup_steps below steps"
            )


class SegmenterTraining(Method):
    """One network with a loss on each of its heads, one optimizer, and optionally a moving average of the weights."""

    learns_from: ClassVar[LearnsFrom] = "labelled"
    """What a batch is: `LabelledBatch`; `AdaptationBatch`, with frames of the target beside it; or the same with
    labelled ones among them."""

    title: ClassVar[str] = "supervised training"
    """The paper's own name of the method, for reports."""

    takes_teacher: ClassVar[bool] = False
    """Whether it learns from other trained networks: at each step, from the `teacher` that its constructor is given, or
    from the labels that they gave the target before, where it learns from "pseudo_labels"."""

    trains_teacher: ClassVar[bool] = False
    """Whether the teacher goes on learning, from the same frames; any other is shown them at its own height."""

    takes_feature_norm: ClassVar[bool] = True
    """Whether the loss on feature norms may stand beside its own losses."""

    smallest_crop: ClassVar[int] = 1
    """Pixels of a crop's shorter side that it needs; what judges maps by halving them needs some to halve."""

    Settings: ClassVar[type | None] = None
    """Dataclass of the knobs that the method's paper adds to `SegmenterTrainingSettings`; None where it adds none."""

    class_weights: Tensor | None

    def __init__(
        self,
        network: Segmenter,
        training: SegmenterTrainingSettings,
        settings: Any = None,
        *,
        class_weights: Tensor | None = None,
        peers: Peers = ALONE,
        augmentation: BatchAugmentation | None = None,
        encoder_from_imagenet: bool = False,
        feature_norm: FeatureNormSettings | None = None,
    ) -> None:
        """Build the optimizer around `network`, which stays where it is.

        Args:
            network: To be trained, with or without heads that only training uses.
            training: How.
            settings: An instance of `Settings`, where the method has any.
            class_weights: (K,), for the loss; None weighs all classes alike.
            peers: The processes that "synced" batch normalisation pools its statistics with, and a step whatever else
                it gathers from all.
            augmentation: Applied to each labelled batch before it is learnt from, on the batch's device.
            encoder_from_imagenet: Whether the network's encoder is as ImageNet's photographs taught it.
            feature_norm: Makes the features of all that is learnt from longer, beside the own losses; None: no.

        Raises:
            ValueError: An unknown loss, or settings of another method.
        """
        super().__init__()
        if training.loss not in LOSSES:
            raise ValueError(f"There is no loss {training.loss!r}; choose one of {', '.join(LOSSES)}.")
        if self.Settings is not None and not isinstance(settings, self.Settings):
            raise ValueError(f"{type(self).__name__} takes {self.Settings.__name__}, got {settings!r}.")
        self.training_settings, self.settings = training, settings
        self.schedule = schedule_of(training.schedule, training.steps, training.warmup_steps, training.poly_power)
        self._freeze(network)
        self.peers = peers
        self.network = self.with_shared_statistics(network)
        self.average = None if training.ema_decay is None else MovingAverage(self.network, training.ema_decay)
        self.encoder_from_imagenet = encoder_from_imagenet
        self.loss, self.augmentation = LOSSES[training.loss], augmentation
        self.feature_norm = None if feature_norm is None else FeatureNorm(feature_norm, training.steps)
        # Not persistent: the weights follow from the settings and frames of a run, and prediction needs none.
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.guards: list[Guard] = []
        own_weight = training.auxiliary_weight
        self.auxiliary_weight = network.auxiliary_weight if own_weight is None else own_weight
        rates = training.learning_rate, training.head_learning_rate
        groups = parameter_groups(network, training.weight_decay, *rates, network.head_parameters())
        self._optimizers = {
            "network": build_optimizer(training.optimizer, groups, training.learning_rate, training.momentum)
        }

    def memory_format(self, device: torch.device) -> torch.memory_format:
        return torch.channels_last

    def optimizers(self) -> dict[str, Optimizer]:
        """Optimizers by name: the segmenter's is "network"; a method may add those of its own networks."""
        return self._optimizers

    def warnings(self, logged: Mapping[str, float]) -> list[str]:
        """What the guards say of the logged values."""
        return [line for guard in self.guards if (line := guard.check(logged)) is not None]

    def recall(self, logged: Iterable[Mapping[str, float]]) -> None:
        """Let the guards forget what they saw, and look at these values instead."""
        for guard in self.guards:
            guard.forget()
        for values in logged:
            self.warnings(values)

    def learning_rate_scale(self, step: int) -> float:
        """Linear warm-up, then the schedule."""
        return self.schedule(step)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what is frozen."""
        super().train(mode)
        self._freeze(self.network)
        return self

    def _freeze(self, network: nn.Module) -> None:
        if self.training_settings.batch_norm == "frozen":
            freeze_batch_norm(network)
        elif self.training_settings.batch_norm == "scales_frozen":
            freeze_batch_norm_scales(network)

    def with_shared_statistics(self, network: Segmenter) -> Segmenter:
        """The network with batch statistics of all processes, changed in place, where the settings ask for them."""
        if self.training_settings.batch_norm == "synced" and self.peers.world_size > 1:
            synced_batch_norm(network, self.peers.sum)
        return network

    def need_auxiliary_head(self, setting: str) -> None:
        """Raise ValueError if the network has no auxiliary head, which `setting` asks something of."""
        if self.network.auxiliary_heads() == 0:
            raise ValueError(
                f"{setting} is above 0, and the network has no auxiliary head; set it to 0 or choose a network that "
                "has one"
            )

    def supervised_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Weighted losses: "main", "auxiliary" (the sum over such heads, if there are any), and the network's own."""
        losses = self.losses_of_heads(output, label_map, self.auxiliary_weight)
        return losses | self.network.own_losses(output, label_map)

    def losses_of_heads(self, output: SegmenterOutput, label_map: Tensor, auxiliary_weight: float) -> dict[str, Tensor]:
        """Losses of the main and auxiliary heads of any network, without losses that the network itself adds."""
        losses = {"main": self.loss(output.main, label_map, self.class_weights)}
        if output.auxiliary:
            parts = [self.loss(logits, label_map, self.class_weights) for logits in output.auxiliary]
            losses["auxiliary"] = auxiliary_weight * torch.stack(parts).sum()
        return losses

    def augmented(self, batch: LabelledBatch) -> LabelledBatch:
        """The labelled frames as they are learnt from."""
        if self.augmentation is None:
            return batch
        with self.peers.drawing_apart():
            return self.augmentation(batch)

    def augmented_target(self, batch: AdaptationBatch) -> Tensor:
        """The target frames (B, 3, H, W) as they are learnt from: varied as the labelled ones are."""
        if self.augmentation is None:
            return batch.target
        nothing = torch.full_like(batch.target[:, 0], IGNORE_INDEX, dtype=torch.int64)
        return self.augmented(LabelledBatch(batch.target, nothing)).image

    def output(self, image: Tensor, domain: Domain) -> SegmenterOutput:
        """What the network sees in frames that it learns from; how a method that adapts makes each such pass.

        Args:
            image: (B, 3, H, W) in [0, 1].
            domain: Whose frames they are; mixtures count as target.
        """
        if self.feature_norm is None:
            return self.network(image)
        output, features = self.network.with_features(image)
        return with_loss(output, self.feature_norm.loss(features, domain))

    def output_and_map(
        self, forward_pass: Callable[[Tensor], tuple[SegmenterOutput, Tensor]], image: Tensor, domain: Domain
    ) -> tuple[SegmenterOutput, Tensor]:
        """The output of a pass that hands out a map too, and the map.

        `forward_pass` is `self.network.with_features` or of its kind.
        """
        if self.feature_norm is None:
            return forward_pass(image)
        (output, its_map), features = self.network.with_features(image, forward_pass)
        return with_loss(output, self.feature_norm.loss(features, domain)), its_map

    def observed(self) -> dict[str, Tensor]:
        """Mean norms of the features in both domains, where they are made longer."""
        return {} if self.feature_norm is None else self.feature_norm.observed()

    def follow(self) -> None:
        """Let what follows the network (its moving average) do so; once a step, after the network has learnt."""
        if self.average is not None:
            self.average.update(self.network)
        if self.feature_norm is not None:
            self.feature_norm.follow()

    def evaluated_network(self) -> Segmenter:
        """The network to evaluate and to hand on: the moving average if there is one, else the trained network."""
        return self.network if self.average is None else self.average.network

    @torch.no_grad()
    def preview(self, batch: LabelledBatch | AdaptationBatch) -> dict[str, Tensor]:
        """The augmented image, what the evaluated network sees in it, and the truth; and the same of the target."""
        labelled = self.augmented(batch.source if isinstance(batch, AdaptationBatch) else batch)
        pictures = {
            "image": labelled.image,
            "prediction": paint_classes(self._seen_in(labelled.image)),
            "label": paint_classes(labelled.label_map),
        }
        if isinstance(batch, AdaptationBatch):
            pictures["target"] = batch.target
            pictures["target prediction"] = paint_classes(self._seen_in(batch.target))
        return pictures

    def _seen_in(self, image: Tensor) -> Tensor:
        """The evaluated network's label map (B, H, W)."""
        network, was_training = self.evaluated_network(), self.training
        prediction = predict(network.eval(), image, tuple(image.shape[-2:]))
        self.train(was_training)
        return prediction


def parameter_groups(
    network: nn.Module,
    weight_decay: float,
    learning_rate: float,
    head_learning_rate: float = 1.0,
    head_parameters: Iterable[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """The trained parameters in optimizer groups: convolution weights with decay, biases and normalisation without.

    Where heads learn at another rate than the encoder, each of both groups is parted in two.
    """
    heads = {id(parameter) for parameter in head_parameters} if head_learning_rate != 1 else set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {(weight_decay, 1.0): [], (0.0, 1.0): []}
    for parameter in network.parameters():
        if parameter.requires_grad:
            factor = head_learning_rate if id(parameter) in heads else 1.0
            groups.setdefault((weight_decay if parameter.ndim > 1 else 0.0, factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr": factor * learning_rate}
        for (decay, factor), parameters in groups.items()
    ]


def build_optimizer(name: str, groups: list[dict[str, Any]], learning_rate: float, momentum: float) -> Optimizer:
    """The optimizer by its name in the settings."""
    if name == "sgd":
        return SGD(groups, lr=learning_rate, momentum=momentum)
    return AdamW(groups, lr=learning_rate)
