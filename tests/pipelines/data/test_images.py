"""Images: what is written can be read back, and floats are what the levels say. Reading: `decoding/test_decode.py`."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.data.images import (
    encode_jpeg,
    encode_png,
    image_size,
    read_image,
    read_raw,
    through_jpeg,
    to_image,
    to_tensor,
    write_image,
)
from pipelines.errors import NumericalError, UserError
from tests.pipelines.data.image_bytes import PHOTO


class TestWriting:
    @given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), st.sampled_from([(3, 5), (4, 2, 3), (1, 1, 4), (7, 1)])))
    @settings(max_examples=40, deadline=None)
    def test_png_keeps_every_value(self, tmp_path_factory, array):
        path = tmp_path_factory.mktemp("png") / "a.png"
        write_image(path, array)
        assert (read_raw(path) == array).all() and read_raw(path).dtype == array.dtype
        assert image_size(path) == (array.shape[1], array.shape[0])

    def test_jpeg_is_close_and_keeps_full_colour(self, tmp_path):
        stripes = np.zeros((32, 32, 3), np.uint8)
        stripes[:, ::2] = (255, 0, 0)
        stripes[:, 1::2] = (0, 0, 255)
        for suffix in (".jpg", ".JPEG"):
            write_image(tmp_path / f"a{suffix}", stripes)
            error = np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - stripes)
            assert error.max() < 40  # with halved colour (4:2:0) the stripes would run into violet: over 100

    def test_equal_arrays_give_equal_bytes(self):
        assert encode_png(PHOTO) == encode_png(PHOTO.copy())
        assert encode_jpeg(PHOTO) == encode_jpeg(np.asfortranarray(PHOTO))
        assert encode_jpeg(PHOTO, 50) != encode_jpeg(PHOTO)

    def test_what_cannot_be_written(self, tmp_path):
        with pytest.raises(UserError, match=r"\.gif"):
            write_image(tmp_path / "a.gif", PHOTO)
        with pytest.raises(ValueError, match="float32"):
            encode_png(PHOTO.astype(np.float32))
        with pytest.raises(ValueError, match="JPEG"):
            encode_jpeg(PHOTO[..., 0])
        assert os.listdir(tmp_path) == []


class TestTensors:
    def test_every_level_survives(self):
        image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
        tensor = to_tensor(image)
        assert tensor.shape == (3, 16, 16) and tensor.dtype == torch.float32
        assert tensor[:, 0, 1].tolist() == pytest.approx([1 / 255] * 3)
        assert (to_image(tensor) == image).all()

    def test_rounded_and_clipped(self):
        # 0.5 / 255 lies between 0 and 1; 0.6 of a level rounds up, 0.4 down
        values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).expand(3, 1, 4)
        assert to_image(values)[0, :, 0].tolist() == [0, 0, 1, 255]
        assert to_image(values.to(torch.bfloat16)).dtype == np.uint8

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_no_number_no_image(self, value):
        with pytest.raises(NumericalError, match="not numbers"):
            to_image(torch.full((3, 2, 2), value))


def test_through_jpeg_loses_little_or_much():
    """An even picture stays as it is, give or take a level; noise loses the more the lower the quality."""
    even, noise = np.full((17, 30, 3), 90, np.uint8), np.random.default_rng(0).integers(0, 256, (17, 30, 3), np.uint8)
    assert through_jpeg(even, 40).shape == (17, 30, 3) and np.abs(through_jpeg(even, 40).astype(int) - 90).max() <= 2
    losses = [np.abs(through_jpeg(noise, quality).astype(int) - noise).mean() for quality in (95, 60, 20)]
    assert losses == sorted(losses)
