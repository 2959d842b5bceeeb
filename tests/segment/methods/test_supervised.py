"""Supervised training: what every method must do, the settings, and that it learns."""

import pytest
import torch

from segment.batches import LabelledBatch
from segment.classes import IGNORE_INDEX, PALETTE
from segment.losses import cross_entropy, ohem_cross_entropy
from segment.methods.segmenter_training import SegmenterTrainingSettings, parameter_groups
from segment.methods.supervised import Supervised
from tests.method_tester import PerformedUpdate
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def bright_and_dark():
    """Dark pixels are class 0, bright ones class 1; one row is ignored."""
    torch.manual_seed(1)
    label_map = torch.randint(0, 2, (2, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    image = label_map[:, None].expand(2, 3, 16, 16).float()
    label_map = label_map.clone()
    label_map[:, 0] = IGNORE_INDEX
    return LabelledBatch(image, label_map)


COLLABORATORS = ("class_weights", "sum_over_processes", "augmentation")


def supervised(**settings):
    collaborators = {name: settings.pop(name) for name in COLLABORATORS if name in settings}
    training = SegmenterTrainingSettings(**{"steps": 10, "learning_rate": 0.05, "warmup_steps": 0} | settings)
    torch.manual_seed(0)
    return Supervised(TinySegmenter(), training, **collaborators)


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


def test_synced_normalisation_is_plain_in_one_process():
    torch.manual_seed(0)
    plain = supervised().train()
    torch.manual_seed(0)
    synced = supervised(batch_norm="synced").train()
    batch = bright_and_dark()
    for method in (plain, synced):
        method.step(batch, PerformedUpdate(method))
    assert type(synced.network.features[1]) is torch.nn.BatchNorm2d
    assert all(torch.equal(value, synced.state_dict()[key]) for key, value in plain.state_dict().items())


def test_synced_normalisation_asks_the_other_processes_in_training_alone():
    asked = []
    method = supervised(batch_norm="synced", ema_decay=0.5, sum_over_processes=lambda x: asked.append(1) or x).train()
    method.step(bright_and_dark(), PerformedUpdate(method))
    during_the_step = len(asked)
    method.preview(bright_and_dark())
    assert during_the_step == len(asked) > 0 and list(method.state_dict()) == list(
        supervised(ema_decay=0.5).state_dict()
    )


def test_weights_of_classes_reach_every_head():
    weights = torch.tensor([1.0, 5.0, 0.0])
    method, batch = supervised(loss="cross_entropy", class_weights=weights, auxiliary_weight=1.0), bright_and_dark()
    output = method.network.train()(batch.image)
    losses = method.supervised_losses(output, batch.label_map)
    torch.testing.assert_close(losses["main"], cross_entropy(output.main, batch.label_map, weights))
    torch.testing.assert_close(losses["auxiliary"], cross_entropy(output.auxiliary[0], batch.label_map, weights))


def test_the_schedule_is_the_one_that_was_asked_for():
    cosine = supervised(schedule="cosine")
    assert cosine.learning_rate_scale(5) == pytest.approx(0.5)
    assert supervised(poly_power=2.0).learning_rate_scale(5) == pytest.approx(0.25)


def test_it_learns_to_tell_bright_from_dark():
    torch.manual_seed(0)
    method, batch = supervised(steps=40).train(), bright_and_dark()
    logs = [method.step(batch, PerformedUpdate(method)) for _ in range(40)]
    assert logs[-1]["main"] < logs[0]["main"] / 4


def test_each_head_has_its_weighted_loss():
    method, batch = supervised(auxiliary_weight=0.4), bright_and_dark()
    output = method.network.train()(batch.image)
    losses = method.supervised_losses(output, batch.label_map)
    torch.testing.assert_close(losses["main"], ohem_cross_entropy(output.main, batch.label_map))
    torch.testing.assert_close(losses["auxiliary"], 0.4 * ohem_cross_entropy(output.auxiliary[0], batch.label_map))


def test_the_loss_is_the_one_that_was_asked_for():
    method, batch = supervised(loss="cross_entropy"), bright_and_dark()
    output = method.network.train()(batch.image)._replace(auxiliary=())
    assert method.supervised_losses(output, batch.label_map) == {"main": cross_entropy(output.main, batch.label_map)}


def test_a_batch_without_a_valid_pixel_moves_nothing_but_by_decay():
    method = supervised(weight_decay=0.0).train()
    batch = bright_and_dark()
    before = method.network.main.weight.clone()
    log = method.step(
        LabelledBatch(batch.image, torch.full_like(batch.label_map, IGNORE_INDEX)), PerformedUpdate(method)
    )
    assert log["main"].item() == 0
    assert torch.equal(method.network.main.weight, before)


def test_weights_decay_and_biases_and_normalisation_do_not():
    decayed, spared = parameter_groups(TinySegmenter(), weight_decay=5e-4, learning_rate=0.1)
    # Three convolutions; their three biases, and the scale and shift of one normalisation.
    assert (len(decayed["params"]), decayed["weight_decay"]) == (3, 5e-4)
    assert (len(spared["params"]), spared["weight_decay"]) == (5, 0.0)


def test_settings_reach_the_optimizer():
    sgd = supervised(learning_rate=0.02, momentum=0.8).optimizers()["network"]
    assert isinstance(sgd, torch.optim.SGD)
    assert [(group["lr"], group["momentum"]) for group in sgd.param_groups] == [(0.02, 0.8)] * 2
    assert isinstance(supervised(optimizer="adamw").optimizers()["network"], torch.optim.AdamW)


def test_the_preview_shows_image_prediction_and_label_in_palette_colours():
    batch = bright_and_dark()
    preview = supervised().preview(batch)
    assert list(preview) == ["image", "prediction", "label"]
    assert torch.equal(preview["image"], batch.image)
    assert preview["prediction"].shape == preview["label"].shape == (2, 3, 16, 16)
    colours = {tuple(colour) for colour in (preview["label"] * 255).round().int().flatten(2).mT.flatten(0, 1).tolist()}
    assert colours == {PALETTE[0], PALETTE[1], (0, 0, 0)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "lovasz"}, "no loss 'lovasz'; choose one of cross_entropy, ohem"),
        ({"schedule": "step"}, "schedule is 'step'; the valid values are poly, cosine"),
        ({"batch_norm": "fixed"}, "batch_norm is 'fixed'; the valid values are batch, frozen, scales_frozen, synced"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; the valid values are sgd, adamw"),
        ({"warmup_steps": 10}, "warmup_steps is 10 and steps 10; set warmup_steps below steps"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; it must be below 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        supervised(**settings)


def test_a_batch_moves_as_a_whole():
    moved = bright_and_dark().to("meta")
    assert isinstance(moved, LabelledBatch)
    assert moved.image.device.type == moved.label_map.device.type == "meta" and moved.style is None
    styled = LabelledBatch(torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2), torch.rand(1, 3, 2, 2), torch.ones(1))
    assert styled.to("meta").style.device.type == styled.to("meta").styled.device.type == "meta"
