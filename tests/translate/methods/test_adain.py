"""AdaIN: what learns, its two terms by hand, the target's style remembered, one direction."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from segment.peers import Peers
from tests.method_tester import LookOnly, PerformedUpdate, WatchedUpdate, changed, snapshot
from tests.translate.methods.translator_tester import TranslatorTester, networks_pulled
from translate.channel_statistics import channel_statistics
from translate.methods import METHODS
from translate.methods.adain import AdaIN, AdaINSettings
from translate.methods.batches import UnpairedBatch
from translate.networks.features.style_encoders import StyleEncoder
from translate.value_range import to_signed


def tiny(**settings):
    torch.manual_seed(0)
    return AdaIN(AdaINSettings(**{"steps": 10, "encoder": "efficientnet_lite0", "generator_channels": 2} | settings))


def batch(size=(32, 40), images=1):
    source, target = torch.rand(2, images, 3, *size, generator=torch.Generator().manual_seed(0))
    return UnpairedBatch(source=source, target=target)


class TestAdaIN(TranslatorTester):
    def method(self):
        return tiny()

    def batch(self):
        return batch()


class TestAdaINWithSkipConnectionsAveraged(TranslatorTester):
    def method(self):
        return tiny(skip_connections=True, ema_decay=0.9)

    def batch(self):
        return batch()


class TestAdaINByVGG(TranslatorTester):
    def method(self):
        return tiny(encoder="vgg19")

    def batch(self):
        return batch((16, 24))


def test_is_found_by_name():
    assert METHODS["adain"] is AdaIN


def test_both_terms_pull_at_the_decoder():
    assert networks_pulled(tiny(), batch()) == {"content": {"source_to_target"}, "style": {"source_to_target"}}


def test_only_the_decoder_learns_and_only_the_style_is_remembered():
    method = tiny()
    before, update = snapshot(method), WatchedUpdate(method)
    method.step(batch(), update)
    (learnt,) = update.changes.values()
    assert learnt and all(name.startswith("source_to_target.decoder.") for name in learnt)
    assert changed(before, method) - learnt == {"source_to_target.style", "source_to_target.remembered"}


class Identity(nn.Module):
    """Stands in for the encoder and sees the image itself, at full resolution."""

    def forward(self, image):
        return [image]


class Grey(nn.Module):
    """Stands in for the decoder: the same value everywhere."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, features):
        return self.value.expand_as(features[0])


def test_terms_by_hand():
    """Source -0.5 and 0.5, of deviation 0.5; target 0.2 and 0.6, of mean 0.4 and deviation 0.2, in [-1, 1].

    The source in the target's style is 0.2 and 0.6. Of a grey image of 0.4: content 0.2^2; style (0.4 - 0.4)^2 and
    (0 - 0.2)^2 for its deviation, ten times.
    """
    encoder = StyleEncoder(Identity(), (3,), (0,), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    method = AdaIN(AdaINSettings(steps=10, generator_channels=1), encoder)
    method.source_to_target.decoder = Grey(0.4)
    source, target = (torch.tensor(values).view(1, 1, 1, 2).expand(1, 3, 1, 2) for values in ([0.25, 0.75], [0.6, 0.8]))
    losses = method.step(UnpairedBatch(source=source, target=target), LookOnly(method))
    assert losses["content"].item() == pytest.approx(0.04, rel=1e-3)
    assert losses["style"].item() == pytest.approx(10 * (0.2 - 1e-5**0.5) ** 2, rel=1e-2)
    heavier = AdaIN(replace(method.settings, style_weight=1.0, content_weight=3.0), encoder)
    heavier.source_to_target.decoder = Grey(0.4)
    weighed = heavier.step(UnpairedBatch(source=source, target=target), LookOnly(heavier))
    assert weighed["content"].item() == pytest.approx(3 * losses["content"].item())
    assert weighed["style"].item() == pytest.approx(losses["style"].item() / 10)
    style = method.source_to_target.style[:, 0].tolist()
    assert style == pytest.approx([0.4, 0.2], rel=1e-3), "mean and deviation of the only target image so far"


def test_frames_are_translated_into_the_mean_style_of_the_target():
    """Of two targets in two steps; what it was given as source does not count."""
    method, given = tiny(), [batch(), replace(batch(), target=batch().source)]
    for one in given:
        method.step(one, LookOnly(method))
    encoder = method.source_to_target.encoder
    with torch.no_grad():
        mean, deviation = channel_statistics(encoder(to_signed(torch.cat([one.target for one in given])))[-1])
    torch.testing.assert_close(method.source_to_target.style, torch.stack([mean.mean(0), deviation.mean(0)]))


def test_several_processes_remember_what_one_does():
    """Two processes with an image each, and one with both: what `sum` gives is played from what the other has."""
    whole, both = tiny(), batch(images=2)
    whole.step(both, LookOnly(whole))
    styles = []
    for rank in (0, 1):
        alone = tiny()
        alone.step(UnpairedBatch(both.source[rank : rank + 1], both.target[rank : rank + 1]), LookOnly(alone))
        styles.append(alone.source_to_target.style)
    together = tiny()
    other = torch.cat([torch.zeros_like(styles[0])[None], styles[1][None]])
    answers = iter([torch.tensor([1, 1]), None])

    def add(tensor):
        known = next(answers)
        return known if known is not None else tensor + other

    together.join(Peers(rank=0, world_size=2, sum=add))
    together.step(UnpairedBatch(both.source[:1], both.target[:1]), LookOnly(together))
    torch.testing.assert_close(together.source_to_target.style, whole.source_to_target.style, atol=1e-5, rtol=1e-4)
    assert together.source_to_target.remembered == 2


def test_a_warm_start_takes_the_decoder_and_not_the_other_targets_style():
    """...nor the other's encoder: the settings may name weights of their own."""
    trained, fresh = tiny(), tiny()
    trained.step(batch(), PerformedUpdate(trained))
    nn.init.zeros_(next(trained.source_to_target.encoder.parameters()))
    before, learnt = snapshot(fresh), snapshot(trained)
    fresh.start_from(learnt)
    assert all(key.startswith("source_to_target.decoder.") for key in changed(before, fresh))
    assert all(torch.equal(value, learnt[key]) for key, value in snapshot(fresh).items() if ".decoder." in key)
    assert fresh.source_to_target.remembered == 0 and not torch.equal(
        fresh.source_to_target.style, trained.source_to_target.style
    )


def test_half_precision():
    method = tiny(skip_connections=True)
    with torch.autocast("cpu", torch.bfloat16):
        losses = method.step(batch(), PerformedUpdate(method))
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


def test_it_learns():
    method = tiny(learning_rate=5e-3, skip_connections=True, generator_channels=4)
    history = [method.step(batch(), PerformedUpdate(method)) for _ in range(40)]
    first, last = (sum(losses.values()) for losses in (history[0], history[-1]))
    assert last < 0.8 * first


def test_crops_must_suit_the_encoders():
    with pytest.raises(ValueError, match="crop is 64x36; AdaIN's encoders take multiples of 8"):
        AdaINSettings().check_crop(64, 36)
