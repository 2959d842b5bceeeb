"""Scores in a manifest, and the frames that they let into training."""

import math

import numpy as np
import pytest

from pipelines.data.disk.manifest import MANIFEST, read_manifest, write_manifest
from pipelines.data.frames import FrameSet
from pipelines.data.readers.layout import Frame
from pipelines.data.selection.scores import ConsistencyScores, read_scores, select_by_consistency
from pipelines.errors import NoInputsError, UserError
from tests.pipelines.data.disk.test_manifest import entry

EXPERT = "e" * 64


def scored(frame, score, expert=EXPERT):
    return entry(frame, label_consistency=score, structure=0.5, expert_sha256=expert)


def frames(tmp_path, *names):
    return FrameSet("translated", tmp_path, [Frame(name, tmp_path / f"{name}.png") for name in names], [])


def test_scores_are_read_from_the_manifest(tmp_path):
    write_manifest(tmp_path / MANIFEST, [scored("a", 0.25), scored("b", None)])
    scores = read_scores(tmp_path)
    assert scores.by_frame["a"] == 0.25 and math.isnan(scores.by_frame["b"]) and scores.expert_sha256 == EXPERT


def test_a_manifest_with_and_without_scores_is_read_back(tmp_path):
    entries = [entry("a"), scored("b", 0.1234567)]
    write_manifest(tmp_path / MANIFEST, entries)
    assert read_manifest(tmp_path / MANIFEST) == entries
    plain, with_scores = (tmp_path / MANIFEST).read_text().splitlines()
    assert "consistency" not in plain and "expert" not in plain and "0.1234567" in with_scores


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("a"), scored("b", 0.5)], "1 of 2 frames have no score"),
        ([scored("a", 0.5), scored("b", 0.5, "f" * 64)], "two experts gave the scores"),
    ],
)
def test_unscored_frames_and_two_experts_are_refused(tmp_path, entries, message):
    write_manifest(tmp_path / MANIFEST, entries)
    with pytest.raises(UserError, match=f"{message}.*translate audit"):
        read_scores(tmp_path)


def test_a_score_says_whose_it_is():
    with pytest.raises(ValueError, match="need an expert_sha256"):
        entry("a", label_consistency=0.5)


def test_the_fingerprint_changes_with_scores_and_expert():
    first = ConsistencyScores({"a": 0.5, "b": math.nan}, EXPERT)
    assert first.fingerprint() == ConsistencyScores({"b": math.nan, "a": 0.5}, EXPERT).fingerprint()
    others = [ConsistencyScores({"a": 0.51, "b": math.nan}, EXPERT), ConsistencyScores(first.by_frame, "f" * 64)]
    assert len({first.fingerprint(), *(other.fingerprint() for other in others)}) == 3


SCORES = ConsistencyScores({"a": 0.0, "b": 0.25, "c": 0.5, "d": math.nan}, EXPERT)


@pytest.mark.parametrize(
    ("least", "weigh", "kept", "weights"),
    [
        (None, False, "abcd", None),
        (0.25, False, "bc", None),
        (0.0, False, "abc", None),
        (None, True, "bc", [0.25, 0.5]),
        (0.3, True, "c", [0.5]),
    ],
)
def test_selection(tmp_path, least, weigh, kept, weights):
    left, drawn = select_by_consistency(frames(tmp_path, *"abcd"), SCORES, least, weigh)
    assert [frame.name for frame in left.frames] == list(kept)
    assert (drawn is None) if weights is None else np.array_equal(drawn, weights)


@pytest.mark.parametrize("least", [None, 0.0])
def test_weighing_by_scores_of_nothing_but_0_draws_evenly(tmp_path, least):
    """A net in its first steps may recognise no class in any frame."""
    nothing = ConsistencyScores({"a": 0.0, "b": 0.0}, EXPERT)
    left, weights = select_by_consistency(frames(tmp_path, *"ab"), nothing, least, True)
    assert [frame.name for frame in left.frames] == ["a", "b"] and weights is None


def test_a_threshold_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(NoInputsError, match=r"reaches 0.9, the best is 0.500; lower segmenter.least_label_consistency"):
        select_by_consistency(frames(tmp_path, *"abcd"), SCORES, 0.9, False)
