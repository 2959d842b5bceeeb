"""Longer features in both domains, step by step: what any method that adapts may have beside its own losses.

Features of target frames are shorter than those of source frames, and short ones are transferred badly. Xu, Li, Yang,
Lin, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain Adaptation", ICCV 2019
(arXiv:1811.07456) lengthens those of whole images; for segmentation the same is done at each place of the map.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from segment.counting import StepCount
from segment.networks.segmenter import SegmenterOutput
from segment.settings import NonNegativeFloat, PositiveFloat, check_settings

Domain = Literal["source", "target"]


@dataclass(frozen=True)
class FeatureNormSettings:
    """Defaults are those of the code that brought it to DeepLabV2's 2048 channels, for GTA5 to Cityscapes. The pull is
    2 x weight x increment; how much of it a real-time network bears has not been published."""

    weight: PositiveFloat = 0.00015
    """Weight of the loss in each domain."""
    increment: PositiveFloat = 0.12
    """By how much each norm is to grow, Delta r in the paper, which has 1 and 0.3 for features of whole images."""
    damping: NonNegativeFloat = 1.5
    """The weight falls as max(0, 1 - damping x progress): with 1.5 it is gone after two thirds of the steps. In that
    code it then goes on below zero and shortens the features again. At 0 the weight stays."""

    def __post_init__(self) -> None:
        check_settings(self)


def feature_norms(features: Tensor) -> Tensor:
    """The lengths (B, h, w) in single precision of the features (B, C, h, w) at each place."""
    return torch.linalg.vector_norm(features.float(), dim=1)


def stepwise_norm(norms: Tensor, increment: float) -> Tensor:
    """How far norms are from where they are to be next: `increment` above where they are now.

    Args:
        norms: Of any shape; gradients flow.
        increment: At least 0.

    Returns:
        Scalar. It is increment squared whatever the norms are, so its value tells nothing; its gradient is
        -2 x increment times that of the mean norm.

    Source: Xu et al., ICCV 2019, the stepwise form (SAFN). Its "parameters of the last iteration" are, as in the
        authors' code, those of this very pass without gradient.
    """
    return (norms - norms.detach() - increment).square().mean()


class FeatureNorm(nn.Module):
    """Lengthens the features of all that a network learns from, and notes how long they are.

    Its state is how many steps it has seen.
    """

    def __init__(self, settings: FeatureNormSettings, steps: int) -> None:
        """`steps` is the length of the whole training, over which the weight falls."""
        super().__init__()
        self.settings, self.steps = settings, steps
        self.mean_norms: dict[str, Tensor] = {}
        self.steps_taken = StepCount()

    def loss(self, features: Tensor, domain: Domain) -> Tensor:
        """What the network pays for features as short as they are, weighted; their mean norm is noted.

        Args:
            features: (B, C, h, w), the map that pixels are classified by.
            domain: Whose frames they are of.
        """
        norms = feature_norms(features)
        self.mean_norms[domain] = norms.detach().mean()
        return self.weight() * stepwise_norm(norms, self.settings.increment)

    def weight(self) -> float:
        """The damped weight at this step."""
        return self.settings.weight * max(0.0, 1 - self.settings.damping * self.steps_taken.value / self.steps)

    def follow(self) -> None:
        """Count a step; once a step, after the network has learnt."""
        self.steps_taken.advance()

    def observed(self) -> dict[str, Tensor]:
        """Mean norm of the features in each domain, as the last pass of it found them."""
        return {f"feature_norm/{domain}": norm for domain, norm in self.mean_norms.items()}


def with_loss(output: SegmenterOutput, loss: Tensor) -> SegmenterOutput:
    """The output unchanged; what is back-propagated from any part of it back-propagates `loss` too, once.

    So a loss on what a pass computed inside needs neither a second pass nor a word in the step of each method. Mixtures
    of experts have their balancing losses in this way (Megatron-LM).
    """
    carried = iter(_WithLoss.apply(loss, output.main, *output.auxiliary, *_present(output.boundary)))
    main, auxiliary = next(carried), tuple(next(carried) for _ in output.auxiliary)
    return SegmenterOutput(main, auxiliary, next(carried, None))


def _present(tensor: Tensor | None) -> tuple[Tensor, ...]:
    return () if tensor is None else (tensor,)


class _WithLoss(torch.autograd.Function):
    """Identity of all but its first argument, whose gradient is 1."""

    @staticmethod
    def forward(ctx: FunctionCtx, loss: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(loss)
        ctx.set_materialize_grads(False)  # of heads that no loss was made of
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (loss,) = ctx.saved_tensors
        return torch.ones_like(loss), *gradients
