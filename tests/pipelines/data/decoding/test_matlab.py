"""MATLAB's files: numbers as scipy writes them, and what is none of it."""

import struct
from io import BytesIO

import numpy as np
import pytest
from scipy.io import savemat

from pipelines.data.decoding import matlab
from pipelines.data.decoding.matlab import numbers_in


def saved(compressed=False, **variables):
    stream = BytesIO()
    savemat(stream, variables, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
def test_numbers_of_every_type(kind, compressed):
    """Five in a column; and three bytes or one number, which share eight bytes with their kind and size."""
    data = saved(compressed, trainIds=np.array([[1], [2], [3], [120], [7]], kind), few=np.array([[9, 8, 7]], "u1"))
    assert numbers_in(data, "trainIds").tolist() == [1, 2, 3, 120, 7]
    assert numbers_in(data, "few").tolist() == [9, 8, 7]
    assert numbers_in(data, "gone").size == 0


def test_columns_come_one_after_the_other():
    assert numbers_in(saved(a=np.array([[1, 2], [3, 4]], "u2")), "a").tolist() == [1, 3, 2, 4]


def test_text_and_cells_are_passed_over():
    cells = np.array(["road", "sidewalk"], object)
    data = saved(classes=cells, text="train", map={"a": 1}, valIds=np.array([2.0]))
    assert numbers_in(data, "valIds").tolist() == [2]
    assert numbers_in(data, "text").size == numbers_in(data, "classes").size == 0


def test_a_file_of_a_machine_with_the_largest_byte_first():
    flags, size = struct.pack(">IIII", 6, 8, 11, 0), struct.pack(">IIii", 5, 8, 1, 2)
    name, values = struct.pack(">HH4s", 1, 1, b"a"), struct.pack(">HHHH", 4, 4, 258, 3)
    matrix = flags + size + name + values
    data = bytes(126) + b"MI" + struct.pack(">II", 14, len(matrix)) + matrix
    assert numbers_in(data.replace(bytes(2) + b"MI", b"\1\0MI"), "a").tolist() == [258, 3]


def test_the_bit_that_crashes_scipys_reader():
    """The numbers are then of a kind that there is not."""
    data = bytearray(saved(trainIds=np.array([[1], [3]], np.uint16), valIds=np.array([[2]], np.uint16)))
    data[185] ^= 1
    assert numbers_in(bytes(data), "trainIds").size == 0
    assert numbers_in(bytes(data), "valIds").tolist() == [2]


def test_what_is_cut_off():
    whole = saved(trainIds=np.arange(9.0))
    with pytest.raises(ValueError, match="cut off, or damaged"):
        numbers_in(whole[:-8], "trainIds")
    packed = saved(True, trainIds=np.arange(9.0))
    with pytest.raises(ValueError, match="cut off, or larger"):
        numbers_in(packed[:132] + struct.pack("<I", len(packed) - 140) + packed[136:-4], "trainIds")


@pytest.mark.parametrize("data", [b"", b"x" * 200, b"MATLAB 7.3 MAT-file".ljust(510) + b"\0\2IM"])
def test_no_such_file(data):
    with pytest.raises(ValueError, match="no MATLAB file of version 5"):
        numbers_in(data, "a")


def test_a_file_that_unpacks_to_more_than_any_list(monkeypatch):
    data = saved(True, a=np.zeros(10_000))
    monkeypatch.setattr(matlab, "LARGEST", 1000)
    with pytest.raises(ValueError, match="larger than any list"):
        numbers_in(data, "a")
