"""Which files are whole, on containers put together by hand: a few bytes each, and no decoder."""

import io
import struct

import pytest

from pipelines.data.video.container import missing_part


def judged(data):
    return missing_part(io.BytesIO(data), len(data))


def box(kind, contents, length=None):
    return struct.pack(">I4s", 8 + len(contents) if length is None else length, kind) + contents


def element(identity, contents, known=True):
    """Element with a length of two bytes; all bits set where it is unknown."""
    length = 0x4000 | len(contents) if known else 0x7FFF
    return bytes.fromhex(identity) + struct.pack(">H", length) + contents


HEADER = element("1A45DFA3", b"webm")
BLOCKS = element("1549A966", b"info") + element("1F43B675", element("E7", b"\0") + element("A3", bytes(40)), False)
SOUND = {
    "mp4": box(b"ftyp", b"isom") + box(b"moov", bytes(30)) + box(b"mdat", bytes(50)),
    "large mp4": box(b"ftyp", b"isom") + box(b"mdat", struct.pack(">Q", 16 + 50) + bytes(50), 1),
    "fragments": box(b"ftyp", b"isom") + box(b"moof", bytes(30)) + box(b"mdat", bytes(50)),
    "matroska": HEADER + element("18538067", BLOCKS),
    "live matroska": HEADER + element("18538067", BLOCKS, False),
    "avi": struct.pack("<4sI4s", b"RIFF", 4 + 60, b"AVI ") + bytes(60),
    "long avi": 2 * (struct.pack("<4sI4s", b"RIFF", 4 + 60, b"AVI ") + bytes(60)),
    "transport stream": (b"G" + bytes(187)) * 3,
}


@pytest.mark.parametrize("kind", SOUND)
def test_whole_files_and_the_same_files_cut(kind):
    data = SOUND[kind]
    assert judged(data) is None
    for missing in (1, 7, 20):
        assert judged(data[:-missing]).startswith("is cut off: it"), missing


def test_the_words_say_how_much_is_there_and_what_to_do():
    # On paper: 12 + 38 + 58 bytes, of which ten are gone
    assert judged(SOUND["mp4"][:-10]) == (
        "is cut off: it should have 108 bytes or more and has 98. "
        "Get the whole file, or keep what is there: ffmpeg -i IN -c copy OUT.mkv"
    )


def test_a_fragment_without_its_pictures():
    assert judged(SOUND["mp4"] + box(b"moof", bytes(30))).startswith("is cut off: its last fragment has no pictures")


def test_lengths_that_tell_nothing_are_no_reason_to_refuse():
    assert judged(box(b"ftyp", b"isom") + box(b"mdat", bytes(50), 0)) is None  # up to the end of the file
    assert judged(SOUND["mp4"] + bytes(16)) is None  # padding
    assert judged(SOUND["matroska"] + b"appended") is None
    assert judged(SOUND["avi"] + b"JUNK" + bytes(3)) is None
    assert judged(struct.pack("<4sI4s", b"RIFF", 12 + 60, b"AVI ") + bytes(60)) is None  # counts its own eight bytes
    assert judged(b"\0\0\1\xba" + bytes(40)) is None and judged(b"") is None


def test_recordings_that_were_never_closed_or_are_damaged():
    for length in (0, 0xFFFFFFFF):
        data = struct.pack("<4sI4s", b"RIFF", length, b"AVI ") + bytes(60)
        assert judged(data).startswith("was never closed by what recorded it. Get the whole file")
    start = len(SOUND["live matroska"])
    assert judged(SOUND["live matroska"] + bytes(40)).startswith(f"is damaged from byte {start} on")
