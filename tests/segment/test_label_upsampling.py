"""The label map without upsampled logits is the label map of upsampled logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segment import label_upsampling
from segment.inference import predict
from segment.label_upsampling import Resizing, highest, labels_of, upsampled_logits


def blobs(batch=1, classes=5, height=16, width=24, seed=0):
    """Logits with few borders, as of streets."""
    torch.manual_seed(seed)
    return F.interpolate(torch.randn(batch, classes, 4, 5), (height, width), mode="bicubic")


def assert_same(logits, resizing):
    expected = upsampled_logits(logits, resizing).max(dim=1).indices
    actual = labels_of(logits, resizing)
    assert actual.dtype == torch.uint8 and actual.shape == expected.shape
    assert (actual != expected).float().mean() < 1e-4


def test_by_hand():
    """Two pixels of two classes, four times as wide: weights 1, 1, 7/8, 5/8, 3/8, 1/8, 0, 0 of the first."""
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.4]]).view(1, 2, 1, 2)  # class 0 where 1 w > 1.4 (1 - w), w > 7/12
    labels = labels_of(logits, Resizing((4, 8), (4, 8), (4, 8)))
    assert labels.tolist() == [[[0, 0, 0, 0, 1, 1, 1, 1]] * 4]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((128, 192), (128, 192)),
        ((123, 185), (123, 185)),
        ((128, 192), (256, 384)),
        ((123, 185), (90, 140)),
        ((128, 192), (8, 12)),
        ((1, 1), (1, 1)),
    ],
)
def test_sizes_and_corner_conventions(image, size, align_corners):
    assert_same(blobs(2), Resizing((128, 192), image, size, align_corners))


@pytest.mark.parametrize("padded", [(16, 24), (24, 40), (100, 50)])
def test_scales(padded):
    assert_same(blobs(), Resizing(padded, padded, padded))


def test_noise_is_upsampled_whole(monkeypatch):
    logits = torch.randn(1, 5, 16, 24)
    monkeypatch.setattr(label_upsampling, "_fill", None)
    assert_same(logits, Resizing((128, 192), (128, 192), (128, 192)))


def test_only_borders_are_upsampled(monkeypatch):
    monkeypatch.setattr(label_upsampling, "upsampled_logits", None)
    labels = labels_of(blobs(), Resizing((128, 192), (128, 192), (128, 192)))
    assert labels.shape == (1, 128, 192) and len(labels.unique()) > 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_compared_in_float32(dtype):
    logits, resizing = blobs().to(dtype), Resizing((128, 192), (128, 192), (128, 192))
    assert torch.equal(labels_of(logits, resizing), labels_of(logits.float(), resizing))


@pytest.mark.parametrize("classes", [1, 2, 19, 256])
def test_the_highest_class_is_that_of_max(classes):
    logits = torch.randn(2, classes, 6, 7).round(decimals=1)  # with ties
    assert torch.equal(highest(logits), logits.max(dim=1).indices.to(torch.uint8))


def test_of_equal_classes_the_first_counts():
    assert highest(torch.tensor([[1.0, 3.0, 3.0], [-2.0, -2.0, -2.0]])).tolist() == [1, 0]


def test_as_predict_does():
    """Two steps of interpolation, first to the image, then to the labels."""

    class Coarse(nn.Module):
        def forward(self, image):
            return F.interpolate(blobs(), image.shape[-2:], mode="bilinear")

    expected = predict(Coarse().eval(), torch.rand(1, 3, 128, 192), (200, 333))
    actual = labels_of(blobs(), Resizing((128, 192), (128, 192), (200, 333)))
    assert (actual == expected).float().mean() > 0.9999
