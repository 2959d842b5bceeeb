"""The page must say plainly what was found, above all when translation did not help."""

import math
from dataclasses import replace

import pytest

from pipelines.report import wording
from pipelines.report.pages.page import Gallery, render_page


def scored(study, source_only, translated, oracle):
    """The study with seeds 0, 1, … whose mean IoU are the given ones."""
    template = study.results[0]
    arms = {"source_only": source_only, "translated": translated, "oracle": oracle}
    return replace(
        study,
        results=[
            replace(template, arm=arm, seed=seed, mean_iou=value)
            for arm, values in arms.items()
            for seed, value in enumerate(values)
        ],
    )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (([0.3], [0.4], [0.5]), "Translation closed 50 % of the gap on CamVid val, 24 frames."),
        (([0.3], [0.29], [0.5]), "Translation did not help on CamVid val, 24 frames: 0.300 became 0.290 mIoU."),
        (([0.3], [0.3], [0.5]), "Translation did not help"),
        (([0.3], [0.6], [0.5]), "closed the whole gap on CamVid val, 24 frames and passed the oracle (150 %)"),
        (([0.5], [0.6], [0.4]), "There is no gap to close on CamVid val, 24 frames. Translation helped"),
        (([0.5], [0.4], [0.4]), "There is no gap to close on CamVid val, 24 frames. Translation did not help"),
        (([0.5], [], []), "No seed has all three arms"),
        (([0.5], [math.nan], [0.6]), "An arm has no score"),
    ],
)
def test_headline(study, scores, expected):
    assert expected in wording.headline(scored(study, *scores))


def test_seeds_that_disagree_are_called_unsettled(study):
    findings = wording.findings(scored(study, [0.3, 0.3], [0.4, 0.2], [0.5, 0.5]))
    assert "The seeds disagree: translated is better in 1 of 2, so the effect is not settled." in findings


def test_single_seed_says_so(study):
    assert any("single seed" in sentence for sentence in wording.findings(scored(study, [0.3], [0.4], [0.5])))


def test_harm_in_all_seeds(study):
    findings = wording.findings(scored(study, [0.3, 0.3], [0.2, 0.2], [0.5, 0.5]))
    assert "Both seeds agree that translated is not better than source-only." in findings


def test_undefined_gap_in_words(study):
    words = wording.gap_in_words(scored(study, [0.5], [0.6], [0.4]))
    assert words.startswith("The gap is undefined: the oracle (0.400) does not score above source-only (0.500)")


def test_a_gap_of_an_arm_without_a_score_is_not_put_down_to_the_oracle(study):
    words = wording.gap_in_words(scored(study, [0.3], [math.nan], [0.6]))
    assert words == "The gap is undefined: an arm has no score."


def test_arms_that_start_apart_leave_no_gap(study):
    """The adapted net may owe all that it won to its start."""
    apart = scored(study, [0.3], [0.4], [0.5])
    apart.results[:] = [
        replace(one, start="weights of ImageNet" if one.arm == "translated" else "random weights")
        for one in apart.results
    ]
    assert apart.gap_mean() is None and apart.gap_per_seed() == {0: None}
    assert wording.headline(apart) == (
        "On CamVid val, 24 frames 0.300 became 0.400 mIoU, but not all arms start alike, so the gap closed is not "
        "stated."
    )
    assert wording.gap_in_words(apart) == (
        "The gap is undefined: it compares nets of the same start. What the arms start from: source-only from random "
        "weights; translated from weights of ImageNet; oracle from random weights."
    )


def test_one_start_of_all_arms_is_told(study):
    assert wording.starts_in_words(study) == ""
    study.results[:] = [replace(one, start="random weights") for one in study.results]
    assert wording.starts_in_words(study) == "Every arm starts from random weights."
    assert study.gap_mean() is not None


def test_a_start_that_was_trained_adds_to_the_budget_and_is_said(study):
    plain = f"All arms train the same network under the same budget and seeds and are scored on {study.validation}."
    assert wording.budget_in_words(study) == plain
    twice = replace(study, settings={"segmenter": {"initial": "source_only", "adaptation": {"method": "dacs"}}})
    said = "But translated + DACS goes on from source_only, whose training adds to its budget."
    assert wording.budget_in_words(twice) == f"{plain} {said}"
    assert said in render_page(twice, Gallery())


def test_missing_arm_is_named(study):
    assert "Without results: oracle." in wording.findings(scored(study, [0.3], [0.4], []))


@pytest.mark.parametrize(("rate", "verdict"), [(29.9, "is slower than"), (30.0, "keeps up with")])
def test_speed_is_held_against_a_camera(study, rate, verdict):
    fast = replace(study, network=replace(study.network, frames_per_second=rate))
    assert f"{verdict} a camera of 30 frames/s" in wording.speed(fast)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("dacs", "target frames without their labels"),
        ("ass", "target frames, those of labelled_target with their labels"),
    ],
)
def test_what_of_the_target_an_adapted_net_learnt_from_is_told(study, method, target):
    adapted = replace(study, settings={"segmenter": {"adaptation": {"method": method}}})
    told = wording.arm_meanings(adapted)["translated"]
    assert told == f"the same frames, translated, adapted to {target} by {method.upper()}"


@pytest.mark.parametrize(
    ("shares", "meaning"),
    [
        ({"translated": 1.0, "source": 0.0, "target": 0.0}, "the same frames, translated"),
        ({"translated": 0.5, "source": 0.5, "target": 0.0}, "frames drawn 50 % translated, 50 % as they are"),
        ({"translated": 0.9, "source": 0.0, "target": 0.1}, "frames drawn 90 % translated, 10 % labelled real ones"),
    ],
)
def test_what_the_translated_net_learnt_from_is_told(study, shares, meaning):
    mixed = replace(study, settings={"segmenter": {"shares": shares}})
    assert wording.arm_meanings(mixed)["translated"] == meaning
    assert wording.arm_meanings(study)["translated"] == "the same frames, translated"
