"""DACS: what every method must do, the teacher, the mixture."""

import torch

from segment.methods.dacs import DACS, DACSSettings
from segment.peers import ALONE
from tests.method_tester import PerformedUpdate, changed, snapshot
from tests.segment.methods.adapting import TRAINING, assert_processes_pull_as_one, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def dacs(training=TRAINING, peers=ALONE, **settings):
    torch.manual_seed(0)
    settings = DACSSettings(**{"threshold": 0.4, "start_step": 0} | settings)
    return DACS(TinySegmenter(), training, settings, peers=peers)


class TestDACS(SegmenterTrainingTester):
    name = "dacs"

    def method(self):
        return dacs()

    def batch(self):
        return two_domains()

    def test_the_teacher_follows_and_learns_nothing_itself(self, small):
        before = small.teacher.network.main.weight.clone()
        small.step(self.batch(), PerformedUpdate(small))
        # At the first update the decay is 1/10.
        expected = 0.1 * before + 0.9 * small.network.main.weight
        torch.testing.assert_close(small.teacher.network.main.weight, expected.detach())
        assert not any(parameter.requires_grad for parameter in small.teacher.parameters())

    def test_the_teachers_batch_statistics_follow_too(self, small):
        """In the authors' code they never do, and the teacher labels by statistics of nobody."""
        before = small.teacher.network.features[1].running_mean.clone()
        small.step(self.batch(), PerformedUpdate(small))
        assert not torch.equal(before, small.teacher.network.features[1].running_mean)

    def test_source_and_mixture_move_the_network_together(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "mixed"}


class TestLater(TestDACS):
    """Before its first step of mixing it is supervised training."""

    def method(self):
        return dacs(start_step=1, healthy_loss=0.0)

    def test_source_and_mixture_move_the_network_together(self, small):
        keys = []
        for _ in range(2):
            update = PerformedUpdate(small)
            small.step(self.batch(), update)
            keys.append(set(update.calls[0][1]))
        assert keys == [{"main", "auxiliary"}, {"main", "auxiliary", "mixed"}]


def test_without_trust_the_pasted_source_alone_is_learnt():
    """A threshold that nothing reaches: pseudo-labels weigh 0, and other ones would give the same weights."""
    methods = [dacs(threshold=1.0).train() for _ in range(2)]
    methods[1].pseudo_labels = lambda target: (
        torch.ones(len(target), *target.shape[-2:], dtype=torch.int64), torch.zeros(len(target), *target.shape[-2:])
    )  # fmt: skip
    for method in methods:
        torch.manual_seed(3)
        method.step(two_domains(), PerformedUpdate(method))
    assert not changed(snapshot(methods[0]), methods[1])


def test_processes_have_the_gradients_of_one():
    """Each frame's pseudo-labels weigh by its own share of sure pixels."""
    assert_processes_pull_as_one(lambda training, peers: dacs(training, peers=peers), two_domains())
