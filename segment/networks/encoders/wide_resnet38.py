"""WideResNet-38, few and very wide residual blocks: the trunk of the most accurate networks before transformers.

Wu, Shen, van den Hengel 2016 (arXiv:1611.10080), in the pre-activated form of Rota Bulo et al. (CVPR 2018) that
NVIDIA's semantic-segmentation code took over, whose names modules bear. The last three stages are dilated: 1/8.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (3, 3, 6, 3, 1, 1)
"""Blocks of mod2 to mod7; with the stem and the classifier of ImageNet, 38 layers."""

# ------------------------------------------------------------------------------------------------------------- blocks


def norm_relu(channels: int) -> nn.Sequential:
    """Normalise and rectify."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, or divides it by the stride rounding up."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=padding, dilation=dilation, bias=False)


class PreactivatedBlock(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1, each after its normalisation; then the shortcut."""

    def __init__(self, inputs: int, widths: tuple[int, ...], stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = norm_relu(inputs)
        if len(widths) == 2:
            layers = {
                "conv1": conv(inputs, widths[0], 3, stride, dilation),
                "bn2": norm_relu(widths[0]),
                "conv2": conv(widths[0], widths[1], 3, dilation=dilation),
            }
        else:
            layers = {
                "conv1": conv(inputs, widths[0], 1, stride),
                "bn2": norm_relu(widths[0]),
                "conv2": conv(widths[0], widths[1], 3, dilation=dilation),
                "bn3": norm_relu(widths[1]),
                "dropout": nn.Dropout2d(dropout),
                "conv3": conv(widths[1], widths[2], 1),
            }
        self.convs = nn.Sequential(OrderedDict(layers))
        changes = stride != 1 or inputs != widths[-1]
        self.proj_conv = conv(inputs, widths[-1], 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        activated = self.bn1(x)
        shortcut = x if self.proj_conv is None else self.proj_conv(activated)
        return self.convs(activated) + shortcut


# -------------------------------------------------------------------------------------------------------------- trunk


def wide_resnet38_stages(width: int = 64) -> dict[str, nn.Sequential]:
    """mod1 to mod7, to be made children of a network under these names; `wide_resnet38_features` runs them.

    Args:
        width: Channels of the stem, from which all others follow; 64 is WideResNet-38.
    """
    stages = {"mod1": nn.Sequential(OrderedDict(conv1=conv(3, width, 3)))}
    inputs = width
    # In multiples of the stem's width; stride; dilation; dropout of whole channels.
    plan = [
        ((2, 2), 1, 1, 0.0),
        ((4, 4), 1, 1, 0.0),
        ((8, 8), 2, 1, 0.0),
        ((8, 16), 1, 2, 0.0),
        ((8, 16, 32), 1, 4, 0.3),
        ((16, 32, 64), 1, 4, 0.5),
    ]
    for number, (blocks, (multiples, stride, dilation, dropout)) in enumerate(zip(BLOCKS, plan, strict=True), start=2):
        widths = tuple(width * multiple for multiple in multiples)
        rows = OrderedDict()
        for block in range(1, blocks + 1):
            rows[f"block{block}"] = PreactivatedBlock(inputs, widths, stride if block == 1 else 1, dilation, dropout)
            inputs = widths[-1]
        stages[f"mod{number}"] = nn.Sequential(rows)
    return stages


def wide_resnet38_features(trunk: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of fine and of deep features.

    Args:
        trunk: Has the stages as children.
        x: (B, 3, H, W), normalised; sides divide by 8.

    Returns:
        (B, 2 widths, H/2, W/2) of mod2, and (B, 64 widths, H/8, W/8) of mod7, not normalised: NVIDIA's network leaves
        the trunk's last normalisation out.
    """
    fine = trunk.mod2(F.max_pool2d(trunk.mod1(x), 3, stride=2, padding=1))
    x = trunk.mod3(F.max_pool2d(fine, 3, stride=2, padding=1))  # (B, 4 widths, H/4, W/4)
    x = trunk.mod5(trunk.mod4(x))  # (B, 16 widths, H/8, W/8)
    return fine, trunk.mod7(trunk.mod6(x))
