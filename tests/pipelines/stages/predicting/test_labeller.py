"""What networks that label are asked for: the likeliest classes, how likely, and prototypes that weigh these."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.errors import Interrupted, UserError
from pipelines.experiment.trained import load_ensemble
from pipelines.stages.predicting.labeller import CANDIDATES, CLASSES, Labeller, Prototypes

FRAME = np.zeros((1, 2, 3), np.uint8)


def logits(*pixels):
    """(1, K, 1, W), a dict of class and probability for each pixel; of the other classes nothing is left."""
    found = torch.full((1, CLASSES, 1, len(pixels)), 1e-12)
    for column, probabilities in enumerate(pixels):
        for k, probability in probabilities.items():
            found[0, k, 0, column] = probability
    return found.log()


def labeller(said, **settings):
    predictor = SimpleNamespace(logits=lambda frame, size: said, height=None)
    return Labeller(predictor, NetworkClock("cpu"), **settings)


def test_the_three_likeliest_classes_and_how_likely_they_are():
    """0.6, 0.3 and 0.1 of 255 are 153, 76.5 (to even: 76) and 25.5 (float32 has it a little above: 26)."""
    said = logits({4: 0.6, 9: 0.3, 1: 0.1}, {2: 0.25, 3: 0.45, 7: 0.2, 8: 0.1})
    found = labeller(said).answer(FRAME, (1, 2))
    assert found.dtype == torch.uint8 and found.shape == (2, 1, 2, CANDIDATES)
    assert found[0, 0].tolist() == [[4, 9, 1], [3, 2, 7]]
    expected = torch.tensor([[0.6, 0.3, 0.1], [0.45, 0.25, 0.2]]) * 255
    assert (found[1, 0].float() - expected).abs().max() <= 0.5 + 1e-3


def test_a_network_that_has_diverged_labels_nothing():
    with pytest.raises(UserError, match="logits"):
        labeller(logits({0: 1.0}) * torch.nan).answer(FRAME, (1, 1))


def test_prototypes_turn_what_is_near_into_what_is_likely():
    """Class 1's prototype is where the feature is and class 0's far off: 0.4 of it becomes the likeliest."""
    prototypes = SimpleNamespace(
        features=lambda frame: torch.zeros(1, 1, 1, 1), sums=torch.zeros(CLASSES, 2, dtype=torch.float64)
    )
    prototypes.sums[0] = torch.tensor([100.0, 1.0])
    prototypes.sums[1] = torch.tensor([0.0, 1.0])
    said = logits({0: 0.6, 1: 0.4})
    assert labeller(said).answer(FRAME, (1, 1))[0, 0, 0, 0] == 0
    assert labeller(said, temperature=1.0, prototypes=prototypes).answer(FRAME, (1, 1))[0, 0, 0, 0] == 1


def test_prototypes_of_several_networks_are_refused():
    trained = SimpleNamespace(network=torch.nn.Identity(), checkpoints=["a", "b"])
    with pytest.raises(UserError, match="2 networks are to label; name one, or set prototype_temperature to 0"):
        Prototypes(trained, None, [], lambda: False)


def test_a_stop_is_heard_while_prototypes_are_sought(tiny_run, session, tmp_path):
    trained = load_ensemble([tiny_run / "seed-0/source_only"], session.machine)
    frames = [SimpleNamespace(image=tmp_path / "never_read.png")]
    with pytest.raises(Interrupted, match="the same command carries on"):
        _ = Prototypes(trained, None, frames, lambda: True).sums
