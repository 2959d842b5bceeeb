"""The small network of CUT that makes patches comparable: features at a place to a unit vector.

Park et al., ECCV 2020 (arXiv:2007.15651), sec. 3.2: two linear layers for each layer of the generator's encoder. They
are thrown away after training. Parameter names are those of the authors' published code.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class PatchProjection(nn.Module):
    """Feature maps (B, C_i, H_i, W_i) and locations in them to unit vectors (B, P_i, features).

    Args:
        channels: C_i of each map.
        features: Length of the vectors, and width in between.
    """

    def __init__(self, channels: Sequence[int], features: int = 256) -> None:
        super().__init__()
        self.channels = tuple(channels)
        for place, width in enumerate(channels):
            layers = nn.Sequential(nn.Linear(width, features), nn.ReLU(), nn.Linear(features, features))
            self.add_module(f"mlp_{place}", layers)
        self._draw_weights()

    def _draw_weights(self) -> None:
        """Small weights as in the authors' code; only the direction of what comes out counts."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, gain=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor], locations: Sequence[Tensor]) -> list[Tensor]:
        """Project.

        Args:
            maps: (B, C_i, H_i, W_i), as many as there are `channels`.
            locations: For each map int64 (P_i,), indices into its H_i * W_i locations; the same for all images.

        Returns:
            For each map float32 (B, P_i, features) of length 1 in the last dimension.

        Raises:
            ValueError: Another number of maps or locations, or maps of other channels.
        """
        found = tuple(one.shape[1] for one in maps)
        if found != self.channels or len(locations) != len(maps):
            raise ValueError(
                f"The maps have {found} channels, with {len(locations)} sets of locations; expected {self.channels}."
            )
        vectors = []
        for index, (one, chosen) in enumerate(zip(maps, locations, strict=True)):
            patches = one.flatten(2)[:, :, chosen].mT  # (B, P, C)
            projected = self.get_submodule(f"mlp_{index}")(patches)
            vectors.append(functional.normalize(projected.float(), dim=-1, eps=1e-7))
        return vectors
