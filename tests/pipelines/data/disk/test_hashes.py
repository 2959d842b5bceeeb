"""Hashes of files, kept from one command to the next: right whatever became of the file that keeps them."""

import pytest

from pipelines.data.disk.hashes import HashCache
from pipelines.errors import StorageError


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"frame\.png: cannot read: No such file"):
        HashCache(tmp_path / "cache.json").of(tmp_path / "frame.png")


def test_an_unchanged_cache_is_not_written(tmp_path):
    (tmp_path / "file").write_text("a")
    cache = HashCache(tmp_path / "cache.json")
    cache.of(tmp_path / "file")
    cache.save()
    before = (tmp_path / "cache.json").stat().st_mtime_ns
    again = HashCache(tmp_path / "cache.json")
    again.of(tmp_path / "file")
    again.save()
    assert (tmp_path / "cache.json").stat().st_mtime_ns == before
