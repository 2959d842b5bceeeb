"""Two domains in one network's features: what a probe and the distances of classes say of drawn cells."""

import math
from dataclasses import replace

import numpy as np

from pipelines.stages.features.domain_pairs import domain_pairs, learnt_from
from tests.pipelines.stages.features.test_feature_embedding import drawn


def test_domains_far_apart():
    domains = {"source": drawn({0: 40, 1: 40}), "target": drawn({0: 40, 1: 40}, seed=1, shift=5.0)}
    (pair,) = domain_pairs(domains, {"source": 4, "target": 4}, 0)
    assert (pair.probe_accuracy, pair.a_distance) == (1.0, 2.0) and pair.mmd > 0.3
    assert [shift.train_id for shift in pair.classes] == [0, 1] and pair.centroid_distance > 3


def test_a_mixture_of_classes_gives_no_domain_away():
    """Nine tenths of one domain are class 0, of the other class 1; drawn evenly they are the same."""
    domains = {"source": drawn({0: 180, 1: 20}), "target": drawn({0: 20, 1: 180}, seed=1)}
    (pair,) = domain_pairs(domains, {"source": 4, "target": 4}, 0)
    assert abs(pair.probe_accuracy - 0.5) < 0.25 and pair.mmd < 0.05


def test_nor_do_halves_of_the_frames_that_hold_the_classes_unevenly():
    """Three quarters of a class's cells are of the frames learnt from in one domain, a quarter in the other."""
    half = learnt_from(8, 0)
    learnt, tested = np.flatnonzero(half), np.flatnonzero(~half)

    def domain(seed, more, fewer):
        places = [np.resize(frames, cells) for frames, cells in ((more, 60), (fewer, 20), (more, 20), (fewer, 60))]
        return replace(drawn({0: 80, 1: 80}, seed=seed), frames=np.concatenate(places))

    domains = {"source": domain(0, learnt, tested), "target": domain(1, tested, learnt)}
    (pair,) = domain_pairs(domains, {"source": 8, "target": 8}, 0)
    assert abs(pair.probe_accuracy - 0.5) < 0.2


def test_classes_with_too_few_cells_have_no_figures():
    domains = {"source": drawn({0: 40, 1: 9}), "target": drawn({0: 40, 1: 40}, seed=1)}
    (pair,) = domain_pairs(domains, {"source": 4, "target": 4}, 0)
    assert [shift.train_id for shift in pair.classes] == [0]
    assert math.isnan(pair.shift(1).centroid_distance)


def test_nothing_in_common():
    (pair,) = domain_pairs({"source": drawn({0: 40}), "target": drawn({1: 40})}, {"source": 4, "target": 4}, 0)
    assert pair.classes == [] and math.isnan(pair.mmd) and math.isnan(pair.probe_accuracy)


def test_halves_are_of_frames():
    halves = learnt_from(9, 0)
    assert halves.sum() == 4 and len(halves) == 9
    assert np.array_equal(halves, learnt_from(9, 0)) and not np.array_equal(halves, learnt_from(9, 1))
