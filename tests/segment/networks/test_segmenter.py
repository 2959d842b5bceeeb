"""What the base class adds to a network: padding, upsampling in register with the image, and one of two answers."""

import pytest
import torch
from torch.nn import functional as F

from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter, SegmenterOutput


class Means(Segmenter):
    """The logit is the mean of the normalised red channel in squares of 4x4; the auxiliary logit its negative."""

    stride = 4

    def coarse_logits(self, normalised):
        means = F.avg_pool2d(normalised[:, :1], 4)
        return SegmenterOutput(means, (-means,))


def red_ramp(height, width):
    """Red grows by 0.002 a column."""
    image = torch.zeros(1, 3, height, width)
    image[:, 0] = torch.arange(width) * 0.002
    return image


@pytest.mark.parametrize("width", [64, 61])
def test_logits_are_in_register_with_the_image(width):
    """A ramp comes back unmoved, but for the rim where there is nothing to interpolate with."""
    image = red_ramp(10, width)
    logits = Means().eval()(image)
    assert logits.shape == (1, 1, 10, width)
    expected = (image[:, :1] - 0.485) / 0.229
    torch.testing.assert_close(logits[..., 2:-6], expected[..., 2:-6])


@pytest.mark.parametrize(("height", "width"), [(10, 61), (12, 61), (9, 64)])
def test_features_over_the_image_are_in_register_with_it(height, width):
    """Each cell has what the image has at its centre: of the ramp, the value of that place."""
    network, image = Means().eval(), red_ramp(height, width)
    padded = network.coarse_logits(network._pad(image))[0]
    features = network.over_image(padded, height, width)
    columns = features.shape[-1]
    assert features.shape[-2:] == (max(1, round(height / 4)), round(width / 4))
    expected = 0.002 * ((torch.arange(columns) + 0.5) * width / columns - 0.5)
    torch.testing.assert_close(features[0, 0, 0, 1:-1], expected[1:-1], atol=1e-5, rtol=0)


class Corners(Means):
    """Of the same image values at places of which the outer ones are the image's corners, as DeepLabV2's cells lie."""

    align_corners = True

    def coarse_logits(self, normalised):
        size = [side // 4 + 1 for side in normalised.shape[-2:]]
        return SegmenterOutput(F.interpolate(normalised[:, :1], size, mode="bilinear", align_corners=True))


@pytest.mark.parametrize(("height", "width"), [(12, 64), (12, 61), (9, 64)])
def test_features_whose_corners_are_the_images_are_brought_in_register_with_it(height, width):
    network, image = Corners().eval(), red_ramp(height, width)
    features = network.over_image(network.coarse_logits(network._pad(image))[0], height, width)
    columns = features.shape[-1]
    assert columns in (16, 17)
    expected = 0.002 * ((torch.arange(columns) + 0.5) * width / columns - 0.5)
    torch.testing.assert_close(features[0, 0, 0, :-2], expected[:-2], atol=1e-5, rtol=0)


def test_without_padding_features_are_what_they_were():
    features = torch.rand(2, 3, 2, 4)
    assert Means().over_image(features, 8, 16) is features


def test_labels_are_filled_up_as_images_are_padded():
    network, label_map = Means(), torch.arange(30).view(1, 5, 6)
    padded = network.padded_labels(label_map)
    assert padded.shape == (1, 8, 8) and torch.equal(padded[:, :5, :6], label_map)
    assert (padded[:, 5:] == 255).all() and (padded[..., 6:] == 255).all()


def test_training_mode_answers_with_both_heads():
    output = Means().train()(red_ramp(10, 61))
    torch.testing.assert_close(output.main, -output.auxiliary[0])
    assert output.auxiliary[0].shape == (1, 1, 10, 61)


def test_statistics_of_imagenet_follow_the_network_but_are_not_saved():
    network = Means().to(torch.float64)
    assert network.image_mean.dtype == torch.float64
    assert not network.state_dict()


def test_other_statistics_are_taken_off_once_they_are_said():
    network = Means().eval()
    network.normalise_by((0.25, 0.5, 0.75), (0.5, 0.25, 1.0))
    image = torch.tensor([0.75, 0.75, 0.75]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    normalised = (image - network.image_mean) / network.image_std
    assert normalised[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
    for mean, std in (((0, 0), (1, 1, 1)), ((0, 0, 0), (1, 0, 1))):
        with pytest.raises(ValueError, match="expected three each, deviations above 0"):
            network.normalise_by(mean, std)


def test_a_network_that_does_not_say_how_is_refused():
    with pytest.raises(TypeError, match="coarse_logits"):
        Segmenter()


def test_every_entry_of_the_table_builds_a_segmenter():
    with torch.device("meta"):
        networks = [build(num_classes=3) for build in NETWORKS.values()]
    assert all(isinstance(network, Segmenter) for network in networks)
