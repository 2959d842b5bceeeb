"""What the methods of stage one share: Adam as published, a warm start, and memories filled with other processes."""

import pytest
import torch
from torch import nn

from segment.peers import Peers
from translate.image_pool import ImagePool
from translate.methods.cyclegan import CycleGAN, CycleGANSettings
from translate.methods.translator_training import TranslatorTrainingSettings, adam


def cyclegan(**settings):
    small = {"generator": "resnet6", "generator_channels": 1, "discriminator_channels": 1, "pool_size": 2}
    return CycleGAN(CycleGANSettings(**small | settings))


def test_one_step_of_adam_by_hand():
    """The first step is of the learning rate's length, against the gradient; the second moment forgets slowly.

    Gradient 2, then 1: first moment 0.5 * 0.5 * 2 + 0.5 * 1 = 1, corrected by 1 - 0.5^2 to 4/3; second moment
    0.999 * 0.001 * 4 + 0.001 * 1 = 0.004996, corrected by 1 - 0.999^2 to 2.49925; step 4/3 / sqrt(2.49925) = 0.8434.
    """
    weight = nn.Parameter(torch.tensor([5.0]))
    optimizer = adam([weight], learning_rate=0.1)
    for gradient, expected in ((2.0, 4.9), (1.0, 4.9 - 0.08434)):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        assert weight.item() == pytest.approx(expected, abs=1e-5)


def test_the_rate_falls_in_the_last_part():
    """100 steps, of which the last 20 fall in 21 equal parts: the tenth of them has 11 of these left."""
    method = cyclegan(steps=100, decay_fraction=0.2)
    found = [method.learning_rate_scale(step) for step in (0, 79, 89, 99)]
    assert found == pytest.approx([1, 1, 11 / 21, 1 / 21])


def test_memories_of_all_depths_are_filled_with_the_others():
    method, peers = cyclegan(), Peers(1, 2)
    method.join(peers)
    pools = [module for module in method.modules() if isinstance(module, ImagePool)]
    assert len(pools) == 2 and all(pool.peers is peers for pool in pools)


def test_a_warm_start_names_the_network_that_does_not_fit():
    other = cyclegan(generator_channels=2).state_dict()
    with pytest.raises(
        ValueError, match=r"^source_to_target cannot start from these weights: .* size mismatch"
    ) as refused:
        cyclegan().start_from(other)
    assert "\n" not in str(refused.value)


def test_a_start_without_a_discriminator_is_told_and_one_without_a_generator_refused():
    learnt, fresh = cyclegan(), cyclegan()
    state = learnt.state_dict()

    def without(name):
        return {key: value for key, value in state.items() if not key.startswith(f"{name}.")}

    assert fresh.start_from(state) == ()
    assert fresh.start_from(without("source_discriminator")) == ("source_discriminator",)
    with pytest.raises(ValueError, match="target_to_source cannot start from these weights"):
        fresh.start_from(without("target_to_source"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"decay_fraction": 1.5}, "decay_fraction is 1.5; it must be at most 1"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; it must be below 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TranslatorTrainingSettings(**settings)
