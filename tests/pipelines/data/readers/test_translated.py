"""A set that our translator wrote: what its manifest lists, and nothing else."""

import json

import pytest

from pipelines.data.disk.manifest import ManifestEntry, write_manifest
from pipelines.data.labels import encodings
from pipelines.errors import NoInputsError, UserError
from tests.pipelines.data.readers.every_reader import draw, opened, photo

HASH = "0" * 64


class TestTranslated:
    @staticmethod
    def entry(frame, encoding=None, **changes):
        label = f"labels/{frame}.png" if encoding else None
        values = {
            "frame": frame,
            "image": f"images/{frame}.png",
            "label": label,
            "label_encoding": encoding.to_json() if encoding else None,
            "source": f"{frame}.png",
            "source_sha256": HASH,
            "image_sha256": HASH,
            "label_sha256": HASH if encoding else None,
            "checkpoint_sha256": HASH,
            "width": 6,
            "height": 4,
        }
        return ManifestEntry(**values | changes)

    def test_frames_may_differ_in_encoding(self, tmp_path):
        photo(tmp_path, "images/b.png", "images/a.png", "images/c.png", "images/not_listed.png")
        draw(tmp_path, "labels/a.png", value=7)
        draw(tmp_path, "labels/b.png", value=1)
        carla, city = encodings.carla("0.9.14"), encodings.cityscapes()
        write_manifest(tmp_path / "manifest.jsonl", [self.entry("b", carla), self.entry("a", city), self.entry("c")])
        frame_set = opened(tmp_path, reader="translated")
        assert [(frame.name, frame.encoding) for frame in frame_set.frames] == [("a", city), ("b", carla), ("c", None)]
        assert {(frame.image_sha256, frame.label_sha256) for frame in frame_set.frames} == {(HASH, HASH), (HASH, None)}
        assert frame_set.encoding is None and not frame_set.labelled and frame_set.only_labelled().labelled
        assert (frame_set.read_label_map(0) == 0).all() and (frame_set.read_label_map(1) == 0).all()

    def test_missing_empty_or_foreign_manifest(self, tmp_path):
        with pytest.raises(UserError, match="manifest"):
            opened(tmp_path, reader="translated")
        (tmp_path / "manifest.jsonl").write_text("")
        with pytest.raises(NoInputsError, match="no frame"):
            opened(tmp_path, reader="translated")
        (tmp_path / "manifest.jsonl").write_text("{}\n")
        with pytest.raises(UserError, match="manifest"):
            opened(tmp_path, reader="translated")

    def test_a_manifest_cannot_point_outside(self, tmp_path):
        line = json.dumps(self.entry("a").model_dump() | {"image": "../../etc/secret.png"})
        (tmp_path / "manifest.jsonl").write_text(line + "\n")
        with pytest.raises(UserError, match="inside"):
            opened(tmp_path, reader="translated")
