"""The discriminators of pix2pixHD: one architecture at several scales, the coarse ones for the scene, the fine ones
for texture.

Wang et al., CVPR 2018 (arXiv:1711.11585), sec. 3.2. They also hand out their features, which the generator has to
match. Parameter names are those of the authors' published checkpoints.
"""

from torch import Tensor, nn

from translate.networks.initialisation import draw_convolutions
from translate.networks.normalisation import InstanceNorm2d

WIDEST = 512


def _stages(in_channels: int, channels: int, layers: int) -> list[list[nn.Module]]:
    """The modules of one scale, grouped so that the output of every group is a feature map to match, the last aside."""
    stages: list[list[nn.Module]] = [
        [nn.Conv2d(in_channels, channels, kernel_size=4, stride=2, padding=2), nn.LeakyReLU(0.2, inplace=True)]
    ]
    width = channels
    for depth in range(1, layers + 1):
        wider = min(2 * width, WIDEST)
        stride = 2 if depth < layers else 1
        stages.append(
            [
                nn.Conv2d(width, wider, kernel_size=4, stride=stride, padding=2),
                InstanceNorm2d(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        )
        width = wider
    return [*stages, [nn.Conv2d(width, 1, kernel_size=4, stride=1, padding=2)]]


class MultiscaleDiscriminator(nn.Module):
    """Layout and image, joined to (B, C, H, W), to unbounded judgements of patches at each scale; high means real.

    Args:
        in_channels: Channels of the layout and of the image together.
        base_channels: Channels of the first layer; doubled by each further one, up to 512.
        layers: Of each scale; 3 see patches of 70 pixels at full resolution, 141 at half, 283 at a quarter.
        scales: How many discriminators; each sees half the resolution of the one before.
        features: Hand out the features of every layer. The weights are then named scale{i}_layer{j}.0, else
            layer{i}.{j}. Either way number scales - 1 is the one that sees full resolution.
    """

    def __init__(
        self, *, in_channels: int, base_channels: int = 64, layers: int = 3, scales: int = 2, features: bool = True
    ) -> None:
        super().__init__()
        if min(in_channels, base_channels, layers, scales) < 1:
            raise ValueError(
                f"A multi-scale discriminator has at least 1 of each: in_channels {in_channels}, base_channels "
                f"{base_channels}, layers {layers}, scales {scales}."
            )
        self.scales = scales
        self._names: list[list[str]] = []
        for scale in range(scales):
            stages = _stages(in_channels, base_channels, layers)
            if features:
                parts = {f"scale{scale}_layer{depth}": nn.Sequential(*stage) for depth, stage in enumerate(stages)}
            else:
                parts = {f"layer{scale}": nn.Sequential(*(module for stage in stages for module in stage))}
            for name, part in parts.items():
                self.add_module(name, part)
            self._names.append(list(parts))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        draw_convolutions(self)

    def forward(self, layout_and_image: Tensor) -> list[list[Tensor]]:
        """Judge.

        Args:
            layout_and_image: (B, C, H, W).

        Returns:
            One list per scale, full resolution first: the features of each layer, where they are handed out, and last
            the judgement (B, 1, h, w).
        """
        seen, judged = layout_and_image, []
        for scale in reversed(range(self.scales)):
            outputs, current = [], seen
            for name in self._names[scale]:
                current = self.get_submodule(name)(current)
                outputs.append(current)
            judged.append(outputs)
            if scale > 0:
                seen = self.downsample(seen)
        return judged
