"""STDC-Seg, BiSeNet without its spatial path: an encoder made for segmentation, whose shallow layers are taught detail.

Fan et al.: Rethinking BiSeNet For Real-time Semantic Segmentation, CVPR 2021 (arXiv:2104.13188). Modules bear the names
of the authors' code, so its published weights load without renaming; `with_our_norms` rewrites what they mean.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.detail import detail_cross_entropy, detail_dice, detail_map
from segment.networks.bisenetv1 import ContextPath, ConvBlock, Head, initialise, pooled
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

COUNTER = "num_batches_tracked"
"""The tensor that PyTorch's batch normalisation has and InPlace-ABN has not."""

# ------------------------------------------------------------------------------------------------------------- blocks


class DenseConcatenation(nn.Module):
    """Short-term dense concatenation (sec. 3.1): four convolutions in a row, all their outputs side by side."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        self.conv_list = nn.ModuleList(
            [
                ConvBlock(inputs, half, 1),
                ConvBlock(half, quarter),
                ConvBlock(quarter, eighth),
                ConvBlock(eighth, eighth),
            ]
        )
        self.avd_layer: nn.Module = nn.Identity()
        self.skip: nn.Module = nn.Identity()
        if stride > 1:
            strided = nn.Conv2d(half, half, 3, stride, padding=1, groups=half, bias=False)
            self.avd_layer = nn.Sequential(strided, nn.BatchNorm2d(half))
            self.skip = nn.AvgPool2d(3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.conv_list
        x = first(x)
        outputs = [self.skip(x)]
        x = self.avd_layer(x)
        for conv in others:
            x = conv(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


class STDCNet(nn.Module):
    """The encoder: two convolutions, then three stages.

    The same layers stand under two names, `features` and that of their stage, as in the published weights. Those of the
    classifier of ImageNet are kept for the same reason; they take no part and are not trained.
    """

    def __init__(self, planes: int, blocks: tuple[int, int, int]) -> None:
        """Build; `planes` is the width at 1/4, `blocks` says how many each stage has."""
        super().__init__()
        widths = [planes, 4 * planes, 8 * planes, 16 * planes]
        layers: list[nn.Module] = [ConvBlock(3, planes // 2, stride=2), ConvBlock(planes // 2, planes, stride=2)]
        for inputs, outputs, count in zip(widths, widths[1:], blocks, strict=False):
            layers.append(DenseConcatenation(inputs, outputs, stride=2))
            layers.extend(DenseConcatenation(outputs, outputs) for _ in range(count - 1))
        self.features = nn.Sequential(*layers)

        self.conv_last = ConvBlock(widths[-1], widths[-1], 1)
        self.fc = nn.Linear(widths[-1], widths[-1], bias=False)
        self.bn = nn.BatchNorm1d(widths[-1])
        self.linear = nn.Linear(widths[-1], 1000, bias=False)
        for unused in (self.conv_last, self.fc, self.bn, self.linear):
            unused.requires_grad_(False)

        x16, x32 = 2 + blocks[0], 2 + blocks[0] + blocks[1]
        self.x2 = nn.Sequential(self.features[:1])
        self.x4 = nn.Sequential(self.features[1:2])
        self.x8 = nn.Sequential(self.features[2:x16])
        self.x16 = nn.Sequential(self.features[x16:x32])
        self.x32 = nn.Sequential(self.features[x32:])
        self.register_state_dict_post_hook(copy_second_names)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        high = self.x8(self.x4(self.x2(image)))  # (B, 4 planes, H/8, W/8)
        middle = self.x16(high)  # (B, 8 planes, H/16, W/16)
        return high, middle, self.x32(middle)  # (B, 16 planes, H/32, W/32)


def copy_second_names(net: nn.Module, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any]) -> None:
    """Give what a state dict of an STDCNet has under a second name memory of its own, as safetensors demands."""
    seconds = tuple(f"{prefix}{stage}." for stage in ("x2", "x4", "x8", "x16", "x32"))
    for key in state:
        if key.startswith(seconds):
            state[key] = state[key].clone()


class STDCContext(ContextPath):
    """BiSeNet's context path on another encoder, whose features at 1/8 take the spatial path's place."""

    def __init__(self, planes: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.backbone = STDCNet(planes, blocks)
        self.add_refinement(middle=8 * planes, deep=16 * planes, width=2 * planes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        high, middle, deep = self.backbone(image)
        return high, *self.refine(middle, deep)


class FeatureFusion(nn.Module):
    """Detail and context side by side; a channel counts up to twice if the whole image asks for it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBlock(inputs, outputs, 1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([detail, context], dim=1))
        return x + x * self.conv2(F.relu(self.conv1(pooled(x)))).sigmoid()


# ------------------------------------------------------------------------------------------------------------ network


class STDCSeg(Segmenter):
    """One encoder, a context path, fusion at 1/8; in training two auxiliary heads and one that finds detail at 1/8.

    The heads that find detail at 1/2, 1/4 and 1/16 are there for the published weights alone. The authors' recipe
    leaves them out of the loss; here they are not even run.
    """

    stride = 32
    align_corners = True
    auxiliary_weight = 1.0
    encoder = "cp.backbone.x32"
    classifier = "conv_out"
    encoder_keys = ("cp.backbone.features.",)

    def __init__(self, num_classes: int, planes: int, blocks: tuple[int, int, int], auxiliary: bool = True) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            planes: Width of the encoder at 1/4, from which all other widths follow; divides by 2.
            blocks: Of each of the encoder's three stages.
            auxiliary: Whether there are the heads that only training uses.
        """
        super().__init__()
        self.cp = STDCContext(planes, blocks)
        self.ffm = FeatureFusion(6 * planes, 4 * planes)
        self.conv_out = Head(4 * planes, 4 * planes, num_classes, bias=False)

        def auxiliary_head(inputs: int, outputs: int) -> Head | None:
            return Head(inputs, planes, outputs, bias=False) if auxiliary else None

        self.conv_out16 = auxiliary_head(2 * planes, num_classes)
        self.conv_out32 = auxiliary_head(2 * planes, num_classes)
        self.conv_out_sp16 = auxiliary_head(8 * planes, 1)
        self.conv_out_sp8 = auxiliary_head(4 * planes, 1)
        self.conv_out_sp4 = auxiliary_head(planes, 1)
        self.conv_out_sp2 = auxiliary_head(planes // 2, 1)
        for unused in (self.conv_out_sp16, self.conv_out_sp4, self.conv_out_sp2):
            if unused is not None:
                unused.requires_grad_(False)
        initialise(self, self.cp.backbone)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary ones, at 1/8 and 1/16, and detail, at 1/8, in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.cp.conv_avg.bn)
        high, context, late = self.cp(normalised)  # (B, 4 planes, H/8, W/8), (B, 2 planes, ...) and that at 1/16
        main = self.conv_out(self.ffm(high, context))
        if not self.training or self.conv_out16 is None or self.conv_out32 is None or self.conv_out_sp8 is None:
            return SegmenterOutput(main)
        return SegmenterOutput(main, (self.conv_out16(context), self.conv_out32(late)), self.conv_out_sp8(high))

    def own_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Two losses of the head that finds detail, both with weight 1 (sec. 3.3); none without such a head."""
        if output.boundary is None:
            return {}
        target = detail_map(label_map)
        return {
            "detail": detail_cross_entropy(output.boundary, target),
            "detail_dice": detail_dice(output.boundary, target),
        }


def with_our_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the authors' code, rewritten so that PyTorch's batch normalisation computes the same of them.

    All of their network but the encoder normalises by InPlace-ABN, whose scale is the weight's absolute value plus
    epsilon. Which layers these are shows by what they lack: the counter that those of the encoder have.

    Args:
        state: State dict of an STDCSeg. Where all normalisations have a counter, or none has, nothing is rewritten.

    Returns:
        A new dict of the same keys.

    Source: forward pass of InPlace-ABN's first release (Rota Bulò et al., CVPR 2018), which the authors' code bundles.
    """
    layers = {key.removesuffix("running_mean") for key in state if key.endswith(".running_mean")}
    uncounted = {layer for layer in layers if f"{layer}{COUNTER}" not in state}
    if uncounted == layers:
        return dict(state)
    return dict(state) | {f"{layer}weight": state[f"{layer}weight"].abs() + 1e-5 for layer in uncounted}


def stdc1(num_classes: int = 19, auxiliary: bool = True) -> STDCSeg:
    """11.4 M parameters, 8.3 M of them used, and 67 G multiply-adds at 1024x2048.

    74.5 mIoU on Cityscapes val at 0.75 of the size, from ImageNet weights, in the authors' hands.
    """
    return STDCSeg(num_classes, planes=64, blocks=(2, 2, 2), auxiliary=auxiliary)


def stdc2(num_classes: int = 19, auxiliary: bool = True) -> STDCSeg:
    """15.4 M parameters, 12.3 M of them used, and 94 G multiply-adds at 1024x2048.

    77.0 mIoU on Cityscapes val at 0.75 of the size, from ImageNet weights, in the authors' hands.
    """
    return STDCSeg(num_classes, planes=64, blocks=(4, 5, 3), auxiliary=auxiliary)
