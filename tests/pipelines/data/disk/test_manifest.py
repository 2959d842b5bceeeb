import json
import os

import pytest

from pipelines.data.disk.manifest import JOURNAL, Journal, ManifestEntry, read_manifest, write_manifest
from pipelines.errors import StorageError, UserError


def entry(frame="seq/0", **changes):
    values = {
        "frame": frame,
        "image": f"{frame}.png",
        "label": f"labels/{frame}.png",
        "label_encoding": {"reader": "cityscapes", "encoding": "labelIds"},
        "source": f"{frame}.jpg",
        "source_sha256": "0" * 64,
        "image_sha256": "1" * 64,
        "label_sha256": "2" * 64,
        "checkpoint_sha256": "a" * 64,
        "width": 8,
        "height": 6,
    }
    return ManifestEntry(**(values | changes))


UNLABELLED = {"label": None, "label_encoding": None, "label_sha256": None}


def test_what_is_written_is_read_back_in_name_order(tmp_path):
    entries = [entry("b"), entry("a", **UNLABELLED), entry("strasse/groß 1\n\u2028")]
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert read_manifest(tmp_path / "manifest.jsonl") == sorted(entries, key=lambda entry: entry.frame)
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 3


def test_the_order_of_the_entries_does_not_show_in_the_bytes(tmp_path):
    entries = [entry("c"), entry("a"), entry("b")]
    write_manifest(tmp_path / "one", entries)
    write_manifest(tmp_path / "other", entries[::-1])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def good_line():
    return entry().model_dump()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        '{"frame": "x"}',
        json.dumps(good_line() | {"frame": ""}),
        json.dumps(good_line() | {"image": "../outside.png"}),
        json.dumps(good_line() | {"image": "/etc/passwd"}),
        json.dumps(good_line() | {"label": "a/../../b.png"}),
        json.dumps(good_line() | {"label": None}),
        json.dumps(good_line() | {"label_encoding": None}),
        json.dumps(good_line() | {"source_sha256": "XYZ"}),
        json.dumps(good_line() | {"width": 0}),
        json.dumps(good_line() | {"mood": "good"}),
    ],
)
def test_a_damaged_line_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [entry("a")])
    path.write_bytes(path.read_bytes() + (line or "\xff").encode("latin1") + b"\n")
    with pytest.raises(UserError, match=r"manifest\.jsonl:2: damaged line \(.+\)\. Translate the set again") as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_a_frame_listed_twice_is_refused(tmp_path):
    write_manifest(tmp_path / "m", [entry("a"), entry("a")])
    with pytest.raises(UserError, match=r":2: frame 'a' is listed twice"):
        read_manifest(tmp_path / "m")


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jsonl: cannot read the manifest: No such file"):
        read_manifest(tmp_path / "gone.jsonl")


def test_a_journal_remembers(tmp_path):
    with Journal(tmp_path / JOURNAL) as journal:
        assert journal.entries == {}
        journal.append([entry("a")])
        journal.append([entry("b"), entry("a", width=9)])
    with Journal(tmp_path / JOURNAL) as journal:
        assert journal.entries == {"a": entry("a", width=9), "b": entry("b")}


def test_a_torn_last_line_is_cut_off_wherever_it_is_torn(tmp_path):
    path = tmp_path / JOURNAL
    with Journal(path) as journal:
        journal.append([entry("a"), entry("b")])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        with Journal(path) as journal:
            assert list(journal.entries) == ["a"]
            journal.append([entry("b")])
        assert path.read_bytes() == whole


def test_a_damaged_line_costs_only_its_frame(tmp_path):
    path = tmp_path / JOURNAL
    with Journal(path) as journal:
        journal.append([entry("a"), entry("b"), entry("c")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 300 + b"\n" + lines[2])
    with Journal(path) as journal:
        assert list(journal.entries) == ["a", "c"]


def test_a_second_process_is_kept_out_and_a_dead_one_is_not(tmp_path):
    path = tmp_path / JOURNAL
    with Journal(path), pytest.raises(UserError, match="another process is at work"):
        Journal(path)
    if (child := os.fork()) == 0:
        Journal(path)
        os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    with Journal(path) as journal:
        assert journal.entries == {}


def test_a_journal_in_a_missing_folder_is_a_matter_of_storage(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        Journal(tmp_path / "missing" / JOURNAL)
