"""The norms by name: what each keeps, and which convolution keeps its bias."""

import pytest
import torch

from translate.networks.normalisation import has_bias, normalisation


def test_instance_by_hand():
    image = torch.tensor([[[[1.0, 3.0]]], [[[10.0, 30.0]]]])
    # Each image by itself: mean 2, deviation 1; mean 20, deviation 10.
    expected = torch.tensor([[[[-1.0, 1.0]]], [[[-1.0, 1.0]]]])
    torch.testing.assert_close(normalisation("instance", 1)(image), expected, atol=1e-5, rtol=0)


def test_batch_by_hand():
    image = torch.tensor([[[[1.0, 1.0]]], [[[3.0, 3.0]]]])
    # Over both images: mean 2, deviation 1.
    expected = torch.tensor([[[[-1.0, -1.0]]], [[[1.0, 1.0]]]])
    torch.testing.assert_close(normalisation("batch", 1)(image), expected, atol=1e-5, rtol=0)


def test_only_batch_norm_has_anything_to_store():
    assert len(normalisation("instance", 2).state_dict()) == 0
    assert len(normalisation("batch", 2).state_dict()) == 5


def test_batch_norm_replaces_the_bias():
    assert has_bias("instance") and not has_bias("batch")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no norm 'group'; the valid ones are instance, batch"):
        normalisation("group", 2)
