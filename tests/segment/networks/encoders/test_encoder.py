"""What every encoder of the house promises to what stands on it."""

import torch

from segment.networks.encoders.encoder import Encoder


class Means(Encoder):
    """No features at all: only how an image is brought to what an encoder takes."""

    mean, std = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)

    def forward(self, normalised):
        return (normalised,) * 5


def test_an_image_is_normalised_by_the_encoders_own_statistics():
    image = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    assert Means().normalised(image).flatten().tolist() == [1.0, 1.0, 0.25]
