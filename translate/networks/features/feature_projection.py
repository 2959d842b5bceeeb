"""The learnt layers between a student's features and its teacher's: a 1x1 convolution each, thrown away after training.

Li et al., "GAN Compression", CVPR 2020 (arXiv:2003.08936), sec. 3.1: a narrow student need not have the teacher's
channels, only what they can be made of, pixel by pixel.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from translate.networks.initialisation import draw_weights


class FeatureProjection(nn.Module):
    """Feature maps (B, C_i, h_i, w_i) to maps (B, D_i, h_i, w_i).

    Args:
        inside: C_i of each map.
        outside: D_i of each map.
        initialisation: Key of INITIALISATIONS.

    Raises:
        ValueError: There are not as many of both.
    """

    def __init__(self, inside: Sequence[int], outside: Sequence[int], initialisation: str = "normal") -> None:
        super().__init__()
        if len(inside) != len(outside):
            raise ValueError(f"There are {len(inside)} maps to project and {len(outside)} to be like; expected pairs.")
        self.layers = nn.ModuleList(
            nn.Conv2d(of_student, of_teacher, kernel_size=1)
            for of_student, of_teacher in zip(inside, outside, strict=True)
        )
        draw_weights(self, initialisation)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Project each map by its own layer; ValueError if there are more or fewer."""
        return [layer(one) for layer, one in zip(self.layers, maps, strict=True)]
