"""CBST: what every method must do, and that unsure pixels cost nothing."""

import pytest
import torch

from segment.batches import AdaptationBatch, LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.methods.cbst import CBST, CBSTSettings
from tests.method_tester import PerformedUpdate, changed, snapshot
from tests.segment.methods.adapting import TRAINING, assert_parts_pull_as_the_whole, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def cbst(training=TRAINING, **settings):
    torch.manual_seed(0)
    return CBST(TinySegmenter(), training, CBSTSettings(**settings))


def with_pseudo_labels(label=None):
    """Pseudo-labels as the source's labels, mirrored as its images are; every second row is not sure."""
    batch = two_domains()
    pseudo_label = batch.source.label_map.flip(0).clone()
    pseudo_label[:, ::2] = IGNORE_INDEX
    if label is not None:
        pseudo_label[:] = label
    return AdaptationBatch(batch.source, batch.target, pseudo_label=pseudo_label)


class TestCBST(SegmenterTrainingTester):
    name = "cbst"

    def method(self):
        return cbst()

    def batch(self):
        return with_pseudo_labels()

    def test_both_labels_move_the_network_together(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "pseudo"}


def test_the_pseudo_loss_by_hand():
    """Logits of zero over three classes: log 3 for each sure pixel, the mean over these, times 2."""
    method = cbst(pseudo_weight=2.0).train()
    for parameter in method.network.main.parameters():
        torch.nn.init.zeros_(parameter)
    target = LabelledBatch(torch.rand(1, 3, 8, 8), torch.full((1, 8, 8), IGNORE_INDEX))
    assert method.pseudo_losses(target)["pseudo"].item() == 0
    target.label_map[0, 0, 0] = 1
    torch.testing.assert_close(method.pseudo_losses(target)["pseudo"], torch.tensor(2 * 1.0986123))


def test_labels_that_the_network_doubts_are_not_learnt_most():
    """Biases of 2, 0 and 0: class 0 costs ln(1 + 2 / e^2) = 0.2395, class 1 two more; hard pixels alone, 2.2395."""
    method = cbst().train()
    for parameter in method.network.main.parameters():
        torch.nn.init.zeros_(parameter)
    method.network.main.bias.data[0] = 2.0
    target = LabelledBatch(torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64))
    target.label_map[:, :4] = 1
    torch.testing.assert_close(method.pseudo_losses(target)["pseudo"].item(), 1.2395, atol=1e-4, rtol=0)


def test_the_log_tells_the_sure_share_and_the_classes():
    method = cbst().train()
    learnt = method.step(with_pseudo_labels(), PerformedUpdate(method))
    assert learnt["pseudo_weight"].item() == 0.5
    assert sum(learnt[f"pseudo_share/{k}"].item() for k in range(3)) == pytest.approx(1)


def test_nothing_sure_is_learning_from_the_source_alone():
    methods = [cbst().train(), cbst(pseudo_weight=9.0).train()]
    for method in methods:
        method.step(with_pseudo_labels(IGNORE_INDEX), PerformedUpdate(method))
    assert not changed(snapshot(methods[0]), methods[1])


def test_a_batch_without_pseudo_labels_is_refused():
    method = cbst().train()
    with pytest.raises(ValueError, match="holds no pseudo-labels"):
        method.step(two_domains(), PerformedUpdate(method))


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    """With as many sure pixels in each frame: the loss is a mean over these."""
    assert_parts_pull_as_the_whole(cbst, with_pseudo_labels())
