"""Guidance: each form on paper with an expert of one line, whom its gradients reach, what stays as it is."""

import math

import pytest
import torch
from torch import nn

from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter, SegmenterOutput
from tests.method_tester import LookOnly, PerformedUpdate, changed, snapshot
from translate.guidance import Guidance, GuidanceSettings
from translate.methods.batches import UnpairedBatch
from translate.methods.cyclegan import CycleGAN, CycleGANSettings

ROAD, CAR = 0, 1


class Judge(nn.Module):
    """Two classes by brightness: the logits are (0, 4 x (red - 0.5)); with batch statistics that ought to stay."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.batch_norm = nn.BatchNorm2d(3, affine=False)
        self.seen = []

    def forward(self, image):
        self.seen.append(image.detach())
        self.batch_norm(image)
        car = self.sharpness * (image[:, 0] - 0.5)
        return torch.stack([torch.zeros_like(car), car], dim=1)


def grey(level, images=1, size=8):
    """Images in [0, 1]."""
    return torch.full((images, 3, size, size), float(level))


def signed(level):
    """A translated image, in [-1, 1], that is of grey `level` in [0, 1]; gradients are wanted."""
    return (grey(level) * 2 - 1).requires_grad_()


def labels(value):
    return torch.full((1, 8, 8), value)


def batch(**given):
    return UnpairedBatch(**{"source": grey(0.9), "target": grey(0.2)} | given)


def cross_entropy(level, label):
    """-log softmax of Judge's logits: (0, z) with z = 4 (level - 0.5)."""
    z = 4 * (level - 0.5)
    return math.log(1 + math.exp(z)) - (z if label == CAR else 0)


def both_ways(guidance, given, fake_source, fake_target, labelled_fake_source):
    from_source = guidance.losses(given, "source", fake_target, None)
    return from_source | guidance.losses(given, "target", fake_source, labelled_fake_source)


def guiding(judge, **settings):
    return Guidance(judge, GuidanceSettings(**settings))


# --- numbers ------------------------------------------------------------------------------------------


def test_task_loss_worked_out_by_hand():
    """Grey 0.75: z = 1, so CE against car is log(1 + e) - 1 = 0.3133; times 2."""
    guidance = guiding(Judge(), task_weight=2)
    given = batch(labelled_target=grey(0.5), target_label_map=labels(CAR))
    losses = both_ways(guidance, given, signed(0.1), signed(0.1), signed(0.75))
    assert {name: loss.item() for name, loss in losses.items()} == {"task": pytest.approx(2 * 0.3133, abs=1e-4)}


def test_label_loss_worked_out_by_hand():
    """Grey 0.25: z = -1, so CE against road is log(1 + 1/e) = 0.3133, against car 1.3133."""
    for label, expected in ((ROAD, 0.3133), (CAR, 1.3133)):
        given = batch(source_label_map=labels(label))
        losses = both_ways(guiding(Judge(), label_weight=1), given, signed(0.9), signed(0.25), None)
        assert {name: loss.item() for name, loss in losses.items()} == {"label": pytest.approx(expected, abs=1e-4)}


def test_consistency_compares_with_what_the_expert_sees_in_the_original():
    """The source, 0.9, is car to the expert and the target, 0.2, road, whatever any label says."""
    losses = both_ways(guiding(Judge(), consistency_weight=3), batch(), signed(0.4), signed(0.6), None)
    assert losses["consistency_source"].item() == pytest.approx(3 * cross_entropy(0.6, CAR), abs=1e-4)
    assert losses["consistency_target"].item() == pytest.approx(3 * cross_entropy(0.4, ROAD), abs=1e-4)


def test_all_forms_together_are_each_form_alone():
    given = batch(source_label_map=labels(ROAD), labelled_target=grey(0.5), target_label_map=labels(CAR))
    judge = Judge()
    weights = {"task_weight": 1, "label_weight": 2, "consistency_weight": 3}
    together = both_ways(guiding(judge, **weights), given, signed(0.3), signed(0.6), signed(0.8))
    alone = {}
    for name, weight in weights.items():
        alone |= both_ways(guiding(Judge(), **{name: weight}), given, signed(0.3), signed(0.6), signed(0.8))
    assert together.keys() == alone.keys()
    assert all(together[name].item() == pytest.approx(alone[name].item()) for name in alone)
    assert [len(images) for images in judge.seen] == [1, 1, 1, 2]  # the original, then each translation once; both ways


def test_ignored_pixels_do_not_count():
    half = labels(CAR)
    half[:, :4] = 255
    for label_map, expected in ((half, cross_entropy(0.75, CAR)), (labels(255), 0.0)):
        losses = both_ways(
            guiding(Judge(), label_weight=1), batch(source_label_map=label_map), signed(0.5), signed(0.75), None
        )
        assert losses["label"].item() == pytest.approx(expected, abs=1e-4)


def test_alpha_mixes_and_without_it_terms_are_added():
    rest, terms = {"cycle": torch.tensor(10.0)}, {"task": torch.tensor(2.0)}
    mixed = guiding(Judge(), task_weight=1, alpha=0.25).mixed_with(rest, terms)
    assert {name: loss.item() for name, loss in mixed.items()} == {"cycle": 7.5, "task": 0.5}
    added = guiding(Judge(), task_weight=1).mixed_with(rest, terms)
    assert {name: loss.item() for name, loss in added.items()} == {"cycle": 10, "task": 2}


# --- within CycleGAN ------------------------------------------------------------------------------------------


def tiny(guidance, **settings):
    torch.manual_seed(0)
    small = {"steps": 10, "generator": "resnet6", "generator_channels": 2, "discriminator_channels": 2, "pool_size": 2}
    return CycleGAN(CycleGANSettings(**small | settings), guidance)


def street(images=1):
    """A batch with everything that any form needs."""
    random = torch.Generator().manual_seed(0)
    source, target, labelled = torch.rand(3, images, 3, 32, 32, generator=random)
    maps = torch.randint(0, 19, (2, images, 32, 32), generator=random)
    return UnpairedBatch(source, target, maps[0], labelled, maps[1])


def expert():
    torch.manual_seed(1)
    return NETWORKS["ddrnet23_slim"](auxiliary=False)


TO_SOURCE, TO_TARGET = "target_to_source", "source_to_target"


@pytest.mark.parametrize(
    ("form", "term", "learner"),
    [
        ("task_weight", "task", TO_SOURCE),
        ("label_weight", "label", TO_TARGET),
        ("consistency_weight", "consistency_source", TO_TARGET),
        ("consistency_weight", "consistency_target", TO_SOURCE),
    ],
)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_gradients_reach_the_generator_that_translated_and_nobody_else(form, term, learner, precision):
    method = tiny(guiding(expert(), **{form: 1}))

    class OnlyTheTerm(LookOnly):
        def backward(self, losses):
            if term in losses:
                assert losses[term].dtype == torch.float32
                losses[term].backward()
            return super().backward(losses)

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        method.step(street(), OnlyTheTerm(method))
    other = TO_TARGET if learner == TO_SOURCE else TO_SOURCE
    assert sum(parameter.grad.abs().sum() for parameter in getattr(method, learner).parameters()) > 0
    assert not any(
        parameter.grad is not None and parameter.grad.any() for parameter in getattr(method, other).parameters()
    )
    assert all(parameter.grad is None for parameter in method.guidance.expert.parameters())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_nothing_of_the_expert_changes(precision):
    guide = expert().train()
    method = tiny(guiding(guide, task_weight=1, label_weight=1, consistency_weight=1), ema_decay=0.9).train()
    before = snapshot(guide)
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            logged = method.step(street(images=2), PerformedUpdate(method))
    assert not changed(before, guide)
    assert not guide.training and not any(module.training for module in guide.modules())
    assert {"task", "label", "consistency_source", "consistency_target"} <= logged.keys()
    assert all(math.isfinite(loss.item()) for loss in logged.values())


def test_the_expert_is_no_part_of_the_method():
    guided, plain = tiny(guiding(expert(), label_weight=1)), tiny(None)
    assert guided.state_dict().keys() == plain.state_dict().keys()
    held = {id(parameter) for parameter in guided.guidance.expert.parameters()}
    assert not held & {id(parameter) for parameter in guided.parameters()}
    guided.train()
    assert not guided.guidance.expert.training


def test_weights_of_zero_effect_leave_the_step_as_it_is():
    """Labels that are ignored throughout weigh nothing: the guided step is the plain one, bit for bit."""
    nothing = torch.full((1, 32, 32), 255)
    given = UnpairedBatch(street().source, street().target, nothing, street().labelled_target, nothing)
    methods = tiny(None), tiny(guiding(expert(), label_weight=1))
    for method in methods:
        torch.manual_seed(5)
        method.step(given, PerformedUpdate(method))
    assert not changed(snapshot(methods[0]), methods[1])


def test_guidance_begins_at_its_step_and_a_resumed_method_knows_it():
    method = tiny(guiding(expert(), label_weight=1, start_step=2))
    for _ in range(2):
        assert "label" not in method.step(street(), PerformedUpdate(method))
    resumed = tiny(guiding(expert(), label_weight=1, start_step=2))
    resumed.load_state_dict(method.state_dict())
    for one in (method, resumed):
        assert "label" in one.step(street(), PerformedUpdate(one))


def test_before_it_begins_no_labels_are_needed_and_alpha_scales_nothing():
    given = UnpairedBatch(street().source, street().target)
    early, plain = (
        method.step(given, LookOnly(method))
        for method in (tiny(guiding(expert(), task_weight=1, alpha=0.5, start_step=1)), tiny(None))
    )
    assert {name: loss.item() for name, loss in early.items()} == {name: loss.item() for name, loss in plain.items()}


def test_alpha_in_the_objective():
    """The convex combination of Mütze et al.: every term of CycleGAN times 1 - alpha, the task loss times alpha."""
    seen = {}

    for alpha in (None, 0.25):
        method = tiny(guiding(expert(), task_weight=1, alpha=alpha))
        update = PerformedUpdate(method)
        method.step(street(), update)
        for optimizer, values in update.calls:
            seen.setdefault(optimizer, []).append(values)
    added, mixed = seen["generators"]
    expected = {name: (0.25 if name == "task" else 0.75) * loss for name, loss in added.items()}
    assert mixed == pytest.approx(expected)


def test_it_teaches():
    """A generator that is told that everything is a car learns to paint cars as the expert sees them."""
    given = UnpairedBatch(street().source, street().target, torch.full((1, 32, 32), CAR))
    method = tiny(guiding(Judge(), label_weight=10), learning_rate=2e-3, generator_channels=4)
    history = [method.step(given, PerformedUpdate(method))["label"].item() for _ in range(15)]
    assert history[-1] < 0.7 * history[0]


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "set task_weight, label_weight or consistency_weight above 0, or leave guidance out"),
        ({"task_weight": -1, "label_weight": 1}, "task_weight is -1; it must be at least 0"),
        ({"task_weight": 1, "alpha": 1.5}, "alpha is 1.5"),
        ({"task_weight": 1, "start_step": -1}, "start_step is -1"),
    ],
)
def test_refuses_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        guiding(Judge(), **settings)


@pytest.mark.parametrize(
    ("form", "message"),
    [("task_weight", "task loss needs labelled target images"), ("label_weight", "label loss needs labelled source")],
)
def test_refuses_batches_without_labels(form, message):
    method = tiny(guiding(Judge(), **{form: 1}))
    with pytest.raises(ValueError, match=message):
        method.step(UnpairedBatch(street().source, street().target), PerformedUpdate(method))


def test_stand_ins_need_what_segmenters_have():
    """The judge above is called as a segmenter in evaluation mode is: images in, logits of their size out."""
    assert issubclass(type(expert()), Segmenter) and SegmenterOutput._fields[0] == "main"
    logits = expert().eval()(grey(0.5))
    assert logits.shape == (1, 19, 8, 8) and Judge().eval()(grey(0.5)).shape == (1, 2, 8, 8)
