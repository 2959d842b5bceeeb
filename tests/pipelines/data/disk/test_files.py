"""Files are whole or not there: after a write, after a failed write, and while another process reads."""

import hashlib
import os
import socket

import pytest

from pipelines.data.disk.files import (
    PART,
    open_regular,
    part_of,
    refuse_unwritable,
    refuse_unwritable_folder,
    remove_abandoned_parts,
    sha256_of,
    size_in_words,
    storage_errors,
    write_atomically,
)
from pipelines.errors import StorageError


def test_writes_the_bytes_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b" / "out.bin"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["out.bin"]


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "a" * 236])
def test_a_name_as_long_as_the_disk_allows(tmp_path, name):
    write_atomically(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]
    assert PART.fullmatch(part_of(tmp_path / name).name)[1] == str(os.getpid())


def test_failed_write_keeps_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "out.bin"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"out\.bin.*No space left on device") as caught:
        write_atomically(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_interrupt_leaves_no_part(tmp_path, monkeypatch):
    def interrupt(source, destination):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "out.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="out"):
        write_atomically(tmp_path / "out", b"")
    with pytest.raises(StorageError, match="below"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_what_could_not_be_written_is_refused_and_nothing_is_made(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder").mkdir()
    refuse_unwritable(tmp_path / "a/b/out.bin")
    refuse_unwritable(tmp_path / "notes.txt")  # would be written anew
    for file in ("notes.txt/out.bin", "notes.txt/a/out.bin"):
        with pytest.raises(StorageError, match=f"{file.rpartition('/')[0]}: cannot write: Not a directory"):
            refuse_unwritable(tmp_path / file)
    with pytest.raises(StorageError, match="folder: cannot write: Is a directory"):
        refuse_unwritable(tmp_path / "folder")
    with pytest.raises(StorageError, match=r"notes\.txt: cannot write: Not a directory"):
        refuse_unwritable_folder(tmp_path / "notes.txt")
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)
    refuse_unwritable(tmp_path / "folder/out.bin")
    with pytest.raises(StorageError, match="a/b: cannot write: Permission denied"):
        refuse_unwritable(tmp_path / "a/b/out.bin")
    assert sorted(os.listdir(tmp_path)) == ["folder", "notes.txt"]


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(StorageError, match="cannot write: File name too long"):
        refuse_unwritable(tmp_path / ("a" * 256))


def test_the_part_is_a_hidden_neighbour(tmp_path, monkeypatch):
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(a.name), replace(a, b)))
    write_atomically(tmp_path / "out.bin", b"x")
    assert seen == [f".out.bin.{os.getpid()}.part"]


def test_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(StorageError, match="missing"):
        sha256_of(tmp_path / "missing")


def test_storage_errors_names_the_path(tmp_path):
    with pytest.raises(StorageError, match=r"some/where.*Read-only"), storage_errors("some/where"):
        raise OSError(30, "Read-only file system")


def test_open_regular_takes_files_and_links_to_files_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket may have 107 characters
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(path)
    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"abc"
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        for name, kind in (("pipe", "pipe"), ("s", "socket"), (".", "folder")):
            with pytest.raises(OSError, match=kind):
                open_regular(tmp_path / name)
    with pytest.raises(OSError, match="device"):
        open_regular(type(path)("/dev/null"))


def test_what_killed_processes_were_writing_is_swept_up(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    kept = [
        f".living.png.{os.getpid()}.part",
        f".of-the-system.png.{os.getppid()}.part",
        "mine.part",
        ".hidden",
        "a.png",
    ]
    (tmp_path / "sub").mkdir()
    for name in [*kept, f".a.png.{child}.part", f"sub/.b\nc.png.{child}.part", f".x.{2**70}.part"]:
        (tmp_path / name).touch()
    remove_abandoned_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "sub"]) and not os.listdir(tmp_path / "sub")
    remove_abandoned_parts(tmp_path / "not-there")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (3_700_000, "3.7 MB"), (2.5e12, "2.5 TB"), (4e15, "4000.0 TB")],
)
def test_sizes_are_said_as_people_say_them(size, words):
    assert size_in_words(size) == words
