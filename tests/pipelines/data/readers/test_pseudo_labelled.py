"""Sets of pseudo-labels: images elsewhere, found by the manifest; nothing is opened before it is whole."""

import json

import numpy as np
import pytest

from pipelines.data.frames import open_frame_set
from pipelines.data.images import encode_png, write_image
from pipelines.data.manifest import MANIFEST, ManifestEntry, write_manifest
from pipelines.data.readers.pseudo_labelled import CHOSEN, PseudoLabelledSettings
from pipelines.errors import NoInputsError, UserError

ROAD, CAR, IGNORED = 0, 13, 255
HASH = "0" * 64


def entry(name):
    return ManifestEntry(
        frame=f"camera/{name}", image=f"seen/camera/{name}.png", label=None, label_encoding=None, source=f"{name}.png",
        source_sha256=HASH, image_sha256=HASH, label_sha256=None, checkpoint_sha256=HASH, width=2, height=1,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A set of two frames of two pixels, and their images beside it."""
    folder = tmp_path / "labelled"
    for name in ("b", "a"):
        write_image(tmp_path / f"images/{name}.png", np.zeros((1, 2, 3), np.uint8))
        label = folder / f"labels/camera/{name}.png"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(encode_png(np.array([[CAR, IGNORED]], np.uint8)))
    write_manifest(folder / MANIFEST, [entry("b"), entry("a")])
    (folder / CHOSEN).write_text(json.dumps({}))
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
    write_manifest(root / MANIFEST, [])
    with pytest.raises(NoInputsError, match="the manifest lists no frame"):
        opened(root)
