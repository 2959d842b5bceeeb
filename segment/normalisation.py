"""Batch normalisation: statistics frozen or kept for a while, or measured over several processes.

Layers that see one value per channel (a globally pooled map of a single image) cannot normalise by batch statistics;
PyTorch refuses them in the middle of a step, so a network is asked before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

SumOverProcesses = Callable[[Tensor], Tensor]
"""A tensor to its sum over all processes, the same in all; it may change the tensor, and has no gradient."""


def freeze_batch_norm(network: nn.Module) -> None:
    """Keep the statistics, scales and shifts of all batch normalisation as they are.

    The mode is lost at the next `network.train()`; call this again after it.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval().requires_grad_(False)


def freeze_batch_norm_scales(network: nn.Module) -> None:
    """Train no scale and shift of batch normalisation, while its statistics go on following the batches.

    As in AdaptSegNet's code and all that grew from it, where the statistics then drift with batches of one image.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.affine:
            module.weight.requires_grad_(False)
            module.bias.requires_grad_(False)


def normalises_by_batch(network: nn.Module) -> bool:
    """Whether a network has batch normalisation whose running statistics follow its batches."""
    return bool(_following(network))


@contextmanager
def keeping_statistics(network: nn.Module) -> Iterator[None]:
    """In the block a network in training mode normalises by its batches, as ever, and its running statistics stay."""
    following = _following(network)
    for module in following:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in following:
            module.track_running_stats = True


@torch.no_grad()
def share_statistics(network: nn.Module, sum_over_processes: SumOverProcesses, world_size: int) -> None:
    """Give all processes the mean of their running statistics, where each has measured its own batches.

    Args:
        network: Changed in place; statistics that are frozen, or measured together already, stay as they are.
        sum_over_processes: How; once for all of them.
        world_size: Of how many processes.
    """
    own = [one for one in _following(network) if one.training and not isinstance(one, SyncedBatchNorm2d)]
    statistics = [values for one in own for values in (one.running_mean, one.running_var)]
    if world_size == 1 or not statistics:
        return
    mean = sum_over_processes(torch.cat(statistics)) / world_size
    torch._foreach_copy_(statistics, list(mean.split([len(values) for values in statistics])))


def _following(network: nn.Module) -> list[_BatchNorm]:
    return [one for one in network.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]


class SyncedBatchNorm2d(nn.BatchNorm2d, nn.SyncBatchNorm):
    """Batch normalisation by the statistics of all processes' batches together; in evaluation it is the plain one.

    On a GPU it is PyTorch's own SyncBatchNorm, over the default process group; that refuses what lies on the CPU, where
    `sum_over_processes` gathers.
    """

    sum_over_processes: SumOverProcesses

    @classmethod
    def like(cls, plain: nn.BatchNorm2d, sum_over_processes: SumOverProcesses) -> "SyncedBatchNorm2d":
        """With the very parameters and buffers of a plain one, which it is to replace."""
        synced = cls(plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats)
        synced._parameters, synced._buffers = plain._parameters, plain._buffers
        synced.sum_over_processes = sum_over_processes
        return synced.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W); sizes may differ between processes.

        Raises:
            ValueError: There is but one value per channel in all processes together.
        """
        if not self.training or not input.is_cpu:
            return super().forward(input)
        count, mean, variance = _pooled_statistics(input, self.sum_over_processes)
        if input.numel() == input.shape[1] and count == 1:  # the second is asked for seldom: a GPU would be waited for
            raise ValueError("Expected more than 1 value per channel when training, in all processes together.")
        self._follow(mean, variance * count / (count - 1))
        wide = _wide(input).dtype
        statistics = (mean.to(wide), variance.to(wide), count.to(wide))
        return _Normalised.apply(input, self.weight, self.bias, *statistics, self.eps, self.sum_over_processes)

    @torch.no_grad()
    def _follow(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        """Let the running statistics follow, as `nn.BatchNorm2d` does."""
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(unbiased_variance.to(self.running_var), share)


def _wide(x: Tensor) -> Tensor:
    """In fp32 at least: what autocast hands over in bf16 has too few digits for statistics."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@torch.no_grad()
def _pooled_statistics(x: Tensor, sum_over_processes: SumOverProcesses) -> tuple[Tensor, Tensor, Tensor]:
    """Values per channel, a scalar, their means and their (biased) variances, (C,), over all processes; in fp64.

    Each measures in fp32; sums of squares then need fp64, where the mean may be far larger than the deviation.
    """
    count = x.numel() // x.shape[1]
    variance, mean = torch.var_mean(_wide(x), (0, 2, 3), correction=0)
    mean, variance = mean.double(), variance.double()
    own = torch.cat([mean.new_full((1,), count), count * mean, count * (variance + mean.square())])
    total = sum_over_processes(own)
    mean, squares = (total[1:] / total[0]).chunk(2)
    return total[0], mean, (squares - mean.square()).clamp(min=0)


class _Normalised(torch.autograd.Function):
    """Normalise by given statistics that depend on the values of all processes: so do the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
        sum_over_processes: SumOverProcesses,
    ) -> Tensor:
        """Normalise x (B, C, H, W) by (C,) statistics over `count` values of each channel."""
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        ctx.sum_over_processes = sum_over_processes
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Ioffe and Szegedy, ICML 2015, sec. 3, with its sums over the batch taken over all processes.

        Those of weight and bias are this process's own: what averages gradients over processes averages them too.
        """
        x, weight, mean, scale, count = ctx.saved_tensors
        per_channel = (1, -1, 1, 1)
        normalised = (_wide(x) - mean.view(per_channel)) * scale.view(per_channel)
        of_output = _wide(gradient)
        of_bias, of_weight = of_output.sum((0, 2, 3)), (of_output * normalised).sum((0, 2, 3))
        shift, slope = (ctx.sum_over_processes(torch.cat([of_bias, of_weight])) / count).chunk(2)
        of_input = of_output - shift.view(per_channel) - normalised * slope.view(per_channel)
        of_input = of_input * (scale if weight is None else scale * weight).view(per_channel)
        needs_weight, needs_bias = ctx.needs_input_grad[1:3]
        return (
            of_input.to(x.dtype),
            of_weight.to(weight.dtype) if needs_weight else None,
            of_bias.to(weight.dtype) if needs_bias else None,
            *(None,) * 5,
        )


def synced_batch_norm(network: nn.Module, sum_over_processes: SumOverProcesses) -> nn.Module:
    """The network with batch statistics taken over all processes; weights and the names of tensors stay.

    Args:
        network: Changed in place, unless it is itself a normalisation.
        sum_over_processes: How.
    """
    synced: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, module in list(parent._modules.items()):  # one that has two names is to have both
            if isinstance(module, nn.BatchNorm2d):
                if module not in synced:
                    synced[module] = SyncedBatchNorm2d.like(module, sum_over_processes)
                setattr(parent, name, synced[module])
    if isinstance(network, nn.BatchNorm2d):
        return SyncedBatchNorm2d.like(network, sum_over_processes)
    return network


def refusal_of_single_images(build: Callable[[], nn.Module], height: int, width: int) -> str | None:
    """Why a network cannot train on batches of one image, in its own or PyTorch's words; None if it can.

    Found out on the meta device, without memory or work.

    Args:
        build: Makes the network, which takes (B, 3, H, W).
        height: Of the image.
        width: Of the image.
    """
    with torch.device("meta"), torch.no_grad():
        network = build().to("meta").train()
        try:
            network(torch.zeros(1, 3, height, width))
        except ValueError as error:
            return str(error)
    return None
