"""DeepLabV2 with ResNet-101, the network that nearly all papers on adapting segmenters to real streets compare on.

Chen et al., TPAMI 2018 (arXiv:1606.00915), as AdaptSegNet has it (Tsai et al., CVPR 2018), under its names.
Its published weights expect another input than ours: `with_our_input` rewrites them.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.segmenter import IMAGENET_MEAN, IMAGENET_STD, Segmenter, SegmenterOutput

DILATIONS = (6, 12, 18, 24)
"""Dilations of the classifier's branches."""
AUTHORS_MEAN = (122.67891434, 116.66876762, 104.00698793)
"""What AdaptSegNet subtracts from an image in 0..255; here in the order red, green, blue."""

# ------------------------------------------------------------------------------------------------------------- blocks


def frozen_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation whose scale and shift are not trained; its statistics still follow the data."""
    norm = nn.BatchNorm2d(channels)
    norm.requires_grad_(False)
    return norm


class Bottleneck(nn.Module):
    """1x1, dilated 3x3 and a widening 1x1 convolution beside a shortcut; the stride is on the first one."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, stride, bias=False)
        self.bn1 = frozen_norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = frozen_norm(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = frozen_norm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if project:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), frozen_norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.bn1(self.conv1(x)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        return F.relu(self.bn3(self.conv3(residual)) + self.downsample(x))


def stage(inputs: int, planes: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Bottlenecks in a row; the first one changes width and resolution."""
    outputs = planes * Bottleneck.expansion
    first = Bottleneck(inputs, planes, stride, dilation, project=True)
    return nn.Sequential(first, *(Bottleneck(outputs, planes, 1, dilation, project=False) for _ in range(blocks - 1)))


class DilatedClassifier(nn.Module):
    """Atrous spatial pyramid pooling in its first form: dilated 3x3 classifiers side by side, summed.

    Published weights hold four branches. Those that do not take part in the sum are kept for them, and not trained.
    """

    def __init__(self, inputs: int, num_classes: int, branches: int) -> None:
        super().__init__()
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(inputs, num_classes, 3, padding=dilation, dilation=dilation) for dilation in DILATIONS
        )
        self.branches = branches
        self.conv2d_list[branches:].requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([conv(x) for conv in self.conv2d_list[: self.branches]]).sum(0)


# ------------------------------------------------------------------------------------------------------------ network


class DeepLabV2(Segmenter):
    """A ResNet whose last two stages are dilated instead of strided, and a dilated classifier on it.

    A single-level network classifies the features of layer4 by `layer5`. A multi-level one does so by `layer6`, and its
    `layer5` is an auxiliary classifier on the features of layer3.
    """

    stride = 8
    align_corners = True
    """Differs: AdaptSegNet's evaluation brings 65x129 logits straight to 1024x2048 with corners aligned. Here that only
    leads to the size of the image, 512x1024; from there to the labels' size corners are not aligned (`predict_logits`
    in `segment.inference`)."""
    auxiliary_weight = 0.1
    """lambda_seg in AdaptSegNet's multi-level training."""
    encoder = "layer4"
    encoder_keys = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")

    def __init__(
        self,
        num_classes: int,
        multi_level: bool = False,
        auxiliary: bool = True,
        aspp_branches: Literal[2, 4] = 2,
        planes: int = 64,
        blocks: tuple[int, int, int, int] = (3, 4, 23, 3),
    ) -> None:
        """Build with random weights, drawn as AdaptSegNet draws them.

        Args:
            num_classes: K, channels of the logits.
            multi_level: Whether the classifier has the name that it has beside an auxiliary one.
            auxiliary: Whether a multi-level network has that auxiliary classifier; a single-level one never does.
            aspp_branches: How many dilated branches are summed: 2 is what AdaptSegNet's code computes, and so what its
                weights were trained for; 4 is what its paper and DeepLabV2's say.
            planes: Width of the stem, from which all others follow.
            blocks: Bottlenecks in each stage.

        Raises:
            ValueError: Another number of branches.
        """
        super().__init__()
        if aspp_branches not in (2, 4):
            raise ValueError(f"aspp_branches is {aspp_branches}; expected 2, as published, or 4, as in the paper")
        self.multi_level = multi_level
        self.classifier = "layer6" if multi_level else "layer5"
        self.conv1 = nn.Conv2d(3, planes, 7, stride=2, padding=3, bias=False)
        self.bn1 = frozen_norm(planes)
        self.layer1 = stage(planes, planes, blocks[0])
        self.layer2 = stage(4 * planes, 2 * planes, blocks[1], stride=2)
        self.layer3 = stage(8 * planes, 4 * planes, blocks[2], dilation=2)
        self.layer4 = stage(16 * planes, 8 * planes, blocks[3], dilation=4)
        if multi_level:
            self.layer5 = DilatedClassifier(16 * planes, num_classes, aspp_branches) if auxiliary else None
            self.layer6 = DilatedClassifier(32 * planes, num_classes, aspp_branches)
        else:
            self.layer5 = DilatedClassifier(32 * planes, num_classes, aspp_branches)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.01)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8 + 1, W/8 + 1); the auxiliary ones in training mode only."""
        x = F.relu(self.bn1(self.conv1(normalised)))
        x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)  # (B, planes, H/4 + 1, W/4 + 1)
        middle = self.layer3(self.layer2(self.layer1(x)))  # (B, 16 planes, H/8 + 1, W/8 + 1)
        deep = self.layer4(middle)
        if not self.multi_level:
            return SegmenterOutput(self.layer5(deep))
        needs_auxiliary = self.training and self.layer5 is not None
        return SegmenterOutput(self.layer6(deep), (self.layer5(middle),) if needs_auxiliary else ())


def with_our_input(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights made for AdaptSegNet's input, rewritten so that they compute the same of ours.

    Theirs is blue, green, red in 0..255 less a mean; ours red, green, blue in 0..1, normalised by ImageNet's
    statistics. Both are linear in the image, so the first convolution takes up the factors and the statistics behind it
    the difference of the means. Along the image's rim, where zeros stand for the mean, under one grey level is left.

    Args:
        state: State dict with "conv1.weight" and, where statistics are there, "bn1.running_mean".

    Returns:
        A new dict of the same keys; all but those two tensors are the same objects.
    """
    weight = state["conv1.weight"]
    mean, std = weight.new_tensor(IMAGENET_MEAN), weight.new_tensor(IMAGENET_STD)
    weight = weight.flip(1)  # now takes red, green, blue in 0..255, less AUTHORS_MEAN
    shift = (weight.sum((2, 3)) * (255 * mean - weight.new_tensor(AUTHORS_MEAN))).sum(1)
    rewritten = dict(state) | {"conv1.weight": weight * 255 * std.view(1, 3, 1, 1)}
    if "bn1.running_mean" in state:
        # conv1 now answers with `shift` less than it did, whatever the image.
        rewritten["bn1.running_mean"] = state["bn1.running_mean"] - shift
    return rewritten


def with_one_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights of two classifiers of the same features as those of one that says what both say, added up.

    CLAN (Luo et al., CVPR 2019) trains two and evaluates the sum of their logits. Both are linear, so one classifier
    with the sum of their weights computes it too.

    Args:
        state: State dict under AdaptSegNet's names, perhaps with a prefix.

    Returns:
        A new dict without `layer6`; None if `layer5` and `layer6` are not of the same shapes.
    """
    second = {key: key.replace("layer6.", "layer5.") for key in state if "layer6." in key}
    if not second or any(key not in state or state[key].shape != state[other].shape for other, key in second.items()):
        return None
    joined = {key: value for key, value in state.items() if key not in second}
    return joined | {key: state[key] + state[other] for other, key in second.items()}


def deeplabv2_resnet101(num_classes: int = 19, auxiliary: bool = True, aspp_branches: Literal[2, 4] = 2) -> DeepLabV2:
    """43.9 M parameters; 36.6 mIoU on Cityscapes val trained on GTA5 alone, 41.4 adapted, in AdaptSegNet's hands.

    There is no auxiliary head, whatever `auxiliary` says.
    """
    return DeepLabV2(num_classes, multi_level=False, auxiliary=auxiliary, aspp_branches=aspp_branches)


def deeplabv2_resnet101_multi(
    num_classes: int = 19, auxiliary: bool = True, aspp_branches: Literal[2, 4] = 2
) -> DeepLabV2:
    """DeepLabV2 with an auxiliary classifier on layer3: 44.6 M parameters; the authors report 42.4 mIoU from GTA5."""
    return DeepLabV2(num_classes, multi_level=True, auxiliary=auxiliary, aspp_branches=aspp_branches)
