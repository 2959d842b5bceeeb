"""What a look at a translation needs: named by options, and the rest filled in by the experiment."""

import numpy as np
import pytest

from pipelines.data.images import write_image
from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.errors import UserError
from pipelines.stages.quality.quality_inputs import QualityInputs, find_inputs


def folder(path, *names):
    for name in names:
        write_image(path / name, np.zeros((8, 16, 3), np.uint8))
    return path


def test_everything_may_be_named(tmp_path):
    translated, source = (folder(tmp_path / name, "a.png", "b.png") for name in ("translated", "source"))
    targets = [folder(tmp_path / name, f"{name}.png") for name in ("berlin", "bonn")]
    inputs = find_inputs(None, 0, translated=translated, source=source, target=targets, expert=tmp_path / "expert")
    assert inputs.folder == translated and inputs.expert == tmp_path / "expert" and inputs.expert_encodings == ()
    assert [frame.source for frame in inputs.frames] == [source / "a.png", source / "b.png"]
    assert inputs.target_images() == [tmp_path / "berlin/berlin.png", tmp_path / "bonn/bonn.png"]


def test_the_experiment_knows_the_rest(tiny_run, make_workspace):
    workspace = make_workspace(run=tiny_run)
    inputs = find_inputs(workspace, 0)
    assert inputs.folder == workspace.translated(0) and inputs.expert == workspace.segmenter(0, "oracle")
    assert [frame.source for frame in inputs.frames] == [frame.image for frame in workspace.source[0].frames]
    assert inputs.target_images() == [frame.image for frame in workspace.target[0].frames]
    assert [encoding.name for encoding in inputs.expert_encodings] == [cityscapes().name]


def test_what_is_named_stands_before_what_the_experiment_knows(tiny_run, make_workspace, tmp_path):
    workspace = make_workspace(run=tiny_run)
    translated = folder(tmp_path / "translated", "a.png")
    inputs = find_inputs(
        workspace,
        0,
        translated=translated,
        source=translated,
        target=[folder(tmp_path / "real", "x.png")],
        expert=tmp_path / "mine",
    )
    assert inputs.folder == translated and inputs.frames[0].source == translated / "a.png"
    assert inputs.target_images() == [tmp_path / "real/x.png"] and inputs.expert == tmp_path / "mine"


def test_frames_that_serve_several_seeds_have_one_judge(tiny_run, make_workspace):
    workspace = make_workspace("compare.one_translator=true", "compare.seeds=[0, 1]", run=tiny_run)
    assert find_inputs(workspace, 1).expert == tiny_run / "seed-0/oracle"


def test_an_oracle_that_is_not_trained_to_its_end_is_no_expert(copied_run, make_workspace):
    (copied_run / "seed-0/oracle/final.json").unlink()
    assert find_inputs(make_workspace(run=copied_run), 0).expert is None


def test_what_nobody_names_is_asked_for(tmp_path):
    with pytest.raises(UserError, match=r"^which translated frames\? Give an experiment's config, or --tr"):
        find_inputs(None, 0)
    with pytest.raises(UserError, match=r"^no target images to compare with; give an experiment's config, or --target"):
        find_inputs(None, 0, translated=folder(tmp_path / "translated", "a.png")).target_images()


def test_networks_are_the_expert_and_its_encoder(tiny_run, session, tmp_path):
    inputs = QualityInputs(tmp_path, [], expert=tiny_run / "seed-0/oracle", expert_encodings=(camvid(),))
    networks = inputs.networks(session, features="expert")
    assert [extractor.name for extractor in networks.extractors] == [networks.expert.name]
    assert [extractor.name for extractor in inputs.networks(session).extractors] == ["efficientnet_lite0"]
    assert networks.expert_encodings == (camvid(),)
    with pytest.raises(UserError, match="features of the expert, and there is none; name a segmenter with --expert"):
        QualityInputs(tmp_path, []).networks(session, features="expert")
