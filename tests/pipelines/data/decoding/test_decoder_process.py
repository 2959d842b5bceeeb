import json
import math
import mmap
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from pipelines.data.decoding.decoder_process import SPARE_BYTES, allow, hand_over, limit
from pipelines.data.images import encode_png
from tests.pipelines.batch_inference.translating import in_a_process
from tests.pipelines.data.image_bytes import PHOTO
from tests.pipelines.hangs import HANGS_S


def test_it_answers_line_by_line_until_nobody_asks(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(PHOTO))
    (tmp_path / "b.png").write_bytes(b"")
    questions = [
        {"kind": "image and alpha", "path": "a.png", "folder": str(tmp_path)},
        {"kind": "label map", "path": str(tmp_path / "b.png"), "folder": None},
    ]
    memory = os.memfd_create("pixels")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.data.decoding.decoder_process", str(memory)],
        input="".join(json.dumps(question) + "\n" for question in questions),
        pass_fds=(memory,), capture_output=True, text=True, timeout=HANGS_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ready, good, bad = map(json.loads, done.stdout.splitlines())
    assert ready == {}
    assert good == {"arrays": [["uint8", list(PHOTO.shape), PHOTO.nbytes], None]}
    assert os.pread(memory, PHOTO.nbytes + 1, 0) == PHOTO.tobytes()
    assert bad == {"refused": f"{tmp_path}/b.png: the file is empty. Expected a whole PNG label map."}


def test_a_limit_on_the_size_of_files_blames_no_image(tmp_path):
    """It holds for the shared memory, too, in which the pixels are handed over (`ulimit -f`)."""
    (tmp_path / "a.png").write_bytes(encode_png(PHOTO))
    code = """if True:
        import resource, sys
        from pathlib import Path
        from pipelines.data.decoding.decoders import supervised_decoding
        from pipelines.data.images import read_image
        from pipelines.errors import StorageError
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
        with supervised_decoding():
            try:
                read_image(Path(sys.argv[1]))
            except StorageError as error:
                print(error)
        """
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], capture_output=True, text=True, timeout=HANGS_S,
        check=True,
    ).stdout  # fmt: skip
    cause = "its pixels cannot be handed over: File too large. Raise the limit (ulimit -f)"
    assert told == f"{tmp_path}/a.png: {cause}\n"


def test_arrays_stand_one_after_the_other():
    memory = os.memfd_create("pixels")
    label_map, palette = np.full((2, 3), 513, np.uint16), np.array([[1, 2, 3]], np.uint8)
    assert hand_over((label_map, palette), memory) == [["uint16", [2, 3], 12], ["uint8", [1, 3], 3]]
    assert os.pread(memory, 99, 0) == bytes([1, 2] * 6 + [1, 2, 3])  # 513 = 2 * 256 + 1, the lowest byte first


def test_memory_of_a_large_frame_is_given_back(monkeypatch):
    monkeypatch.setattr("pipelines.data.decoding.decoder_process.KEPT_BYTES", 10)
    memory = os.memfd_create("pixels")
    for size, left in ((8, 8), (11, 11), (3, 3), (2, 3)):  # 11 is too much to be kept, 3 is not
        hand_over((np.zeros(size, np.uint8),), memory)
        assert os.fstat(memory).st_size == left


def test_so_much_memory_on_top_of_what_is_in_use():
    def ask_for(size):  # of the system: an allocator may still hold what earlier tests have freed
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def take():
        limit(10 * 2**20)
        ask_for(SPARE_BYTES - 2**25).close()
        with pytest.raises(OSError, match="Cannot allocate memory"):
            ask_for(SPARE_BYTES + 2**26)
        limit(2**27)
        ask_for(SPARE_BYTES + 2**26).close()

    assert in_a_process(take) == 0


def test_so_much_time_on_top_of_what_was_used():
    """5 s, and one for each ten million pixels."""

    def look():
        before = math.ceil(sum(os.times()[:2]))
        limit(0, 39_000_000)
        assert before + 8 <= resource.getrlimit(resource.RLIMIT_CPU)[0] <= math.ceil(sum(os.times()[:2])) + 8

    assert in_a_process(look) == 0


def test_no_more_than_the_process_was_started_with():
    def look():
        resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))
        allow(resource.RLIMIT_CPU, 3000)
        assert resource.getrlimit(resource.RLIMIT_CPU) == (2000, 2000)

    assert in_a_process(look) == 0
