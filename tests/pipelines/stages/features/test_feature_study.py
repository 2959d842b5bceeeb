"""Looking inside a finished comparison: which frames and segmenters, what the figures mean, the same again."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.frames import FrameSet
from pipelines.data.images import read_image, write_image
from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.report.feature_study import FeatureStudy, FeatureStudyOptions
from pipelines.stages.features.feature_study import (
    domain_frames,
    merged_groups,
    study_features,
    study_features_of_arms,
    trained_arms,
)

OPTIONS = FeatureStudyOptions(frames=4, most_per_class=20, points=150, perplexity=8.0)


@pytest.fixture
def look(make_workspace, session, tmp_path):
    """A function: run folder and checkpoints -> the record; the page is in tmp_path."""

    def run(folder, checkpoints=None, options=OPTIONS):
        workspace = make_workspace(run=folder)
        return study_features(workspace, 0, checkpoints or {}, options, session, tmp_path / "page.html")

    return run


class TestLookInside:
    def test_the_arms_of_a_comparison(self, look, tiny_run, tmp_path):
        study = look(tiny_run)
        assert [one.title for one in study.checkpoints] == ["Source-only", "Translated", "Oracle"]
        assert study.domains == {"source": 4, "translated": 4, "target": 4} and study.joint and study.notes == []
        for one in study.checkpoints:
            assert [(pair.first, pair.second) for pair in one.pairs] == [
                ("source", "target"), ("translated", "target"), ("source", "translated"),
            ]  # fmt: skip
            assert 0 <= one.mean_iou <= 1 and one.dimensions == 32
            assert 0 < len(one.points.tsne) == len(one.points.classes) <= 50
            assert set(one.points.domains) == {"source", "translated", "target"}
        figures = study.checkpoints[0].pair("source", "target")
        assert figures.classes and figures.centroid_distance == pytest.approx(
            np.mean([shift.centroid_distance for shift in figures.classes])
        )
        written = json.loads((tmp_path / "page.json").read_text())
        assert written["checkpoints"][0]["pairs"][0]["mmd"] == figures.mmd
        assert "Translated" in (tmp_path / "page.html").read_text()
        assert FeatureStudy.from_json((tmp_path / "page.json").read_text()) == study

    def test_the_same_again(self, look, tiny_run):
        assert look(tiny_run).checkpoints == look(tiny_run).checkpoints

    def test_named_checkpoints(self, look, tiny_run):
        study = look(tiny_run, {"mine": tiny_run / "seed-0/oracle"})
        assert [one.title for one in study.checkpoints] == ["mine"] and study.checkpoints[0].style == "series-0"

    def test_without_translated_frames_and_with_an_arm_missing(self, look, copied_run):
        shutil.rmtree(copied_run / "seed-0/translated")
        shutil.rmtree(copied_run / "seed-0/oracle")
        study = look(copied_run)
        assert list(study.domains) == ["source", "target"] and len(study.checkpoints) == 2
        assert "No translated frames of seed 0" in study.notes[0] and "not shown: oracle" in study.notes[1]

    def test_an_evaluation_of_another_checkpoint_is_not_quoted(self, look, copied_run):
        path = copied_run / "seed-0/oracle/evaluation/evaluation.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"identity": {"checkpoint": "other"}}))
        assert math.isnan(look(copied_run).checkpoints[2].mean_iou)

    def test_nothing_is_trained(self, look, tmp_path):
        with pytest.raises(UserError, match="no arm of seed 0 is trained; run `sim2real compare` first"):
            look(tmp_path / "empty")

    def test_not_a_checkpoint(self, look, tiny_run, tmp_path):
        with pytest.raises(CheckpointError, match="does not exist"):
            look(tiny_run, {"mine": tmp_path / "nothing"})
        with pytest.raises(CheckpointError, match="is a translator, expected a segmenter"):
            look(tiny_run, {"mine": tiny_run / "seed-0/translator"})


class TestLookInsideArms:
    """For the report of a comparison: nothing is looked at twice, and a page that shows more is left alone."""

    @pytest.fixture
    def again(self, copied_run, make_workspace, session):
        """A function that looks again and says whether that was a new look; the comparison left a page."""

        def look_again():
            before = (copied_run / "features.json").stat().st_mtime_ns
            study = study_features_of_arms(make_workspace(run=copied_run), 0, session)
            assert [one.title for one in study.checkpoints] == ["Source-only", "Translated", "Oracle"]
            return (copied_run / "features.json").stat().st_mtime_ns != before

        return look_again

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(
            "pipelines.stages.features.feature_study.REPORTED", FeatureStudyOptions(3, 10, 60, lowers_perplexity=True)
        )

    def test_what_is_there_is_read_back(self, again, copied_run):
        assert not again()

    def test_another_checkpoint_is_looked_at(self, again, copied_run):
        shutil.rmtree(copied_run / "seed-0/translated_net")
        shutil.copytree(copied_run / "seed-0/oracle", copied_run / "seed-0/translated_net")
        assert again() and not again()

    def test_another_frame_is_looked_at(self, again, copied_run):
        first = sorted((copied_run / "seed-0/translated").rglob("*.png"))[0]
        write_image(first, 255 - read_image(first))
        assert again() and not again()

    @pytest.mark.parametrize("damage", ["", '{"identity": 1}'])
    def test_a_record_that_cannot_be_read_is_made_again(self, again, copied_run, damage):
        (copied_run / "features.json").write_text(damage)
        assert again()

    def test_a_richer_page_stays_and_a_poorer_one_does_not(self, again, copied_run, make_workspace, session):
        page = copied_run / "features.html"
        for options, anew in (
            (FeatureStudyOptions(4, 20, 60, 8.0), False),
            (FeatureStudyOptions(4, 20, 59, 8.0), True),
        ):
            study_features(make_workspace(run=copied_run), 0, {}, options, session, page)
            assert again() is anew, options

    def test_a_page_of_other_segmenters_is_replaced(self, again, copied_run, make_workspace, session):
        other = {"mine": copied_run / "seed-0/oracle"}
        study_features(make_workspace(run=copied_run), 0, other, OPTIONS, session, copied_run / "features.html")
        assert again()

    def test_the_evaluation_is_that_of_now(self, copied_run, make_workspace, session):
        path = copied_run / "seed-0/oracle/evaluation/evaluation.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mean_iou": 0.75}))
        assert study_features_of_arms(make_workspace(run=copied_run), 0, session).checkpoints[2].mean_iou == 0.75

    def test_few_points_lower_the_perplexity(self, look, tiny_run):
        """A sixth of the points of the one embedding that holds all three segmenters."""
        options = FeatureStudyOptions(4, 20, 60, lowers_perplexity=True)
        study = look(tiny_run, options=options)
        points = sum(len(one.points.classes) for one in study.checkpoints)
        assert study.joint and 12 <= points <= 60 and study.perplexity == points // 6
        assert study.identity.manner == options

    @pytest.mark.parametrize(
        ("points", "more"), [(40, "a larger --points"), (150, "more --frames or a larger --per-class")]
    )
    def test_a_perplexity_that_is_too_large_is_told_what_would_do(self, look, tiny_run, points, more):
        """What brings more points depends on what keeps them few: --points, or what is drawn of the frames."""
        alone = {"mine": tiny_run / "seed-0/oracle"}
        shown = len(look(tiny_run, alone, FeatureStudyOptions(4, 10, points, 2.0)).checkpoints[0].points.classes)
        too_large = (shown - 1) / 3
        with pytest.raises(UserError) as refused:
            look(tiny_run, alone, FeatureStudyOptions(4, 10, points, too_large))
        assert f"and there are only {shown}; give one from 2 to less than " in str(refused.value)
        assert str(refused.value).endswith(f", or use {more}")
        below = float(str(refused.value).partition(" less than ")[2].partition(",")[0]) - 0.1
        assert look(tiny_run, alone, FeatureStudyOptions(4, 10, points, below)).perplexity == below

    def test_too_few_points_for_the_lowest_perplexity_are_refused(self, look, tiny_run, tmp_path, monkeypatch):
        """It takes six times as many: here 600, and there are 60 at most."""
        monkeypatch.setattr("pipelines.stages.features.feature_study.LOWEST_PERPLEXITY", 100)
        options = FeatureStudyOptions(4, 20, 60, lowers_perplexity=True)
        with pytest.raises(
            NoInputsError, match=r"only \d+ cells show one class alone, too few for a picture; use more"
        ):
            look(tiny_run, options=options)
        assert not (tmp_path / "page.html").exists()


class TestFrames:
    def test_source_and_translated_correspond(self, tiny_run, make_workspace):
        found = domain_frames(make_workspace(run=tiny_run), 0, 3)
        names = {
            domain: [frames.frames[index].name.rpartition("/")[2] for frames, index in places]
            for domain, places in found.items()
        }
        assert names["source"] == names["translated"] and len(names["target"]) == 3

    def test_target_frames_are_those_for_validation(self, tiny_run, make_workspace):
        found = domain_frames(make_workspace(run=tiny_run), 0, 10)
        assert {frames.name for frames, _ in found["target"]} == {"camera_val"}

    def test_a_domain_without_labels_is_refused(self, make_workspace, monkeypatch, tmp_path):
        workspace = make_workspace(run=tmp_path / "none")
        bare = [type(frames)(frames.name, frames.root, [], []) for frames in workspace.validation]
        monkeypatch.setattr(type(workspace), "validation", property(lambda self: bare))
        with pytest.raises(NoInputsError, match="no target frame has a label map"):
            domain_frames(workspace, 0, 3)

    def test_an_arm_that_is_not_finished_is_not_taken(self, copied_run, make_workspace):
        (copied_run / "seed-0/oracle/final.json").unlink()
        assert list(trained_arms(make_workspace(run=copied_run), 0)) == ["Source-only", "Translated"]


def test_a_domain_whose_labels_merge_classes_merges_them_for_all():
    def place(encoding):
        return FrameSet("set", Path("."), [Frame("0", Path("0.png"), Path("0_label.png"), encoding)], []), 0

    domains = {"source": [place(cityscapes())], "target": [place(cityscapes()), place(camvid())]}
    assert merged_groups(domains) == [[6, 7], [12, 18], [13, 14, 15]]
    assert merged_groups({"source": domains["source"]}) == []
