"""Every file that a command reads, damaged by hypothesis in ways that nobody thought of: read, or refused in one line.

A case is a kind of file, damaged EXAMPLES times; the same ways each time, so that what passed once passes again.
"""

import hashlib
import json
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.io import savemat

from pipelines.batch_inference.shards import listed_failures
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.manifest import Journal, ManifestEntry, read_manifest, write_manifest
from pipelines.data.images import encode_image, encode_png, read_image
from pipelines.data.labels import encodings
from pipelines.data.readers.gta5 import frames_of_split
from pipelines.data.readers.idd_lite import drives_of_split
from pipelines.data.readers.pseudo_labelled import finished
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.data.selection.listing import read_listing
from pipelines.engine.checkpoint_files import read_hashes, read_state
from pipelines.errors import UserError
from pipelines.experiment.config import read_experiment
from tests.hostile.damaging import damaged
from tests.hostile.test_configs import SETS
from tests.pipelines.data.image_bytes import PHOTO

SAMPLED_EVERY = 5
EXAMPLES = 300


def entries():
    """As a translation of two data sets' labels notes them."""
    carla = encodings.carla("0.9.14", own_car="0.25").merging([[6, 7]])
    hashes = dict.fromkeys(("source_sha256", "image_sha256", "label_sha256", "checkpoint_sha256"), "0a" * 32)
    return [
        ManifestEntry(
            frame=name, image=f"{name}.png", label=f"labels/{name}.png", label_encoding=encoding.to_json(),
            source=f"{name}.jpg", width=8, height=6, **hashes,
        )
        for name, encoding in (("a/0", encodings.cityscapes()), ("b", carla))
    ]  # fmt: skip


def manifest(folder):
    write_manifest(folder / "good", entries())
    return (folder / "good").read_bytes()


def open_journal(path):
    with Journal(path) as journal:
        return journal.entries


def split_mat(compressed):
    stream = BytesIO()
    columns = {"trainIds": np.array([[1], [3]], np.uint16), "valIds": np.array([[2.0]])}
    savemat(stream, columns, do_compression=compressed)
    return stream.getvalue()


def chosen(path):
    path.with_name("manifest.jsonl").write_bytes(manifest(path.parent))
    return finished(path.parent)


def of_manifest(folder):
    return {
        "identity": {"manifest_sha256": hashlib.sha256(manifest(folder)).hexdigest()},
        "labels_sha256": {"b": "3" * 64},
    }


def as_json(value):
    return json.dumps(value, indent=1).encode()


IDS = (np.arange(PHOTO.shape[0] * PHOTO.shape[1]) % 19).astype(np.uint8).reshape(PHOTO.shape[:2])
IN_RED = np.stack([IDS % 12, IDS * 0, IDS * 0], -1)
CHECKPOINT = {"method.safetensors": "0" * 64, "optimizers.safetensors": "1" * 64, "state.json": "2" * 64}
STATE = {"format": 1, "step": 3, "about": {"stage": "x"}, "optimizers": {"network": {}}}
CONFIG = (
    f"{SETS}\n[translator]\nsteps = 20\ncrop = 32\n[segmenter]\nheight = 32\ncrop = [64, 32]\nlearning_rate = 1e-3\n"
)

FILES = {
    "PNG": ("x.png", lambda folder: encode_png(PHOTO), read_image),
    "JPEG": ("x.jpg", lambda folder: encode_image(PHOTO, ".jpg"), read_image),
    "WebP": ("x.webp", lambda folder: encode_image(PHOTO, ".webp"), read_image),
    "BMP": ("x.bmp", lambda folder: encode_image(PHOTO, ".bmp"), read_image),
    "TIFF": ("x.tif", lambda folder: encode_image(PHOTO, ".tif"), read_image),
    "label map of Cityscapes": ("x.png", lambda folder: encode_png(IDS), encodings.cityscapes().decode),
    "label map of GTA5": ("x.png", lambda folder: encode_png(IDS), encodings.gta5().decode),
    "label map of SYNTHIA": ("x.png", lambda folder: encode_png(IN_RED.astype(np.uint16)), encodings.synthia().decode),
    "label map of CARLA": ("x.png", lambda folder: encode_png(IN_RED), encodings.carla("0.9.14").decode),
    "GTA5's splits": ("split.mat", lambda folder: split_mat(False), lambda path: frames_of_split(path, "train")),
    "GTA5's splits, packed": ("split.mat", lambda folder: split_mat(True), lambda path: frames_of_split(path, "val")),
    "table of drives": ("splits.csv", lambda folder: b"drive,split\na,train\nb,val\n",
                        lambda path: drives_of_split(path, "val")),
    "list of frames": ("list.txt", lambda folder: b"a/b.png\nc.jpg\n\n# d\n", read_listing),
    "manifest": ("manifest.jsonl", manifest, read_manifest),
    "translated set": ("manifest.jsonl", manifest,
                       lambda path: TranslatedSettings(reader="translated", root=".").find(path.parent)),
    "journal": (".journal.jsonl", manifest, open_journal),
    "list of failures": ("failures.jsonl", lambda folder: b'{"frame": "a", "source": "b", "reason": "c"}\n',
                         listed_failures),
    "choice of pseudo-labels": ("pseudo_labels.json", lambda folder: as_json(of_manifest(folder)), chosen),
    "manifest of a checkpoint": ("manifest.json", lambda folder: as_json(CHECKPOINT),
                                 lambda path: read_hashes(path.parent)),
    "state of a checkpoint": ("state.json", lambda folder: as_json(STATE), lambda path: read_state(path.parent)),
    "record": ("final.json", lambda folder: as_json(CHECKPOINT), read_json),
    "config": ("x.toml", lambda folder: CONFIG.encode(), read_experiment),
}  # fmt: skip
"""Kind -> its name, a good one made with the help of a folder, and what reads it."""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about tags
@pytest.mark.parametrize("kind", FILES)
def test_what_is_damaged_is_read_or_refused_in_one_line(kind, tmp_path):
    name, make, read = FILES[kind]
    good, path = make(tmp_path), tmp_path / name
    outcomes = []

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(damaged(good))
    def survives(data):
        path.write_bytes(data)
        try:
            read(path)
        except UserError as error:
            assert "\n" not in str(error) and str(tmp_path) in str(error), str(error)
            outcomes.append("refused")
        else:
            outcomes.append("read")

    path.write_bytes(good)
    read(path)
    survives()
    assert len(outcomes) >= EXAMPLES // 2
