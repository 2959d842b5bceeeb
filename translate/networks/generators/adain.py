"""An encoder, features that are given other images' statistics, and a decoder back to an image.

Huang and Belongie, ICCV 2017 (arXiv:1703.06868), sec. 6. The encoder is fixed; the decoder mirrors VGG-19's layers up
to relu4_1 and has no normalisation, which would undo the style.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from translate.channel_statistics import Statistics
from translate.networks.features.style_encoders import StyleEncoder
from translate.networks.normalisation import InstanceNorm2d
from translate.padding import check_sides

CONVOLUTIONS = (2, 2, 4)
"""Of the decoder at full, half and quarter resolution, as VGG-19 has them; at the lowest of all there is one."""
REMEMBERED = 1000
"""Images, about, that the remembered style is a mean over: the last ones, once there have been more."""


class Decoder(nn.Module):
    """Features at one or several resolutions to an image, whose values nothing bounds.

    Args:
        channels: Of the features that it is given, by the number of their halvings.
        width: Of its convolutions at full resolution; each halving doubles it.
    """

    def __init__(self, channels: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.given, self.deepest = tuple(sorted(channels)), max(channels)
        self.stages = nn.ModuleList()
        inputs = 0
        for halvings in range(self.deepest, -1, -1):
            own = width * 2**halvings
            outputs = own // 2 if halvings else 3
            hidden = 0 if halvings == self.deepest else CONVOLUTIONS[min(halvings, len(CONVOLUTIONS) - 1)] - 1
            widths = [inputs + channels.get(halvings, 0), *[own] * hidden, outputs]
            layers: list[nn.Module] = []
            for before, after in pairwise(widths):
                layers += [nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect"), nn.ReLU(inplace=True)]
            layers[-1:] = [layers[-1], nn.Upsample(scale_factor=2)] if halvings else []
            self.stages.append(nn.Sequential(*layers))
            inputs = outputs

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """To (B, 3, H, W).

        Args:
            features: (B, channels[n], H / 2^n, W / 2^n) for each number n of halvings, finest first.
        """
        given = dict(zip(self.given, features, strict=True))
        x = given[self.deepest][:, :0]
        for halvings, stage in zip(range(self.deepest, -1, -1), self.stages, strict=True):
            x = stage(torch.cat([x, given[halvings]], dim=1) if halvings in given else x)
        return x


class AdaINGenerator(nn.Module):
    """Image to image of the same size, (B, 3, H, W), in the style that it remembers.

    Args:
        encoder: Frozen.
        base_channels: Width of the decoder at full resolution; 64 in the paper.
        skip_connections: Whether the decoder is given the encoder's finer features too, adapted like the coarsest;
            otherwise, as in the paper, the coarsest alone.
        strength: How far features are brought to the style; alpha in eq. 14. In training they are all the way.
    """

    style: Tensor
    remembered: Tensor

    def __init__(
        self, encoder: StyleEncoder, base_channels: int = 64, skip_connections: bool = False, strength: float = 1.0
    ) -> None:
        super().__init__()
        self.encoder, self.strength = encoder, strength
        self.adapted_from = 0 if skip_connections else len(encoder.channels) - 1
        """The first of the encoder's maps that the decoder is given."""
        channels = encoder.channels[self.adapted_from :]
        self.channels = channels
        self.norms = nn.ModuleList(InstanceNorm2d(one) for one in channels)
        self.decoder = Decoder(dict(zip(encoder.halvings[self.adapted_from :], channels, strict=True)), base_channels)
        self.side_multiple = 2 ** encoder.halvings[-1]
        self.smallest_side = 2 * self.side_multiple  # reflection by one pixel needs two there
        self.register_buffer("style", torch.stack([torch.zeros(sum(channels)), torch.ones(sum(channels))]))
        self.register_buffer("remembered", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> Tensor:
        """Translate into the remembered style.

        Args:
            image: (B, 3, H, W) in [-1, 1]; sides divide by `side_multiple` and are at least twice that.

        Returns:
            (B, 3, H, W), about in [-1, 1].

        Raises:
            ValueError: A side does not divide, or is too small.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return self.decoder(self.adapted(self.encoder(image), self.style[None], self.strength))

    def adapted(self, maps: Sequence[Tensor], styles: Tensor, strength: float = 1.0) -> list[Tensor]:
        """The features that the decoder is given: normalised, and with the styles' deviations and means instead.

        Args:
            maps: All that the encoder makes of images.
            styles: (B, 2, C) or (1, 2, C), as `style_of` has them.
            strength: From 0, the features as they are, to 1.

        Source: Huang and Belongie, ICCV 2017, eq. 8 and 14.
        """
        means, deviations = (part.split(self.channels, dim=1) for part in styles.unbind(1))
        adapted = []
        for number, norm in enumerate(self.norms):
            features = maps[self.adapted_from + number].float()
            mean, deviation = means[number][..., None, None], deviations[number][..., None, None]
            restyled = norm(features) * deviation + mean
            adapted.append(restyled if strength == 1 else features.lerp(restyled, strength))
        return adapted

    def style_of(self, statistics: Sequence[Statistics]) -> Tensor:
        """Means and deviations (B, 2, C) of the channels of all features that are adapted, side by side.

        Args:
            statistics: Of all of the encoder's maps.
        """
        return torch.stack([torch.cat(part, dim=1) for part in zip(*statistics[self.adapted_from :], strict=True)], 1)

    @torch.no_grad()
    def remember(self, styles: Tensor) -> None:
        """Move the style that is translated into towards that of more images, (N, 2, C).

        It is the mean over all that were ever seen, or, from `REMEMBERED` on, one that forgets the first of them.
        """
        self.remembered += len(styles)
        share = len(styles) / self.remembered.clamp(max=REMEMBERED)
        self.style += share.clamp(max=1).to(self.style.dtype) * (styles.mean(0) - self.style)
