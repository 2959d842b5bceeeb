"""Supervised training of a segmenter on labelled frames: the yardstick of every method that adapts to a new domain.

Trained on source frames it is the source-only baseline, on translated ones the project's stage two, on real ones the
oracle. Recipe: momentum SGD, poly schedule, auxiliary loss and hard pixels as in BiSeNet and DDRNet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from segment.appearance.colours import paint_classes
from segment.averaging import MovingAverage
from segment.inference import predict
from segment.losses import LOSSES
from segment.methods.method import Method, Update
from segment.networks.segmenter import Segmenter, SegmenterOutput
from segment.normalisation import BATCH_NORMS, SumOverProcesses, freeze_batch_norm, synced_batch_norm
from segment.schedules import schedule_of


@dataclass(frozen=True)
class LabelledBatch:
    """Frames with their labels: image float (B, 3, H, W) in [0, 1]; label_map int64 (B, H, W), 255 = ignore."""

    image: Tensor
    label_map: Tensor
    style: Tensor | None = None
    """Images of the target, (B, 3, H, W) in [0, 1], whose looks augmentation may lend to the frames."""
    styled: Tensor | None = None
    """bool (B,): the frames that may take them; real ones do not."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`; from pinned memory the copy does not block."""
        tensors = (self.image, self.label_map, self.style, self.styled)
        return type(self)(*(None if one is None else one.to(device, non_blocking=True) for one in tensors))


BatchAugmentation = Callable[[LabelledBatch], LabelledBatch]
"""Changes a batch at random, with draws from torch's global generator, as the steps of all methods may draw."""


class Supervised(Method):
    """One network, one loss on each of its heads, one optimizer, and optionally a moving average of the weights."""

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        network: Segmenter,
        steps: int,
        learning_rate: float,
        warmup_steps: int = 0,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        loss: str = "ohem",
        class_weights: Tensor | None = None,
        auxiliary_weight: float | None = None,
        ema_decay: float | None = None,
        schedule: Literal["poly", "cosine"] = "poly",
        poly_power: float = 0.9,
        batch_norm: Literal["batch", "frozen", "synced"] = "batch",
        sum_over_processes: SumOverProcesses | None = None,
        augmentation: BatchAugmentation | None = None,
    ) -> None:
        """Build the optimizer around `network`, which stays where it is.

        Args:
            network: To be trained, with or without an auxiliary head.
            steps: Length of the learning-rate schedule.
            learning_rate: At its highest, right after the warm-up.
            warmup_steps: Steps of linear rise at the beginning.
            optimizer: "sgd" or "adamw".
            momentum: Of SGD; AdamW keeps its own defaults.
            weight_decay: On all weights but biases and batch normalisation.
            loss: A key of `segment.losses.LOSSES`, for all heads.
            class_weights: (K,), for that loss; None weighs all classes alike.
            auxiliary_weight: Factor on the loss of each auxiliary head; None for the network's own.
            ema_decay: Of the moving average that is then evaluated instead of the network; None for no average.
            schedule: "poly" or "cosine", after the warm-up.
            poly_power: Of "poly".
            batch_norm: "batch" trains by the statistics of the batch, "synced" by those of all processes' batches,
                "frozen" keeps statistics, scales and shifts as `network` brings them.
            sum_over_processes: What "synced" pools the statistics with; None in a single process.
            augmentation: Applied to each batch before it is learnt from, on the batch's device.

        Raises:
            ValueError: An unknown name, or a warm-up that does not fit into the schedule.
        """
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"There is no loss {loss!r}; choose one of {', '.join(LOSSES)}.")
        if batch_norm not in BATCH_NORMS:
            raise ValueError(f"There is no batch_norm {batch_norm!r}; choose one of {', '.join(BATCH_NORMS)}.")
        self.schedule = schedule_of(schedule, steps, warmup_steps, poly_power)
        self.batch_norm = batch_norm
        if batch_norm == "frozen":
            freeze_batch_norm(network)
        self.network = synced_batch_norm(network, sum_over_processes) if batch_norm == "synced" else network
        self.average = None if ema_decay is None else MovingAverage(self.network, ema_decay)
        self.loss, self.augmentation = LOSSES[loss], augmentation
        # Not persistent: the weights follow from the settings and frames of a run, and prediction needs none.
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.auxiliary_weight = network.auxiliary_weight if auxiliary_weight is None else auxiliary_weight
        groups = parameter_groups(network, weight_decay)
        self._optimizer = build_optimizer(optimizer, groups, learning_rate, momentum)

    def memory_format(self, device: torch.device) -> torch.memory_format:
        return torch.channels_last

    def optimizers(self) -> dict[str, Optimizer]:
        """One, named "network"."""
        return {"network": self._optimizer}

    def learning_rate_scale(self, step: int) -> float:
        """Linear warm-up, then the schedule."""
        return self.schedule(step)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what is frozen."""
        super().train(mode)
        if self.batch_norm == "frozen":
            freeze_batch_norm(self.network)
        return self

    def step(self, batch: LabelledBatch, update: Update) -> dict[str, Tensor]:
        """Augment, predict, compare on each head, learn, and let the average follow."""
        batch = self.augmented(batch)
        losses = self.losses(self.network(batch.image), batch.label_map)
        update("network", losses)
        if self.average is not None:
            self.average.update(self.network)
        return losses

    def losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Weighted losses: "main", "auxiliary" (the sum over such heads, if there are any), and the network's own."""
        losses = {"main": self.loss(output.main, label_map, self.class_weights)}
        if output.auxiliary:
            parts = [self.loss(logits, label_map, self.class_weights) for logits in output.auxiliary]
            losses["auxiliary"] = self.auxiliary_weight * torch.stack(parts).sum()
        return losses | self.network.own_losses(output, label_map)

    def augmented(self, batch: LabelledBatch) -> LabelledBatch:
        """The batch as it is learnt from."""
        return batch if self.augmentation is None else self.augmentation(batch)

    def evaluated_network(self) -> Segmenter:
        """The network to evaluate and to hand on: the moving average if there is one, else the trained network."""
        return self.network if self.average is None else self.average.network

    def preview(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """The augmented image, what the evaluated network sees in it, and the truth."""
        batch = self.augmented(batch)
        network, was_training = self.evaluated_network(), self.training
        prediction = predict(network.eval(), batch.image, tuple(batch.image.shape[-2:]))
        self.train(was_training)
        return {
            "image": batch.image,
            "prediction": paint_classes(prediction),
            "label": paint_classes(batch.label_map),
        }


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """The parameters in two optimizer groups: convolution weights with decay; biases and normalisation without."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(name: str, groups: list[dict], learning_rate: float, momentum: float) -> Optimizer:
    """The optimizer by its name in the settings."""
    if name == "sgd":
        return SGD(groups, lr=learning_rate, momentum=momentum)
    if name == "adamw":
        return AdamW(groups, lr=learning_rate)
    raise ValueError(f"There is no optimizer {name!r}; choose sgd or adamw.")
