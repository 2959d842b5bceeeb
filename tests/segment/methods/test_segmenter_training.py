"""What every method of stage two has from its base: losses of the heads, groups of weights, schedule, preview."""

import pytest
import torch

from segment.batches import AdaptationBatch, LabelledBatch
from segment.classes import PALETTE
from segment.losses import cross_entropy, ohem_cross_entropy
from segment.methods.segmenter_training import SegmenterTrainingSettings, parameter_groups
from segment.methods.supervised import Supervised
from segment.peers import Peers
from tests.method_tester import PerformedUpdate
from tests.segment.methods.supervising import bright_and_dark, supervised
from tests.segment.methods.tester import TinySegmenter, WithoutAuxiliary


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
    peers = Peers(0, 2, lambda x: asked.append(1) or x)
    method = supervised(batch_norm="synced", ema_decay=0.5, peers=peers).train()
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


def test_heads_may_learn_faster_than_the_encoder():
    """The encoder has 1 of 6 weights and 3 of 6 biases and norms (three convolutions, one normalisation)."""
    network = TinySegmenter()
    groups = parameter_groups(network, 5e-4, 0.1, 10.0, [*network.main.parameters(), *network.auxiliary.parameters()])
    found = {(group["weight_decay"], round(group["lr"], 6)): len(group["params"]) for group in groups}
    assert found == {(5e-4, 0.1): 1, (0.0, 0.1): 3, (5e-4, 1.0): 2, (0.0, 1.0): 2}


def test_a_setting_that_needs_an_auxiliary_head_is_refused_without_one():
    supervised().need_auxiliary_head("adaptation.auxiliary_weight")
    with pytest.raises(
        ValueError, match=r"^auxiliary_weight is above 0, and the network has no auxiliary head; set it"
    ):
        Supervised(WithoutAuxiliary(), SegmenterTrainingSettings()).need_auxiliary_head("auxiliary_weight")


def test_target_frames_are_varied_as_labelled_ones_are_with_nothing_to_learn_in_them():
    seen = []

    def brighter(batch):
        seen.append(batch.label_map)
        return LabelledBatch(batch.image + 1, batch.label_map)

    target = torch.zeros(2, 3, 4, 4)
    batch = AdaptationBatch(bright_and_dark(), target)
    assert supervised().augmented_target(batch) is target
    assert (supervised(augmentation=brighter).augmented_target(batch) == 1).all()
    assert seen[0].shape == (2, 4, 4) and (seen[0] == 255).all() and seen[0].dtype == torch.int64
