"""Audits of the miniature experiment's translated frames, and of frames whose sky was painted over on purpose."""

import json
import math

import numpy as np
import pytest
import torch

from pipelines.data.disk.manifest import JOURNAL, MANIFEST, Journal, read_manifest
from pipelines.data.images import write_image
from pipelines.engine.session import Session
from pipelines.errors import ImageError, Interrupted, UserError
from pipelines.experiment.identity import segmenter_inputs, segmenter_run_inputs
from pipelines.stages.quality import translation_audit
from pipelines.stages.quality.quality_inputs import QualityInputs
from pipelines.stages.quality.translated_pairs import Expert, load_expert, translated_frames
from pipelines.stages.quality.translation_audit import (
    audit_experiment,
    audit_frames,
    audit_picture,
    audit_translation,
    worst_frames,
)
from pipelines.stages.training.segmenter_batches import labelled_batches
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.translating.translate_experiment import translate_experiment
from segment.classes import CLASS_NAMES
from tests.pipelines.batch_inference.translating import NAMES, as_sets, run, run_folder

ROAD, TREE, SKY = CLASS_NAMES.index("road"), CLASS_NAMES.index("vegetation"), CLASS_NAMES.index("sky")


def by_brightness(image, size):
    """An expert that takes bright for sky and dark for trees."""
    return np.where(image.mean(2) > 127, SKY, TREE).astype(np.uint8)


EXPERT = Expert("brightness@eeeeeeee", "e" * 64, torch.nn.Identity(), "brightness", 8, by_brightness)


@pytest.fixture
def darkened(tmp_path):
    """Five bright frames that are sky throughout; the translator, a negative, makes two of them dark: trees."""
    root = tmp_path / "in"
    for name in NAMES:
        write_image(root / "rgb" / f"{name}.png", np.full((16, 24, 3), 200, np.uint8))
        write_image(root / "ids" / f"{name}.png", np.full((16, 24), 23, np.uint8))  # Cityscapes' id of sky
    output = tmp_path / "out"
    run(root, output, translate=Dimming({1, 3}))
    return QualityInputs(output, translated_frames(output, as_sets(root)))


class Dimming:
    """Translates the frames of these numbers into dark ones and leaves the others as they are."""

    def __init__(self, numbers):
        self.numbers, self.calls = numbers, 0

    def __call__(self, image):
        dark = self.calls in self.numbers
        self.calls += 1
        return image * 0.1 if dark else image


def test_sky_that_turned_into_trees_is_found(darkened, session):
    audit = audit_frames(darkened, EXPERT, session)
    assert [frame.label_consistency for frame in audit.frames] == [1, 0, 1, 0, 1]
    assert {frame.source_consistency for frame in audit.frames} == {1}
    (flip,) = audit.flips
    assert (flip.label, flip.seen_as) == (SKY, TREE)
    assert (flip.translated, flip.source) == (pytest.approx(0.4), 0)
    assert [len(frame.flips) for frame in audit.frames] == [0, 1, 0, 1, 0]
    lowest, lost = worst_frames(audit, 1)
    assert [lowest[0].name, lost[0].name] == ["toy/a b", "toy/seq2/frame"]


def written(path):
    """Which file it is and when it was written; not when it was last read."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def test_scores_enter_the_manifest_and_a_second_audit_changes_nothing(darkened, session):
    folder = darkened.folder
    plain = read_manifest(folder / MANIFEST)
    audit_frames(darkened, EXPERT, session)
    entries = read_manifest(folder / MANIFEST)
    assert [entry.label_consistency for entry in entries] == [1, 0, 1, 0, 1]
    assert all(entry.expert_sha256 == "e" * 64 and entry.structure is not None for entry in entries)
    cleared = {"label_consistency": None, "structure": None, "expert_sha256": None}
    assert [entry.model_copy(update=cleared) for entry in entries] == plain
    before = [written(folder / name) for name in (MANIFEST, "audit.jsonl")]
    audit_frames(darkened, Expert(*vars(EXPERT).values()), session)
    assert [written(folder / name) for name in (MANIFEST, "audit.jsonl")] == before
    assert not (folder / JOURNAL).exists()


def test_translation_carries_on_beside_an_audit(darkened, session, tmp_path):
    """A finished frame keeps its score; one that is made again loses it."""
    folder = darkened.folder
    audit_frames(darkened, EXPERT, session)
    scored = (folder / MANIFEST).read_bytes()
    run(tmp_path / "in", folder, translate=Dimming({1, 3}))
    assert (folder / MANIFEST).read_bytes() == scored
    (folder / read_manifest(folder / MANIFEST)[2].image).unlink()
    run(tmp_path / "in", folder, translate=Dimming({1, 3}))
    assert [entry.expert_sha256 is None for entry in read_manifest(folder / MANIFEST)] == [0, 0, 1, 0, 0]


def test_scores_survive_a_translation_with_failures(tmp_path, session):
    """With failed frames the journal stays, and the next translation believes it before the manifest."""
    root, folder = tmp_path / "in", tmp_path / "out"
    for name in "abc":
        write_image(root / f"{name}.png", np.full((16, 24, 3), 200, np.uint8))
    (root / "b.png").write_bytes(b"no picture")
    assert run_folder(root, folder).failed == 1
    frames = translated_frames(folder, root)
    assert [frame.source for frame in frames] == [root / "a.png", root / "c.png"]
    audit = audit_frames(QualityInputs(folder, frames), EXPERT, session)
    assert audit.flips == [] and all(math.isnan(frame.label_consistency) for frame in audit.frames)
    scored = (folder / MANIFEST).read_bytes()
    assert b"structure" in scored and (folder / JOURNAL).exists()
    assert run_folder(root, folder).resumed == 2
    assert (folder / MANIFEST).read_bytes() == scored


def test_the_oracle_is_the_expert_of_an_experiment(copied_run, make_workspace, cpu, session, tmp_path):
    workspace = make_workspace(run=copied_run)
    audit = audit_experiment(workspace, 0, session)
    assert len(audit.frames) == 5 and audit.expert == load_expert(workspace.segmenter(0, "oracle"), cpu).name
    (workspace.segmenter(0, "oracle") / "final.json").unlink()
    with pytest.raises(UserError, match="no trained oracle"):
        audit_experiment(workspace, 0, session)


def test_an_audit_carries_on_where_it_was_stopped(darkened, session):
    folder = darkened.folder
    asked = []

    def after_three():
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Interrupted, match="stopped at 3 of 5 frames"):
        audit_frames(darkened, EXPERT, session, stop_requested=after_three)
    assert all(entry.expert_sha256 is None for entry in read_manifest(folder / MANIFEST))
    seen = []
    counting = Expert(*[*vars(EXPERT).values()][:5], lambda *a: seen.append(1) or by_brightness(*a))
    assert len(audit_frames(darkened, counting, session).frames) == 5
    assert len(seen) == 2 * 2


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [(b'"frame"', b"frame"), (b'"frame": ', b'"name": '), (b"[10, 10, 384]", b"[10]"), (b"[10, 10,", b"[99, 10,")],
)
def test_damaged_records_are_counted_again(darkened, session, whole, damaged):
    """No JSON, other fields, counts that are none, counts of a class that there is not."""
    folder = darkened.folder
    first = audit_frames(darkened, EXPERT, session)
    records = (folder / "audit.jsonl").read_bytes()
    assert whole in records
    (folder / "audit.jsonl").write_bytes(records.replace(whole, damaged, 1))
    assert audit_frames(darkened, EXPERT, session).frames == first.frames
    assert len((folder / "audit.jsonl").read_text().splitlines()) == 5


def test_a_corrected_label_map_is_counted_anew(darkened, session, tmp_path):
    """The translated image is what it was, and yet the expert now says something else of it."""
    folder, root = darkened.folder, tmp_path / "in"
    audit_frames(darkened, EXPERT, session)
    images = [entry.image_sha256 for entry in read_manifest(folder / MANIFEST)]
    write_image(root / "ids" / f"{NAMES[0]}.png", np.full((16, 24), 21, np.uint8))  # Cityscapes' id of vegetation
    run(root, folder, translate=Dimming(()))
    assert [entry.image_sha256 for entry in read_manifest(folder / MANIFEST)] == images
    audit = audit_frames(QualityInputs(folder, translated_frames(folder, as_sets(root))), EXPERT, session)
    changed = [frame.name for frame in audit.frames if frame.source_consistency == 0]
    assert changed == [f"toy/{NAMES[0]}"]
    assert [entry.label_consistency for entry in read_manifest(folder / MANIFEST)].count(0) == 3


def test_a_frame_too_small_for_edges_is_named(tmp_path, session):
    root, folder = tmp_path / "in", tmp_path / "out"
    write_image(root / "a.png", np.full((10, 24, 3), 200, np.uint8))
    run_folder(root, folder)
    inputs = QualityInputs(folder, translated_frames(folder, root))
    with pytest.raises(ImageError, match=r"out/a\.png: Images are 24x10; SSIM's window is 11 pixels wide\. Leave"):
        audit_frames(inputs, EXPERT, session)


def test_without_sources_there_is_no_structure_and_all_confusions_are_told(darkened, session):
    folder = darkened.folder
    audit = audit_frames(QualityInputs(folder, translated_frames(folder, None)), EXPERT, session)
    assert not audit.with_sources and all(math.isnan(frame.structure) for frame in audit.frames)
    assert audit.flips[0].translated == pytest.approx(0.4) and math.isnan(audit.flips[0].source)
    assert read_manifest(folder / MANIFEST)[0].structure is None


def test_the_page_lies_beside_the_frames(darkened, session):
    folder, frames = darkened.folder, darkened.frames
    audit, page = audit_translation(darkened, EXPERT, session, shown=2)
    assert page == folder / "audit.html" and "40 % of sky turned into vegetation" in page.read_text()
    assert len(audit.lowest) == 2 and audit.lost == []
    picture = audit_picture(frames[1], audit.frames[1], by_brightness)
    assert (picture.seen == TREE).all() and (picture.seen_in_source == SKY).all() and (picture.label == SKY).all()


def test_a_folder_that_is_being_translated_or_is_no_translation_is_left_alone(darkened, session, tmp_path):
    folder, frames = darkened.folder, darkened.frames
    with Journal(folder / JOURNAL), pytest.raises(UserError, match="another process"):
        audit_frames(darkened, EXPERT, session)
    with pytest.raises(UserError, match="no translated set, or not finished"):
        audit_frames(QualityInputs(tmp_path / "in", frames), EXPERT, session)


def test_frames_that_were_translated_after_the_audit_had_looked_are_refused(darkened, session):
    folder = darkened.folder
    entries = read_manifest(folder / MANIFEST)
    fewer = QualityInputs(folder, darkened.frames[1:])
    with pytest.raises(UserError, match="other frames were translated into it just now; run the audit again"):
        audit_frames(fewer, EXPERT, session)
    assert read_manifest(folder / MANIFEST) == entries
    assert not (folder / "audit.jsonl").exists() and not (folder / JOURNAL).exists()


def test_stage_two_leaves_out_and_weighs_by_the_scores(copied_run, make_workspace, cpu, session):
    """Scores of 0.2, 0.4, ... are given to the five frames; three reach 0.5."""
    settings = ("segmenter.least_label_consistency=0.5", "segmenter.weigh_by_consistency=true")
    workspace = make_workspace(*settings, run=copied_run)
    with pytest.raises(UserError, match=r"5 of 5 frames have no score.*translate audit"):
        train_segmenter(workspace, 0, "translated", Session(cpu, restart=True))
    folder = workspace.translated(0)
    frames = translated_frames(folder, workspace.source)
    expert = load_expert(workspace.segmenter(0, "source_only"), cpu)
    audit_frames(QualityInputs(folder, frames), expert, session)
    entries = read_manifest(folder / MANIFEST)
    rescored = [e.model_copy(update={"label_consistency": 0.2 * i}) for i, e in enumerate(entries, 1)]
    translation_audit.write_manifest(folder / MANIFEST, rescored)
    batches = labelled_batches(workspace, 0, "translated")
    assert len(batches.pools["translated"]) == 3
    assert batches.mixture.weights["translated"] == pytest.approx([0.6, 0.8, 1.0])
    assert list(labelled_batches(workspace, 0, "source_only").mixture.weights) == []
    run_folder = train_segmenter(workspace, 0, "translated", Session(cpu, restart=True))
    config = json.loads((run_folder / "config.json").read_text())
    assert config["frames"]["scores"] == segmenter_run_inputs(workspace, 0, "translated")["frames"]["scores"]
    assert "scores" not in segmenter_run_inputs(workspace, 0, "source_only")["frames"]
    assert "scores" not in segmenter_inputs(workspace, 0, "translated")["frames"]  # which is asked for without frames
    assert translate_experiment(workspace, 0, Session(cpu, 1)).resumed == 5


def test_an_expert_that_recognises_nothing_leaves_the_draws_even_and_it_is_said(copied_run, make_workspace, cpu, capfd):
    workspace = make_workspace("segmenter.weigh_by_consistency=true", run=copied_run)
    manifest = workspace.translated(0) / MANIFEST
    nothing = {"label_consistency": 0.0, "expert_sha256": "e" * 64}
    translation_audit.write_manifest(manifest, [e.model_copy(update=nothing) for e in read_manifest(manifest)])
    batches = labelled_batches(workspace, 0, "translated")
    assert len(batches.pools["translated"]) == 5 and batches.mixture.weights == {}
    assert "recognises nothing in any frame" in capfd.readouterr().err
