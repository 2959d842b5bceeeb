"""Sets of pseudo-labels: images elsewhere, found by the manifest; nothing is opened before it is whole."""

import json

import numpy as np
import pytest

from pipelines.data.check import check_frame_set, format_report
from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.manifest import MANIFEST, ManifestEntry, write_manifest
from pipelines.data.frames import open_frame_set
from pipelines.data.images import encode_png, write_image
from pipelines.data.readers.pseudo_labelled import CHOSEN, PseudoLabelledSettings
from pipelines.errors import NoInputsError, UserError

ROAD, CAR, IGNORED = 0, 13, 255
HASH = "0" * 64


def entry(name, source_sha256=HASH):
    return ManifestEntry(
        frame=f"camera/{name}", image=f"seen/camera/{name}.png", label=None, label_encoding=None, source=f"{name}.png",
        source_sha256=source_sha256, image_sha256=HASH, label_sha256=None, checkpoint_sha256=HASH, width=2, height=1,
    )  # fmt: skip


def write(folder, entries, hashes=None):
    write_manifest(folder / MANIFEST, entries)
    identity = {"manifest_sha256": sha256_of(folder / MANIFEST)}
    (folder / CHOSEN).write_text(json.dumps({"identity": identity, "labels_sha256": hashes or {}}))


@pytest.fixture
def root(tmp_path):
    """A set of two frames of two pixels, and their images beside it."""
    folder, entries, hashes = tmp_path / "labelled", [], {}
    for name in ("b", "a"):
        write_image(tmp_path / f"images/{name}.png", np.zeros((1, 2, 3), np.uint8))
        label = folder / f"labels/camera/{name}.png"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(encode_png(np.array([[CAR, IGNORED]], np.uint8)))
        entries.append(entry(name, sha256_of(tmp_path / f"images/{name}.png")))
        hashes[f"camera/{name}"] = sha256_of(label)
    write(folder, entries, hashes)
    return folder


def opened(root, images="images"):
    settings = PseudoLabelledSettings(reader="pseudo_labelled", root=str(root), images=images)
    return open_frame_set(settings, root.parent)


def test_frames_come_in_name_order_with_images_from_their_own_set(root):
    frames = opened(root)
    assert [frame.name for frame in frames.frames] == ["camera/a", "camera/b"]
    assert frames.frames[0].image == root.parent / "images/a.png"
    assert frames.read_label_map(0).tolist() == [[CAR, IGNORED]]


def test_images_that_are_not_there_are_named_with_the_remedy(root):
    with pytest.raises(UserError, match=r"elsewhere/a\.png: the image of 'camera/a' .*set `images` of data set"):
        opened(root, "elsewhere")


def test_an_unfinished_set_is_refused(root):
    (root / CHOSEN).unlink()
    with pytest.raises(UserError, match="no finished set of pseudo-labels; write it by "):
        opened(root)


def test_an_empty_set_is_no_input(root):
    write(root, [])
    with pytest.raises(NoInputsError, match="the manifest lists no frame"):
        opened(root)


def test_labels_chosen_of_other_frames_than_the_manifest_lists_are_refused(root):
    """A run that labelled more frames was killed before it chose: what was chosen is of those before."""
    write_manifest(root / MANIFEST, [entry("a"), entry("b"), entry("c")])
    with pytest.raises(UserError, match=r"labels were chosen of other frames than its manifest\.jsonl lists; write it"):
        opened(root)


def test_what_was_chosen_must_say_so(root):
    for content in ("{", "[]", '{"identity": {"manifest_sha256": "0"}}'):
        (root / CHOSEN).write_text(content)
        with pytest.raises(UserError, match=r"pseudo_labels\.json: cannot be read as what was chosen .*write it by"):
            opened(root)


def test_the_check_names_files_that_are_not_what_was_labelled(root):
    """Images may be drawn anew, or another folder be named by `images`; their names tell nothing."""
    assert check_frame_set(opened(root)).ok
    write_image(root.parent / "images/a.png", np.ones((1, 2, 3), np.uint8))
    (root / "labels/camera/b.png").write_bytes(encode_png(np.array([[ROAD, IGNORED]], np.uint8)))
    report = check_frame_set(opened(root))
    assert report.changed == [str(root.parent / "images/a.png"), str(root / "labels/camera/b.png")] and not report.ok
    assert "are not what the set's manifest was written of (2)" in format_report(report)
