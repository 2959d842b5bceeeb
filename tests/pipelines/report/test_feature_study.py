"""The record of a look at features: what it finds in itself, and that it is read back as it was written."""

import math
from dataclasses import replace

import pytest

from pipelines.report.feature_study import (
    CheckpointFeatures,
    ClassShift,
    DomainPair,
    FeatureStudy,
    FeatureStudyOptions,
    Identity,
    Points,
)

PAIR = DomainPair("source", "target", 0.8, 1.2, 0.15, 2.5, [ClassShift(0, 2.5, 0.1), ClassShift(13, 1.5, 0.2)])


@pytest.fixture
def checkpoint():
    points = Points([13, 0, 13], ["source", "source", "target"], [(0.0, 1.0)] * 3, [(2.0, 3.0)] * 3)
    cells = {"source": {0: 1, 13: 1}, "target": {13: 1}}
    return CheckpointFeatures("Oracle", "oracle", "ddrnet23_slim", "abc", 8, 0.5, cells, [PAIR], points, (0.5, 0.2))


@pytest.fixture
def study(checkpoint):
    return FeatureStudy(
        name="toy", command="sim2real segment features", date="2026-11-28", machine="two cores", versions={},
        validation="4 frames", settings={}, seed=0, perplexity=30.0, most_per_class=200, joint=False,
        domains={"source": 4, "target": 4}, titles={0: "road", 13: "car"}, checkpoints=[checkpoint], notes=[],
        identity=Identity(0, "fp32", FeatureStudyOptions(), {"Oracle": "a" * 64}, {"source": "b" * 64}),
    )  # fmt: skip


def test_two_domains_are_found_in_the_order_they_were_compared(checkpoint):
    assert checkpoint.pair("source", "target") is PAIR
    assert checkpoint.pair("target", "source") is None and checkpoint.pair("translated", "target") is None


def test_a_class_that_was_not_compared_has_no_figures():
    assert PAIR.shift(13) == ClassShift(13, 1.5, 0.2)
    missing = PAIR.shift(2)
    assert missing.train_id == 2 and math.isnan(missing.centroid_distance) and math.isnan(missing.mmd)


def test_classes_of_any_picture_are_shown(study, checkpoint):
    more = replace(checkpoint, points=Points([2], ["source"], [(0.0, 0.0)], [(0.0, 0.0)]))
    assert study.shown_classes() == [0, 13]
    assert replace(study, checkpoints=[checkpoint, more]).shown_classes() == [0, 2, 13]


@pytest.mark.parametrize("fewer", ["frames", "most_per_class", "points"])
def test_a_look_is_as_rich_only_with_as_much_of_everything(fewer):
    whole = FeatureStudyOptions()
    assert whole.is_as_rich_as(replace(whole, perplexity=5.0)) and whole.is_as_rich_as(replace(whole, **{fewer: 1}))
    assert not replace(whole, **{fewer: 1}).is_as_rich_as(whole)


def test_it_is_read_back_as_written(study, checkpoint):
    assert FeatureStudy.from_json(study.to_json()) == study
    unscored = replace(study, checkpoints=[replace(checkpoint, mean_iou=math.nan)])
    assert '"mean_iou": null' in unscored.to_json()
    assert math.isnan(FeatureStudy.from_json(unscored.to_json()).checkpoints[0].mean_iou)


@pytest.mark.parametrize("text", ["{}", "no JSON", b'{"name": "toy"}'])
def test_what_is_of_another_shape_is_nothing(text):
    assert FeatureStudy.from_json(text) is None
