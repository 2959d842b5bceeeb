"""Translated frames beside their sources and label maps, and what an expert may judge of them."""

import numpy as np
import pytest

from pipelines.data.images import write_image
from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.errors import CheckpointError, ImageError, NoInputsError, UserError
from pipelines.stages.quality.translated_pairs import (
    TranslatedFrame,
    load_expert,
    scored_classes,
    translated_frames,
)
from segment.classes import CLASS_NAMES
from tests.pipelines.batch_inference.translating import NAMES, as_sets, paint, run

ROAD, CAR = 0, 13


@pytest.fixture
def translated(tmp_path):
    """Source folder of five labelled frames, and the folder of their negatives."""
    for seed, name in enumerate(NAMES):
        write_image(tmp_path / "in/rgb" / f"{name}.png", paint(seed))
        write_image(tmp_path / "in/ids" / f"{name}.png", np.full((6, 8), 7, np.uint8))
    run(tmp_path / "in", tmp_path / "out")
    return tmp_path / "in", tmp_path / "out"


# --- which belongs to which -------------------------------------------------------------------------------------------


def test_frames_of_ours_are_found_by_their_manifest(translated):
    """By the sets that they were made of, or by the folder: the manifest says which file became which."""
    source, output = translated
    by_sets, by_folder = translated_frames(output, as_sets(source)), translated_frames(output, source)
    assert by_sets == by_folder and [frame.name for frame in by_sets] == [f"toy/{name}" for name in sorted(NAMES)]
    frame = by_sets[0]
    assert frame.source == source / "rgb/-rf.png" and frame.label == output / "toy/ids/-rf.png"
    image, original = frame.read()
    assert (image == 255 - original).all() and (frame.read_label(image) == ROAD).all()


def test_a_label_that_nobody_knows_how_to_read_is_named(translated):
    source, output = translated
    manifest = output / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"reader": "cityscapes"', '"reader": "scapes"'))
    with pytest.raises(UserError, match=r"manifest\.jsonl: frame 'toy/-rf': .*reader must be one of .* Translate the"):
        translated_frames(output, source)


def test_without_sources_at_hand_there_are_none(translated):
    frames = translated_frames(translated[1], None)
    assert len(frames) == 5 and all(frame.source is None for frame in frames)
    assert frames[0].read()[1] is None


def test_frames_of_a_plain_folder_are_matched_by_name(tmp_path):
    for folder in ("one", "other"):
        write_image(tmp_path / folder / "deep/a.png", np.zeros((8, 8, 3), np.uint8))
    (frame,) = translated_frames(tmp_path / "one", tmp_path / "other")
    assert (frame.name, frame.source) == ("deep/a", tmp_path / "other/deep/a.png") and frame.label is None
    assert frame.read_label(frame.read()[0]) is None


def test_what_is_missing_is_named(translated, tmp_path):
    source, output = translated
    with pytest.raises(UserError, match="none: there is no such folder of translated frames"):
        translated_frames(tmp_path / "none", None)
    (source / "rgb/seq1/frame.png").unlink()
    with pytest.raises(UserError, match="1 of 5 frames have no source, the first 'toy/seq1/frame'; name the folder"):
        translated_frames(output, as_sets(source))
    (output / "manifest.jsonl").write_text("")
    with pytest.raises(NoInputsError, match="out: the manifest lists no frame"):
        translated_frames(output, None)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_pairs_of_two_sizes_are_refused(tmp_path):
    for name, size in (("a", (16, 24)), ("b", (8, 8)), ("label", (16, 23))):
        write_image(tmp_path / f"{name}.png", np.zeros(size if name == "label" else (*size, 3), np.uint8))
    frame = TranslatedFrame("a", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "label.png", cityscapes())
    with pytest.raises(ImageError, match=r"a\.png: it is 24x16, its source .*b\.png is 8x8; expected one size"):
        frame.read()
    with pytest.raises(ImageError, match=r"label\.png: the label map is 23x16, its image .*a\.png is 24x16"):
        frame.read_label(np.zeros((16, 24, 3), np.uint8))


# --- expert -----------------------------------------------------------------------------------------------------------


def test_only_what_labels_and_expert_have_in_common_is_judged(tmp_path):
    """CamVid tells neither light from sign nor rider from bicycle, and has no truck. Frame b has no labels."""
    frames = [TranslatedFrame(name, tmp_path / name, encoding=one) for name, one in (("a", cityscapes()), ("b", None))]
    assert scored_classes(frames, []).groups == []
    judged = scored_classes(frames, [camvid()])
    assert judged.groups == [[6, 7], [12, 18], [13, 14, 15]]
    assert CLASS_NAMES.index("sky") in judged.scored and CLASS_NAMES.index("truck") not in judged.scored


def test_an_expert_is_called_by_its_network_and_weights(tiny_run, cpu):
    expert = load_expert(tiny_run / "seed-0/oracle", cpu)
    assert expert.name == f"ddrnet23_slim@{expert.sha256[:8]}" and len(expert.sha256) == 64
    assert expert.height == 32 and not expert.network.training
    assert expert.predict(np.zeros((16, 32, 3), np.uint8), (24, 48)).shape == (24, 48)
    with pytest.raises(CheckpointError):
        load_expert(tiny_run / "seed-0/translator", cpu)
