"""Batch normalisation frozen or synced, and which networks can do with one image."""

import pytest
import torch
from torch import nn

from segment.normalisation import freeze_batch_norm, refusal_of_single_images, synced_batch_norm


def network(pooled=False):
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4)] if pooled else []))


def test_what_is_frozen_learns_and_measures_nothing():
    frozen = network().train()
    freeze_batch_norm(frozen)
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    frozen(torch.rand(1, 3, 4, 4)).sum().backward()
    assert frozen[0].weight.grad is not None and frozen[1].weight.grad is None
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())


def test_synced_keeps_keys_and_results_in_one_process():
    torch.manual_seed(0)
    plain, image = network().train(), torch.rand(2, 3, 4, 4)
    expected, keys = plain(image), list(plain.state_dict())
    synced = synced_batch_norm(plain)
    assert isinstance(synced[1], nn.SyncBatchNorm) and list(synced.state_dict()) == keys
    torch.testing.assert_close(synced(image), expected)


def test_a_pooled_map_is_too_small_for_the_statistics_of_one_image():
    assert refusal_of_single_images(lambda: network(), 8, 8) is None
    assert "more than 1 value per channel" in refusal_of_single_images(lambda: network(pooled=True), 8, 8)


def test_other_troubles_are_not_taken_for_a_refusal():
    with pytest.raises(RuntimeError):
        refusal_of_single_images(lambda: nn.Conv2d(4, 4, 3), 8, 8)
