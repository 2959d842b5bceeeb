"""A published generator translates as it is: one way or both, of any architecture that is published, never trained."""

import pytest
import torch

from translate.methods.batches import UnpairedBatch
from translate.methods.published import Published


def batch():
    return UnpairedBatch(torch.rand(1, 3, 20, 24), torch.rand(1, 3, 20, 24))


def test_both_ways_are_shown():
    torch.manual_seed(0)
    method = Published(
        generator="resnet6", generator_channels=2, directions=("source_to_target", "target_to_source")
    ).eval()
    images = batch()
    shown = method.preview(images)
    assert list(shown) == ["source", "fake_target", "target", "fake_source"]
    assert torch.equal(shown["fake_source"], method.translate(images.target, "target_to_source"))


def test_pix2pixhds_generator_of_images_takes_any_size():
    """Mirrored to what its halvings divide, and cropped back."""
    torch.manual_seed(0)
    method = Published(generator="global", halvings=3, blocks=1, generator_channels=2).eval()
    assert method.source_to_target.side_multiple == 8
    assert method.translate(torch.rand(1, 3, 21, 37)).shape == (1, 3, 21, 37)


def test_a_frames_own_statistics_keep_images_apart():
    torch.manual_seed(0)
    method = Published(generator="resnet6", generator_channels=2, norm="frame").eval()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(method.translate(images)[1:], method.translate(images[1:]))


def test_it_is_not_trained():
    method = Published(generator="resnet6", generator_channels=2)
    assert method.optimizers() == {}
    with pytest.raises(ValueError, match="cannot be trained: train cyclegan or cut"):
        method.step(batch(), None)
    with pytest.raises(ValueError, match="directions is empty"):
        Published(generator="resnet6", directions=())
