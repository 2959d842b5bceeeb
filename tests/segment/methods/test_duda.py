"""DUDA: what every method must do; who learns, who follows, and who is kept."""

import pytest
import torch

from segment.inference import Ensemble
from segment.methods.duda import DUDA, DUDASettings
from segment.peers import ALONE
from tests.method_tester import PerformedUpdate, WatchedUpdate, snapshot
from tests.segment.methods.adapting import TRAINING, assert_processes_pull_as_one, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def duda(training=TRAINING, peers=ALONE, **settings):
    torch.manual_seed(5)
    large = TinySegmenter().eval()
    torch.manual_seed(0)
    settings = DUDASettings(**{"threshold": 0.4, "start_step": 0} | settings)
    return DUDA(TinySegmenter(), training, settings, teacher=large, peers=peers)


class TestDUDA(SegmenterTrainingTester):
    name = "duda"

    def method(self):
        return duda()

    def batch(self):
        return two_domains()

    def test_both_students_learn_in_one_step(self, small):
        update = WatchedUpdate(small)
        small.step(self.batch(), update)
        assert update.networks() == {("network", "large"): {"network", "large"}}

    def test_the_teacher_follows_the_large_student(self, small):
        before = small.teacher.network.main.weight.clone()
        small.step(self.batch(), PerformedUpdate(small))
        expected = 0.1 * before + 0.9 * small.large.main.weight
        torch.testing.assert_close(small.teacher.network.main.weight, expected.detach())

    def test_the_small_networks_pull_does_not_reach_the_large_one(self):
        """Other weights of its imitation change the small network alone."""
        methods = [duda(imitation_weight=weight).train() for weight in (0.0, 5.0)]
        for method in methods:
            torch.manual_seed(1)
            method.step(self.batch(), PerformedUpdate(method))
        first, second = map(snapshot, methods)
        differing = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
        assert differing == {"network"}


def test_what_the_large_network_does_not_train_stays_so():
    large = TinySegmenter()
    large.main.bias.requires_grad_(False)
    method = DUDA(TinySegmenter(), TRAINING, DUDASettings(threshold=0.4), teacher=large).train()
    before = large.main.bias.clone()
    method.step(two_domains(), PerformedUpdate(method))
    assert torch.equal(method.large.main.bias, before) and not method.large.main.bias.requires_grad


def test_before_self_training_both_learn_the_source():
    method = duda(start_step=10, healthy_loss=0.0).train()
    update = PerformedUpdate(method)
    method.step(two_domains(), update)
    assert update.calls[0][1].keys() == {"main", "auxiliary", "large_main", "large_auxiliary"}


def test_a_mean_of_networks_cannot_learn_as_one():
    with pytest.raises(ValueError, match="name a single checkpoint in teachers"):
        DUDA(TinySegmenter(), TRAINING, DUDASettings(), teacher=Ensemble([TinySegmenter(), TinySegmenter()]))


def test_processes_have_the_gradients_of_one():
    """Of both students."""
    assert_processes_pull_as_one(lambda training, peers: duda(training, peers=peers), two_domains())
