"""Distillation: what every method must do, a teacher that stays as it is, and the losses by hand."""

import pytest
import torch

from segment.inference import Ensemble
from segment.methods.distillation import Distillation, DistillationSettings
from segment.peers import ALONE
from tests.method_tester import PerformedUpdate, snapshot
from tests.segment.methods.adapting import TRAINING, assert_processes_pull_as_one, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def teacher():
    torch.manual_seed(5)
    return TinySegmenter().eval()


def distillation(taught_by=None, training=TRAINING, peers=ALONE, **settings):
    taught_by = taught_by or teacher()
    torch.manual_seed(0)
    settings = DistillationSettings(**{"threshold": 0.4} | settings)
    return Distillation(TinySegmenter(), training, settings, teacher=taught_by, peers=peers)


class TestDistillation(SegmenterTrainingTester):
    name = "distillation"

    def method(self):
        return distillation()

    def batch(self):
        return two_domains()

    def test_source_imitation_and_mixture_move_the_network_together(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "imitation", "mixed"}

    def test_the_teacher_stays_as_it_is_and_belongs_to_no_checkpoint(self):
        taught_by = teacher()
        before = snapshot(taught_by)
        method = distillation(taught_by).train()
        method.step(self.batch(), PerformedUpdate(method))
        assert not taught_by.training and all(torch.equal(before[k], v) for k, v in taught_by.state_dict().items())
        assert not any("teacher" in name for name in method.state_dict())


class TestDistillationFromAnEnsemble(TestDistillation):
    def method(self):
        return distillation(Ensemble([teacher(), teacher()], (0.7, 0.3)))


@pytest.mark.parametrize(
    ("settings", "terms"),
    [({"imitation_weight": 0.0}, {"mixed"}), ({"mixed_weight": 0.0}, {"imitation"})],
)
def test_a_weight_of_zero_leaves_a_term_out(settings, terms):
    method = distillation(**settings).train()
    update = PerformedUpdate(method)
    method.step(two_domains(), update)
    assert update.calls[0][1].keys() == {"main", "auxiliary"} | terms


def test_nothing_to_learn_from_the_teacher_is_refused():
    with pytest.raises(ValueError, match="set imitation_weight or mixed_weight above 0"):
        DistillationSettings(imitation_weight=0.0, mixed_weight=0.0)


def test_who_agrees_with_the_teacher_pays_nothing_for_it():
    method = distillation().eval()
    method.network.train()
    method.network.features[1].eval()
    image = torch.rand(1, 3, 8, 8)
    said = method.network(image).main.detach()
    assert method.imitation_losses(image, said)["imitation"].item() == pytest.approx(0, abs=1e-6)


def test_the_network_comes_nearer_to_its_teacher():
    """Fifty steps with nothing but imitation: the divergence falls to less than half."""
    method = distillation(mixed_weight=0.0).train()
    method.supervised_losses = lambda output, label_map: {"main": 0.0 * output.main.sum()}
    found = [method.step(two_domains(), PerformedUpdate(method))["imitation"].item() for _ in range(50)]
    assert found[-1] < 0.5 * found[0]


def test_processes_have_the_gradients_of_one():
    """Imitation is a mean over pixels, and so is the loss on mixed frames."""
    assert_processes_pull_as_one(lambda training, peers: distillation(training=training, peers=peers), two_domains())
