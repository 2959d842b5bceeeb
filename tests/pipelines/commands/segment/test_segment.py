"""`sim2real segment train`: whose segmenter is trained, and which commands stand beside it."""

import click
import pytest

from pipelines.commands.segment import segment, segment_train


@pytest.mark.parametrize(("typed", "arm"), [((), "translated"), (("--arm", "oracle"), "oracle")])
def test_the_arm_that_is_asked_for_is_trained(on_tiny, played, typed, arm):
    trained = played("pipelines.stages.training.train_segmenter.train_segmenter", "runs/x")
    assert on_tiny(segment_train, "--seed", 3, *typed) == "segmenter in runs/x\n"
    ((workspace, seed, given, session),) = trained.given
    assert (seed, given) == (3, arm) and workspace.experiment.name == "tiny" and session.workers == 1


def test_an_arm_that_is_none_is_answered_with_those_there_are(on_tiny):
    with pytest.raises(click.BadParameter, match=r"'translatd' is not one of .*'source_only'"):
        on_tiny(segment_train, "--arm", "translatd")


def test_all_that_is_done_with_a_segmenter_is_found_here():
    assert {"train", "evaluate", "features", "bench", "predict", "pseudo-label", "study"} <= segment.commands.keys()
