"""Batch normalisation frozen or synced, and which networks can do with one image."""

import copy

import pytest
import torch
from torch import nn

from segment.networks.segmenter import refuse_single_image
from segment.normalisation import (
    SyncedBatchNorm2d,
    freeze_batch_norm,
    refusal_of_single_images,
    share_statistics,
    synced_batch_norm,
)
from tests.segment.together import Together


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


# --- synced: threads stand for processes ------------------------------------------------------------------------------


def learnt(norm, x, weights):
    """Output, gradients and state of a normalisation that trained on one batch; `weights` is the output's gradient."""
    x = x.detach().clone().requires_grad_()
    norm.train()
    output = norm(x)
    output.backward(weights)
    return output.detach(), x.grad, [parameter.grad for parameter in norm.parameters()], norm.state_dict()


@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}], ids=str
)
def test_synced_is_normalisation_of_the_whole_batch(options):
    """Parts of 1 and 3 images, far from zero, where careless sums lose their digits."""
    torch.manual_seed(0)
    x, weights = torch.randn(4, 3, 5, 4) * torch.tensor([0.1, 1, 10]).view(3, 1, 1) + 100, torch.randn(4, 3, 5, 4)
    plain = nn.BatchNorm2d(3, **options)
    for parameter in plain.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    together = Together(2)
    norms = [SyncedBatchNorm2d.like(copy.deepcopy(plain), together.sum) for _ in range(2)]
    sizes = [slice(0, 1), slice(1, 4)]
    parts = together.run(lambda part: learnt(*part), [(n, x[s], weights[s]) for n, s in zip(norms, sizes, strict=True)])
    output, gradient, of_parameters, state = learnt(plain.double(), x.double(), weights.double())
    close = {"rtol": 1e-3, "atol": 2e-3, "check_dtype": False}  # eps beside a variance of 0.01, fp32 beside 100
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), output, **close)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), gradient, **close)
    for index, expected in enumerate(of_parameters):
        torch.testing.assert_close(sum(part[2][index] for part in parts), expected, **close)
    for key, value in state.items():
        torch.testing.assert_close(parts[0][3][key], value, rtol=1e-4, atol=1e-5, check_dtype=False)
        assert torch.equal(parts[0][3][key], parts[1][3][key])
    assert together.sums == 4  # one forwards, one backwards


def test_the_gradient_of_synced_is_that_of_what_it_computes():
    torch.manual_seed(0)
    norm = SyncedBatchNorm2d.like(nn.BatchNorm2d(2).double(), lambda x: x)
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, norm.weight, norm.bias))


def test_by_hand_over_two_processes():
    """Values 1 and 5: mean 3, variance 4, unbiased 8; the running ones move a tenth of the way from 0 and 1."""
    together = Together(2)
    norms = [SyncedBatchNorm2d.like(nn.BatchNorm2d(1, eps=1e-12), together.sum) for _ in range(2)]
    outputs = together.run(
        lambda part: part[0](torch.full((1, 1, 1, 1), part[1])).item(), list(zip(norms, [1.0, 5.0], strict=True))
    )
    assert outputs == pytest.approx([-1, 1])
    assert [norm.running_mean.item() for norm in norms] == pytest.approx([0.3, 0.3])
    assert [norm.running_var.item() for norm in norms] == pytest.approx([1.7, 1.7])


def test_statistics_of_two_processes_are_shared_by_hand():
    """This one has means of 1 and variances of 2, the other 3 and 6; frozen and synced ones are left as they are."""
    network = nn.Sequential(*(nn.BatchNorm2d(2) for _ in range(2)), SyncedBatchNorm2d(2)).train()
    for norm in network:
        norm.running_mean.fill_(1)
        norm.running_var.fill_(2)
    network[1].eval()
    share_statistics(network, lambda own: own + torch.tensor([3.0, 3.0, 6.0, 6.0]), 2)
    assert [norm.running_mean.tolist() for norm in network] == [[2, 2], [1, 1], [1, 1]]
    assert [norm.running_var.tolist() for norm in network] == [[4, 4], [2, 2], [2, 2]]
    share_statistics(network, lambda own: 1 / 0, 1)
    share_statistics(network[1], lambda own: 1 / 0, 2)


def test_synced_measures_bf16_in_fp32_and_gives_back_bf16():
    norm = SyncedBatchNorm2d.like(nn.BatchNorm2d(2), lambda x: x)
    image = (torch.randn(2, 2, 8, 8) + 50).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    output = norm(image)
    output.float().square().sum().backward()
    assert output.dtype == image.grad.dtype == torch.bfloat16
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm.running_mean, 0.1 * image.detach().float().mean((0, 2, 3)))


def test_synced_is_pytorchs_own_where_the_batch_lies_on_no_cpu(monkeypatch):
    norm = synced_batch_norm(nn.BatchNorm2d(2), lambda x: pytest.fail("summed by ours"))
    seen = []
    monkeypatch.setattr(nn.SyncBatchNorm, "forward", lambda self, x: seen.append(x.device.type) or x)
    norm(torch.zeros(1, 2, 4, 4, device="meta"))
    assert isinstance(norm, nn.SyncBatchNorm) and norm.process_group is None and seen == ["meta"]


def test_synced_is_plain_in_evaluation():
    torch.manual_seed(0)
    plain, image = nn.BatchNorm2d(2), torch.rand(1, 2, 4, 4)
    plain(torch.rand(3, 2, 4, 4))
    expected = plain.eval()(image)
    synced = SyncedBatchNorm2d.like(plain, lambda x: pytest.fail("evaluation gathers nothing"))
    assert torch.equal(synced(image), expected)


def test_synced_keeps_weights_keys_and_names():
    plain = network(pooled=True)
    shared = plain[1]
    plain.append(shared)  # one layer in two places
    before = plain.state_dict(keep_vars=True)
    synced = synced_batch_norm(plain, lambda x: x)
    after = synced.state_dict(keep_vars=True)
    assert list(after) == list(before) and all(after[key] is before[key] for key in before)
    assert isinstance(synced[1], SyncedBatchNorm2d) and synced[1] is synced[-1]
    assert isinstance(synced_batch_norm(nn.BatchNorm2d(2), lambda x: x), SyncedBatchNorm2d)
    assert copy.deepcopy(synced).eval()(torch.rand(1, 3, 4, 4)).shape == (1, 4, 1, 1)


def test_one_value_in_all_processes_together_is_refused():
    norm = SyncedBatchNorm2d.like(nn.BatchNorm2d(2), lambda x: x)
    with pytest.raises(ValueError, match="more than 1 value per channel when training, in all processes"):
        norm(torch.rand(1, 2, 1, 1))


def test_synced_lets_single_images_pass_that_plain_refuses():
    plain = nn.BatchNorm2d(2)
    with pytest.raises(ValueError, match="BatchNorm2d cannot train on a batch of 1"):
        refuse_single_image(plain, torch.rand(1, 3, 4, 4), plain)
    synced = SyncedBatchNorm2d.like(plain, lambda x: 2 * x)
    refuse_single_image(synced, torch.rand(1, 3, 4, 4), synced)
    assert synced(torch.rand(1, 2, 1, 1)).isfinite().all()


# --- which networks can do with one image ----------------------------------------------------------------------------


def test_a_pooled_map_is_too_small_for_the_statistics_of_one_image():
    assert refusal_of_single_images(lambda: network(), 8, 8) is None
    assert "more than 1 value per channel" in refusal_of_single_images(lambda: network(pooled=True), 8, 8)


def test_other_troubles_are_not_taken_for_a_refusal():
    with pytest.raises(RuntimeError):
        refusal_of_single_images(lambda: nn.Conv2d(4, 4, 3), 8, 8)
