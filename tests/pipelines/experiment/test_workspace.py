"""Where an experiment's stages put their output, and which frames serve which of them."""

import numpy as np
import pytest

from pipelines.data.images import write_image
from pipelines.data.toyworld.write import DRAWING_VERSION
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.identity import segmenter_inputs, translator_inputs
from pipelines.experiment.workspace import Workspace

# --- folders ------------------------------------------------------------------------------------------


def test_every_seed_has_its_own_folders(make_workspace):
    workspace = make_workspace("compare.seeds=[3, 4]")
    run = workspace.run
    assert workspace.translator(4) == run / "seed-4/translator"
    assert workspace.translated(4) == run / "seed-4/translated"
    assert workspace.segmenter(4, "oracle") == run / "seed-4/oracle"
    assert workspace.segmenter(4, "source_only") == run / "seed-4/source_only"
    assert workspace.segmenter(4, "translated") == run / "seed-4/translated_net"


def test_one_translator_serves_every_seed(make_workspace):
    workspace = make_workspace("compare.seeds=[3, 4]", "compare.one_translator=true")
    assert workspace.translator(4) == workspace.translator(3) == workspace.run / "seed-3/translator"
    assert workspace.translated(4) == workspace.run / "seed-3/translated"
    assert workspace.segmenter(4, "oracle") == workspace.run / "seed-4/oracle"
    assert segmenter_inputs(workspace, 4, "translated")["frames"]["translator"] == translator_inputs(workspace, 3)
    assert segmenter_inputs(workspace, 4, "translated")["seed"] == 4


def test_a_run_folder_tells_whose_it_is_among_others(make_workspace):
    base = make_workspace()
    variant = base.beside(base.experiment, base.run / "variants/fda", base.run)
    assert base.among_others(base.segmenter(0, "translated")) == base.among_others(base.translated(0)) == ""
    assert variant.among_others(variant.segmenter(0, "translated")) == " in variants/fda"
    assert variant.among_others(variant.unguided().translator(0)) == " in variants/fda/unguided"
    assert variant.among_others(variant.segmenter(0, "oracle")) == ""  # shared by all
    elsewhere = base.beside(base.experiment, base.run, base.run / "shared")
    assert elsewhere.among_others(elsewhere.translator(0)) == ""


def test_toy_world_is_drawn_into_the_run_folder(make_workspace):
    workspace = make_workspace("source.0.root=''", "source.0.frames=2")
    assert len(workspace.source[0]) == 2
    drawn = workspace.run / f"frames/toyworld-game-64x32-seed1-v{DRAWING_VERSION}"
    assert (drawn / "rgb/000001.png").exists()


# --- the last look -----------------------------------------------------------------------------------


TEST = 'test=[{ reader = "toyworld", name = "last", renderer = "camera", frames = 2, size = [64, 32], seed = 9 }]'


def test_test_frames_take_the_place_of_the_validation_frames_and_of_nothing_else(make_workspace):
    workspace = make_workspace(TEST)
    last = workspace.on_test()
    assert [frames.name for frames in workspace.validation] == ["camera_val"]
    assert [frames.name for frames in last.validation] == ["last"] and len(last.validation[0]) == 2
    assert last.beside(last.experiment, last.run).part == last.by_name.part == "test"
    assert (workspace.on_part("evaluation"), last.on_part("evaluation")) == ("evaluation", "evaluation_test")
    assert last.segmenter(0, "oracle") == workspace.segmenter(0, "oracle")
    for arm in ("source_only", "translated", "oracle"):
        assert segmenter_inputs(last, 0, arm) == segmenter_inputs(make_workspace(), 0, arm)


def test_without_test_frames_there_is_no_last_look(make_workspace):
    with pytest.raises(UserError, match=r"--test: experiment tiny has no \[\[test\]\] sets"):
        make_workspace().on_test()


# --- labels ------------------------------------------------------------------------------------------


def test_of_a_set_only_the_labelled_frames_serve_the_segmenter(own_frames):
    make, frames = own_frames
    as_carla = {"reader": "carla", "name": "game", "root": str(frames / "game"), "version": "0.9.14"}
    unlabelled = {
        "reader": "folder",
        "name": "photographs",
        "root": str(frames / "photographs"),
        "images": "{name}.png",
    }
    write_image(frames / "photographs/0.png", make().source[0].read_image(0))
    (frames / "game/semantic/000003.png").unlink()
    content = make().experiment.model_dump(mode="json") | {"source": [as_carla, unlabelled], "target": [unlabelled]}
    workspace = Workspace(type(make().experiment).model_validate(content), frames, frames.parent / "run")
    assert [len(one) for one in workspace.source] == [5, 1]
    assert [frame.name for frame in workspace.labelled_source[0].frames] == ["000000", "000001", "000002", "000004"]
    assert len(workspace.labelled_source) == 1 and workspace.labelled_target == []
    for label in (frames / "game/semantic").iterdir():
        label.unlink()
    workspace = Workspace(workspace.experiment, frames, frames.parent / "run")
    with pytest.raises(NoInputsError, match="no source frame has a label map"):
        _ = workspace.labelled_source


def test_source_sets_that_are_not_named_are_left_aside(own_frames):
    make, frames = own_frames
    other = make().experiment.source[0].model_copy(update={"name": "other"})
    both = make().experiment.model_copy(update={"source": (*make().experiment.source, other)})
    alone = both.model_copy(update={"source_sets": ("other",)})
    opened = {experiment: Workspace(experiment, frames, frames.parent / "run") for experiment in (both, alone)}
    assert [one.name for one in opened[both].labelled_source] == [make().experiment.source[0].name, "other"]
    assert [one.name for one in opened[alone].labelled_source] == ["other"]
    found = {segmenter_inputs(workspace, 0, "source_only")["frames"]["source"] for workspace in opened.values()}
    assert len(found) == 2
    oracles = [segmenter_inputs(workspace, 0, "oracle") for workspace in opened.values()]
    assert oracles[0] == oracles[1]


def test_all_labels_are_read_with_the_classes_of_the_validation_labels(own_frames):
    """IDD-lite tells seven groups apart: the source's and the target's vegetation (8) is learnt as building (2)."""
    make, frames = own_frames
    write_image(frames / "idd/leftImg8bit/train/5/000001_image.jpg", np.zeros((4, 6, 3), np.uint8))
    write_image(frames / "idd/gtFine/train/5/000001_label.png", np.full((4, 6), 5, np.uint8))
    content = make().experiment.model_dump(mode="json")
    content["validation"] = [{"reader": "idd_lite", "root": str(frames / "idd")}]
    seven = Workspace(type(make().experiment).model_validate(content), frames, frames.parent / "run")
    kept = {0, 1, 2, 3, 10, 11, 13, 255}
    for part in ("labelled_source", "labelled_target", "validation"):
        sets = getattr(seven, part)
        found = {value for one in sets for i in range(len(one)) for value in np.unique(one.read_label_map(i))}
        assert found and found <= kept
    apart = make()
    vegetation = apart.labelled_source[0].read_label_map(0) == 8
    assert vegetation.any() and (seven.labelled_source[0].read_label_map(0)[vegetation] == 2).all()
    assert segmenter_inputs(seven, 0, "oracle")["frames"] != segmenter_inputs(apart, 0, "oracle")["frames"]
