"""The files that make compares: rewritten exactly when what they say changes."""

import json
import os

from pipelines.stages.comparison.inputs import write_inputs

NAMES = ["report", "segmenter", "translation", "translator"]


def times(workspace):
    return {path.stem: path.stat().st_mtime_ns for path in sorted((workspace.run / "inputs").glob("*.json"))}


def changed(make_workspace, *overrides):
    before = times(make_workspace())
    write_inputs(make_workspace(*overrides), 0)
    after = times(make_workspace())
    return [name for name in after if after[name] != before[name]]


def test_one_file_for_each_stage_and_no_other(make_workspace):
    write_inputs(make_workspace(), 0)
    assert list(times(make_workspace())) == NAMES
    report = json.loads((make_workspace().run / "inputs/report.json").read_text())
    assert list(report["arms"]) == ["0/oracle", "0/source_only", "0/translated"]


def test_nothing_is_rewritten_when_frames_are_touched(make_workspace):
    write_inputs(make_workspace(), 0)
    for frame in make_workspace().source[0].frames:
        os.utime(frame.image)
    assert changed(make_workspace) == []


def test_a_setting_rewrites_the_files_of_the_stages_that_it_reaches(make_workspace):
    write_inputs(make_workspace(), 0)
    assert changed(make_workspace, "segmenter.learning_rate=0.5") == ["report", "segmenter"]
    assert changed(make_workspace, "segmenter.learning_rate=0.5") == []
    assert changed(make_workspace, "segmenter.learning_rate=0.5", "validation.0.frames=3") == ["report"]
    assert changed(make_workspace, "translator.steps=5") == NAMES


def test_frames_that_a_translator_of_label_maps_translates_rewrite_what_is_made_of_them(make_workspace):
    layouts = 'translator={method = "pix2pixhd", perceptual_weight = 0.0}'
    write_inputs(make_workspace(layouts), 0)
    assert changed(make_workspace, layouts, "source.0.frames=4") == ["report", "segmenter", "translation"]


def test_other_seed_other_inputs(make_workspace):
    write_inputs(make_workspace(), 0)
    before = times(make_workspace())
    write_inputs(make_workspace(), 1)
    after = times(make_workspace())
    assert [name for name in NAMES if before[name] != after[name]] == ["segmenter", "translation", "translator"]
