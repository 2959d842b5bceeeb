"""ASS: what every method must do, whose features are told what, both directions, the terms by hand."""

import dataclasses
import math

import pytest
import torch

from segment.adaptation.adversarial import SOURCE, TARGET
from segment.batches import LabelledBatch
from segment.methods.ass import ASS, ASSSettings
from segment.networks.segmenter import SegmenterOutput
from tests.method_tester import PerformedUpdate, WatchedUpdate
from tests.segment.methods.adapting import TRAINING, gradients_of, two_domains
from tests.segment.methods.tester import NUM_CLASSES, SegmenterTrainingTester, TinySegmenter


def ass(training=TRAINING, **settings):
    torch.manual_seed(0)
    return ASS(TinySegmenter(), training, ASSSettings(discriminator_channels=4, semantic_channels=16, **settings))


def three_parts():
    """Source, target, and the target with labels: its images are those of the source, flipped and less bright."""
    batch = two_domains()
    return dataclasses.replace(
        batch, labelled_target=LabelledBatch(batch.target.clone(), batch.source.label_map.flip(0))
    )


class TestConvolutional(SegmenterTrainingTester):
    name = "ass"
    terms = ("semantic", "adversarial")

    def method(self):
        return ass(adversarial_weight=0.1, semantic_weight=0.1)

    def batch(self):
        return three_parts()

    def test_each_half_changes_its_own_networks_only(self, small):
        update = WatchedUpdate(small)
        small.step(self.batch(), update)
        assert update.networks() == {("network",): {"network"}, ("discriminators",): {"discriminators"}}

    def test_one_gradient_of_all_terms_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network", "discriminators"]
        supervised = {"main", "auxiliary", "labelled_main", "labelled_auxiliary"}
        assert update.calls[0][1].keys() == supervised | set(self.terms)

    def test_labels_of_the_target_count_where_they_are_given(self, small):
        other = self.batch()
        other.labelled_target.label_map.fill_(2)
        with_theirs, with_others = gradients_of(self.method(), self.batch()), gradients_of(self.method(), other)
        assert not torch.equal(with_theirs["network.main.weight"], with_others["network.main.weight"])


class TestFullyConnected(TestConvolutional):
    def method(self):
        return ass(semantic_adversary="fcsa", semantic_weight=0.1)


class TestPublishedDirection(TestConvolutional):
    def method(self):
        return ass(direction="source_to_target", adversarial_weight=0.1, domain_loss="least_squares")


class TestGlobalAdversaryAlone(TestConvolutional):
    terms = ("adversarial",)

    def method(self):
        return ass(semantic_adversary="none", adversarial_weight=0.1)


class TestSemanticAdversaryAlone(TestConvolutional):
    terms = ("semantic",)

    def method(self):
        return ass(adversarial_weight=0.0)


def spied(method, part, monkeypatch):
    """What `part` of the method is called with."""
    calls, original = [], getattr(method, part)
    monkeypatch.setattr(method, part, lambda *given: calls.append(given) or original(*given))
    return calls


@pytest.mark.parametrize("adversary", ["csa", "fcsa"])
def test_who_is_told_what(adversary, monkeypatch):
    """The network: source features, of the target's class. The discriminator: both domains' as what they are."""
    method, batch = ass(semantic_adversary=adversary).train(), three_parts()
    calls = spied(method, "semantic_cross_entropy", monkeypatch)
    method.step(batch, PerformedUpdate(method))
    assert [domain for _, _, domain in calls] == [TARGET, SOURCE, TARGET]
    assert [features.requires_grad for features, _, _ in calls] == [True, False, False]
    assert torch.equal(calls[0][0], calls[1][0]) and not torch.equal(calls[0][0], calls[2][0])
    labels = [label_map for _, label_map, _ in calls]
    assert labels[0] is labels[1] is batch.source.label_map and labels[2] is batch.labelled_target.label_map


def test_features_of_the_target_have_no_adversarial_gradient():
    """Only the losses on labels pull at the labelled target's pass, in either direction."""
    for direction in ("target_to_source", "source_to_target"):
        batch = three_parts()
        batch.labelled_target.label_map.fill_(255)
        training = dataclasses.replace(TRAINING, batch_norm="frozen")
        method = ass(training, direction=direction).train()
        with_frames = gradients_of(method, batch)
        batch.labelled_target.image.fill_(0.5)
        without = gradients_of(method, batch)
        network = [name for name in with_frames if name.startswith("network.")]
        assert network and all(torch.equal(with_frames[name], without[name]) for name in network)


@pytest.mark.parametrize(
    ("direction", "domain", "of_source"), [("target_to_source", SOURCE, False), ("source_to_target", TARGET, True)]
)
def test_directions(direction, domain, of_source, monkeypatch):
    """Published: source frames are to be taken for target ones. AdaptSegNet, and by default: the other way round."""
    method, batch = ass(direction=direction).train(), three_parts()
    calls = spied(method, "adversarial_losses", monkeypatch)
    seen = spied(method, "discriminator_losses", monkeypatch)
    method.step(batch, PerformedUpdate(method))
    (((output, named),), ((source, target),)) = calls, seen
    assert named == domain and output is (source if of_source else target)
    assert target.main.requires_grad == (not of_source)


class Unmoved(torch.nn.Module):
    """A discriminator that says log 3 of whatever it sees: three quarters target."""

    def forward(self, classes):
        return classes.mean() * 0 + torch.full((1, 1, 1, 1), math.log(3))


class Undecided(torch.nn.Module):
    """A discriminator of features to which all answers are alike."""

    def forward(self, features):
        return features.mean() * 0 + torch.zeros(len(features), 2 * NUM_CLASSES, *features.shape[2:])


def test_terms_by_hand():
    method = ass(adversarial_weight=0.5, semantic_weight=0.1)
    method.discriminators["label_maps"], method.discriminators["features"] = Unmoved(), Undecided()
    output = SegmenterOutput(torch.zeros(1, NUM_CLASSES, 32, 32))
    # "Be taken for source": -log(1 - 3/4). "Be taken for target": -log(3/4). Each times the weight.
    assert method.adversarial_losses(output, SOURCE)["adversarial"].item() == pytest.approx(0.5 * math.log(4))
    assert method.adversarial_losses(output, TARGET)["adversarial"].item() == pytest.approx(0.5 * math.log(4 / 3))
    expected = 0.5 * math.log(4) + 0.5 * math.log(4 / 3)
    assert method.discriminator_losses(output, output)["discriminator"].item() == pytest.approx(expected)
    # Six answers alike cost log 6, whichever is wanted; the discriminator pays for both domains.
    features, label_map = torch.rand(1, 8, 2, 2), torch.zeros(1, 4, 4, dtype=torch.int64)
    assert method.semantic_losses(features, label_map)["semantic"].item() == pytest.approx(0.1 * math.log(6))
    losses = method.semantic_discriminator_losses(features, label_map, features, label_map)
    assert losses["semantic_discriminator"].item() == pytest.approx(2 * math.log(6))


def test_of_whole_classes_those_that_are_shown_count():
    """Two of three classes: 2 log 6."""
    method = ass(semantic_adversary="fcsa", semantic_weight=1.0)
    method.discriminators["features"] = Undecided()
    label_map = torch.tensor([[[0, 2], [255, 2]]])
    loss = method.semantic_losses(torch.rand(1, 8, 2, 2), label_map)["semantic"]
    assert loss.item() == pytest.approx(2 * math.log(6))


@pytest.mark.parametrize("adversary", ["csa", "fcsa"])
def test_the_network_learns_to_deceive_by_class(adversary):
    method = ass(semantic_adversary=adversary, semantic_weight=1.0)
    features, label_map = torch.randn(1, 8, 4, 4, requires_grad=True), torch.zeros(1, 4, 4, dtype=torch.int64)
    before = method.semantic_losses(features, label_map)["semantic"]
    before.backward()
    judge = method.discriminators["features"]
    with torch.no_grad():
        moved = features - features.grad
        wanted = [judge(one).softmax(1)[:, NUM_CLASSES].mean() for one in (features, moved)]
    assert wanted[1] > wanted[0], "class 0 of the source looks more like class 0 of the target"
    assert all(parameter.grad is None for parameter in judge.parameters())


@pytest.mark.parametrize("adversary", ["csa", "fcsa"])
@pytest.mark.parametrize(("loss", "said"), [(0.693, "cannot tell the domains apart"), (0.01, "has won"), (0.6, None)])
def test_a_semantic_discriminator_that_has_won_or_knows_classes_alone_is_told_of(adversary, loss, said):
    """Guessing the domain of a feature costs log 2."""
    method = ass(semantic_adversary=adversary)
    heard = [method.warnings({"semantic_discriminator_per_feature": loss}) for _ in range(30)]
    assert heard[:-1] == [[]] * 29
    assert said in heard[-1][0] if said else heard[-1] == []


@pytest.mark.parametrize("adversary", ["csa", "fcsa"])
def test_what_a_feature_costs_the_semantic_discriminator(adversary):
    """Six answers alike cost log 6, however many classes the images show: one and two here, and one of the target."""
    method, batch = ass(semantic_adversary=adversary), three_parts()
    method.discriminators["features"] = Undecided()
    labels, theirs = batch.source.label_map, batch.labelled_target.label_map
    labels[0], labels[1, :16], labels[1, 16:] = 0, 1, 2
    theirs.fill_(2)
    features = torch.rand(2, 4, 8, 8)
    losses = method.semantic_discriminator_losses(features, labels, features, theirs)
    terms = method.terms_of(labels, features) + method.terms_of(theirs, features)
    assert terms.item() == {"csa": 2, "fcsa": 1.5 + 1}[adversary]
    assert (losses["semantic_discriminator"] / terms).item() == pytest.approx(math.log(6))
    learner = ass(semantic_adversary=adversary)
    learnt = learner.step(batch, PerformedUpdate(learner))
    each = learnt["semantic_discriminator"] / terms
    torch.testing.assert_close(learnt["semantic_discriminator_per_feature"], each)


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    """What several processes learn together, with no normalisation in the way."""
    training = dataclasses.replace(TRAINING, batch_norm="frozen")
    batch = three_parts()
    parts = []
    for i in range(2):
        own = slice(i, i + 1)
        source, few = (LabelledBatch(b.image[own], b.label_map[own]) for b in (batch.source, batch.labelled_target))
        part = dataclasses.replace(batch, source=source, target=batch.target[own], labelled_target=few)
        parts.append(gradients_of(ass(training, semantic_adversary="fcsa").train(), part))
    for name, gradient in gradients_of(ass(training, semantic_adversary="fcsa").train(), batch).items():
        torch.testing.assert_close((parts[0][name] + parts[1][name]) / 2, gradient, atol=1e-7, rtol=1e-4)


def test_without_labelled_target_frames_it_is_refused():
    method = ass()
    with pytest.raises(ValueError, match="ASS learns from labelled target frames too; the batch has none"):
        method.step(two_domains(), PerformedUpdate(method))


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match="set adversarial_weight above 0 or choose a semantic_adversary"):
        ASSSettings(adversarial_weight=0, semantic_adversary="none")
    with pytest.raises(ValueError, match="direction is 'both'; the valid values are target_to_source"):
        ASSSettings(direction="both")
