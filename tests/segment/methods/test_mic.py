"""MIC: what every method must do, and that what is hidden is hidden from the student alone."""

import torch

from segment.methods.mic import MIC, MICSettings
from segment.peers import ALONE
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import TRAINING, assert_processes_pull_as_one, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def mic(training=TRAINING, peers=ALONE, **settings):
    torch.manual_seed(0)
    settings = MICSettings(**{"threshold": 0.4, "start_step": 0, "block": 8} | settings)
    return MIC(TinySegmenter(), training, settings, peers=peers)


class TestMIC(SegmenterTrainingTester):
    name = "mic"

    def method(self):
        return mic()

    def batch(self):
        return two_domains()

    def test_source_mixture_and_masked_target_move_the_network_together(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "mixed", "masked"}


def seen_by(network):
    """The images that a network is given from now on."""
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    return seen


def test_the_student_sees_the_mean_colour_where_the_teacher_sees_all():
    """Of a frame's 16 blocks all are hidden but one."""
    method = mic(hidden=1.0, colour_jitter=0.0, blur=0.0).train()
    student, teacher = seen_by(method.network), seen_by(method.teacher.network)
    batch = two_domains()
    method.step(batch, PerformedUpdate(method))
    assert torch.equal(teacher[0], batch.target)
    masked = student[-1]
    mean = method.network.image_mean.expand_as(masked)
    hidden = (masked == mean).all(dim=1)
    assert hidden.sum((1, 2)).tolist() == [15 * 8 * 8] * 2
    assert torch.equal(masked, torch.where(hidden[:, None], mean, batch.target))


def test_the_masked_loss_by_hand():
    """Logits of zero over three classes cost log 3 a pixel, half of which are believed: 2 x log 3 / 2."""
    method = mic(masked_weight=2.0).train()
    for parameter in method.network.main.parameters():
        torch.nn.init.zeros_(parameter)
    weight = torch.zeros(1, 8, 8)
    weight[:, :4] = 1.0
    losses = method.masked_losses(torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64), weight)
    torch.testing.assert_close(losses["masked"], torch.tensor(1.0986123))


def test_processes_have_the_gradients_of_one():
    """Mixed and masked."""
    assert_processes_pull_as_one(lambda training, peers: mic(training, peers=peers), two_domains())
