"""Gap closed is the figure the project is judged by: it is worked out by hand here, and so are its edges."""

import json
import math
from dataclasses import replace

import pytest

from pipelines.errors import UserError
from pipelines.report.study import Study, average, deviation, gap_closed


def with_scores(study, scores):
    """The study with one result per (arm, seed) of the given mean IoU."""
    template = study.results[0]
    results = [replace(template, arm=arm, seed=seed, mean_iou=value) for (arm, seed), value in scores.items()]
    return replace(study, results=results)


def test_gap_closed_by_hand():
    assert gap_closed(0.30, 0.40, 0.50) == pytest.approx(0.5)  # 0.1 of 0.2
    assert gap_closed(0.30, 0.25, 0.50) == pytest.approx(-0.25)  # -0.05 of 0.2
    assert gap_closed(0.30, 0.60, 0.50) == pytest.approx(1.5)


@pytest.mark.parametrize("scores", [(0.5, 0.6, 0.5), (0.5, 0.6, 0.4), (math.nan, 0.6, 0.7), (0.3, 0.4, math.nan)])
def test_without_a_gap_nothing_can_be_closed(scores):
    assert gap_closed(*scores) is None


def test_gap_by_seed_and_of_the_means(study):
    study = with_scores(
        study,
        {
            ("source_only", 0): 0.30,
            ("translated", 0): 0.40,
            ("oracle", 0): 0.50,  # 0.1 / 0.2 = 50 %
            ("source_only", 1): 0.40,
            ("translated", 1): 0.45,
            ("oracle", 1): 0.80,  # 0.05 / 0.4 = 12.5 %
        },
    )
    assert study.gap_per_seed() == {0: pytest.approx(0.5), 1: pytest.approx(0.125)}
    # means 0.35, 0.425, 0.65: 0.075 / 0.3
    assert study.gap_mean() == pytest.approx(0.25)


def test_a_seed_that_lacks_an_arm_counts_in_no_gap(study):
    scores = {("source_only", 0): 0.3, ("translated", 0): 0.4, ("oracle", 0): 0.5, ("translated", 1): 0.9}
    study = with_scores(study, scores)
    assert study.gap_per_seed() == {0: pytest.approx(0.5), 1: None}
    assert study.gap_mean() == pytest.approx(0.5)


def test_no_arm_no_gap(study):
    empty = replace(study, results=[])
    assert empty.gap_per_seed() == {}
    assert empty.gap_mean() is None


def test_scoring_units_join_merged_classes_and_keep_the_others(study):
    groups = study.class_groups()
    assert [13, 14, 15] in groups and [0] in groups
    assert len(groups) == 17
    assert study.group_title([13, 14, 15]) == "car + truck + bus"


def test_confusion_is_summed_over_seeds_and_merged(study):
    small = replace(study, classes=["a", "b", "c"], groups=[[1, 2]])
    matrix = [[5, 1, 2, 0], [1, 4, 3, 0], [0, 2, 6, 1]]
    result = replace(study.results[0], arm="oracle", confusion=matrix)
    small = replace(small, results=[replace(result, seed=0), replace(result, seed=1)])
    # one seed: a row [5, 1+2, 0]; merged row [1+0, 4+3+2+6, 0+1]
    assert small.confusion("oracle") == [[10, 6, 0], [2, 30, 2]]


def test_absent_class_has_no_iou_in_a_group(study):
    assert study.group_iou("oracle", [3]) == [None, None, None]
    nan = replace(study, results=[replace(study.results[0], arm="oracle", iou=[math.nan] * 19)])
    assert nan.group_iou("oracle", [0]) == [None]
    assert all(0 < value < 1 for value in study.group_iou("oracle", [13, 14, 15]))


def test_frames_improved_counts_the_frames_both_arms_scored(study):
    def frames(*scores):
        return [replace(study.results[0].frames[0], name=name, mean_iou=value) for name, value in scores]

    template = study.results[0]
    source = replace(template, arm="source_only", frames=frames(("x", 0.3), ("y", 0.5), ("z", math.nan)))
    translated = replace(template, arm="translated", frames=frames(("x", 0.4), ("y", 0.5), ("z", 0.9)))
    assert replace(study, results=[source, translated]).frames_improved() == (1, 2)


def test_mean_and_deviation_pass_over_what_is_no_number():
    assert average([0.2, None, math.nan, 0.4]) == pytest.approx(0.3)
    assert math.isnan(average([None]))
    assert deviation([0.2, 0.4]) == pytest.approx(0.02**0.5)  # two values 0.1 off their mean, divided by n - 1
    assert deviation([0.2]) is None


class TestJson:
    def test_round_trip(self, study):
        assert Study.from_json(study.to_json()) == study

    def test_nan_is_null_and_comes_back_as_nan(self, study):
        broken = replace(study.results[0], mean_iou=math.nan, interval=(math.nan, 0.5), curve=[(0, math.nan)])
        text = replace(study, results=[broken], settings={"limit": math.inf}).to_json()
        stored = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
        assert stored["results"][0]["mean_iou"] is None
        back = Study.from_json(text).results[0]
        assert math.isnan(back.mean_iou) and math.isnan(back.interval[0]) and math.isnan(back.curve[0][1])
        assert Study.from_json(text).to_json() == text

    def test_names_that_are_no_unicode_are_mended(self, study):
        assert Study.from_json(replace(study, name="run\udcff").to_json()).name == "run?"

    @pytest.mark.parametrize(
        ("text", "named"),
        [("{", "the file as a whole"), ("{}", "name"), ('{"nonsense": 1}', "name"), ("[]", "the file as a whole")],
    )
    def test_what_does_not_fit_is_named(self, text, named):
        with pytest.raises(UserError, match=f"Not the results of a comparison: {named}"):
            Study.from_json(text)

    def test_unknown_entry_is_refused(self, study):
        with pytest.raises(UserError, match="surprise"):
            Study.from_json(json.dumps(json.loads(study.to_json()) | {"surprise": 1}))
