"""Supervised training: what every method must do, with and without an average or frozen parts, and that it learns."""

import torch

from segment.batches import LabelledBatch
from segment.classes import IGNORE_INDEX
from tests.method_tester import PerformedUpdate
from tests.segment.methods.supervising import bright_and_dark, supervised
from tests.segment.methods.tester import SegmenterTrainingTester


class TestSupervised(SegmenterTrainingTester):
    """Plain: no moving average."""

    name = "supervised"

    def method(self):
        return supervised(warmup_steps=2)

    def batch(self):
        return bright_and_dark()


class TestSupervisedWithAverage(TestSupervised):
    """With AdamW and a moving average, whose state must survive a resume."""

    def method(self):
        return supervised(optimizer="adamw", learning_rate=0.01, ema_decay=0.9, loss="cross_entropy")

    def test_the_average_is_evaluated_and_follows_the_network(self, small):
        before = small.evaluated_network().main.weight.clone()
        small.step(self.batch(), PerformedUpdate(small))
        # At the first update the decay is 1/10.
        expected = 0.1 * before + 0.9 * small.network.main.weight
        torch.testing.assert_close(small.evaluated_network().main.weight, expected.detach())
        assert small.evaluated_network() is not small.network


class TestSupervisedFrozen(TestSupervised):
    """Batch normalisation frozen, classes weighted, a cosine schedule, and an augmentation."""

    def method(self):
        return supervised(
            batch_norm="frozen",
            loss="boundary+dice",
            class_weights=torch.tensor([1.0, 2.0, 0.5]),
            schedule="cosine",
            warmup_steps=2,
            augmentation=darkened,
        )

    def test_normalisation_stays_as_it_came(self, small):
        norm = small.network.features[1]
        small.step(self.batch(), PerformedUpdate(small))
        assert not norm.training and not norm.weight.requires_grad
        assert norm.num_batches_tracked == 0 and torch.equal(norm.running_mean, torch.zeros(8))

    def test_one_image_is_enough(self, small):
        batch = self.batch()
        log = small.step(LabelledBatch(batch.image[:1], batch.label_map[:1]), PerformedUpdate(small))
        assert all(value.isfinite() for value in log.values())

    def test_the_batch_is_learnt_from_and_shown_as_augmented(self, small):
        torch.testing.assert_close(small.preview(self.batch())["image"], self.batch().image / 2)

    def test_weights_of_classes_are_no_part_of_the_state(self, small):
        """They follow from settings and frames; a reader of the checkpoint, who has no frames, needs none."""
        assert not [key for key in small.state_dict() if "class_weights" in key]
        supervised().load_state_dict(small.state_dict())
        assert small.to("meta").class_weights.device.type == "meta"


def darkened(batch):
    """An augmentation without chance."""
    return LabelledBatch(batch.image / 2, batch.label_map)


def test_it_learns_to_tell_bright_from_dark():
    torch.manual_seed(0)
    method, batch = supervised(steps=40).train(), bright_and_dark()
    logs = [method.step(batch, PerformedUpdate(method)) for _ in range(40)]
    assert logs[-1]["main"] < logs[0]["main"] / 4


def test_a_batch_without_a_valid_pixel_moves_nothing_but_by_decay():
    method = supervised(weight_decay=0.0).train()
    batch = bright_and_dark()
    before = method.network.main.weight.clone()
    log = method.step(
        LabelledBatch(batch.image, torch.full_like(batch.label_map, IGNORE_INDEX)), PerformedUpdate(method)
    )
    assert log["main"].item() == 0
    assert torch.equal(method.network.main.weight, before)
