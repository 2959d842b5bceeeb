"""Decoding: what every kind of file becomes, and that no broken one does more harm than one line of error."""

import errno
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from pipelines.data import images
from pipelines.data.decoding import decode
from pipelines.data.decoding.headers import MAX_PIXELS
from pipelines.data.images import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    encode_jpeg,
    encode_png,
    image_size,
    read_image,
    read_raw,
    write_image,
)
from pipelines.errors import ImageError, StorageError
from tests.pipelines.data.image_bytes import PHOTO, chunk, exif, make_png, saved

RNG = np.random.default_rng(0)


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def refused(path, read=read_image):
    """The message of the ImageError, after checking that it is one line that names the file."""
    with pytest.raises(ImageError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "Expected" in message
    return message


class TestWhatBecomesOfEveryKind:
    def test_rgb_png_is_exact(self, tmp_path):
        assert (read_image(put(tmp_path, "a.png", encode_png(PHOTO))) == PHOTO).all()

    def test_grey_becomes_three_equal_channels(self, tmp_path):
        for data in (encode_png(PHOTO[..., 0]), saved(Image.fromarray(PHOTO[..., 0]), "BMP")):
            assert (read_image(put(tmp_path, "a.png", data)) == PHOTO[..., :1]).all()
        grey_jpeg = read_image(put(tmp_path, "a.jpg", saved(Image.fromarray(PHOTO[..., 0]), "JPEG", quality=100)))
        assert grey_jpeg.shape == PHOTO.shape and np.abs(grey_jpeg.astype(int) - PHOTO[..., :1]).max() <= 3

    def test_alpha_is_dropped_and_the_colour_under_it_kept(self, tmp_path):
        clear = np.zeros((40, 56, 1), np.uint8)
        rgba = np.concatenate([PHOTO, clear], axis=-1)
        assert (read_image(put(tmp_path, "a.png", encode_png(rgba))) == PHOTO).all()
        grey_alpha = np.concatenate([PHOTO[..., :1], clear], axis=-1)
        assert (read_image(put(tmp_path, "b.png", make_png(grey_alpha, 8, 4))) == PHOTO[..., :1]).all()
        key = struct.pack(">HHH", *map(int, PHOTO[0, 0]))
        assert (read_image(put(tmp_path, "c.png", make_png(PHOTO, 8, 2, chunk(b"tRNS", key)))) == PHOTO).all()

    @pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
    def test_16_bit_is_rounded_to_8(self, tmp_path, colour_type, channels):
        # On paper: 128 / 257 = 0.498 -> 0; 129 / 257 = 0.502 -> 1; 65535 / 257 = 255; 386 / 257 = 1.502 -> 2
        values = np.array([[128, 129, 65535, 386]], np.uint16)
        stored = np.repeat(values[..., None], channels, axis=-1)
        image = read_image(put(tmp_path, "a.png", make_png(stored, 16, colour_type)))
        assert image[0].tolist() == [[0] * 3, [1] * 3, [255] * 3, [2] * 3]

    def test_16_bit_tiff(self, tmp_path):
        data = saved(Image.fromarray(np.array([[128, 129, 65535]], np.uint16)), "TIFF")
        assert read_image(put(tmp_path, "a.tif", data))[0, :, 0].tolist() == [0, 1, 255]

    def test_palette_becomes_its_colours_and_raw_its_index(self, tmp_path):
        index = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
        index.putpalette([9, 8, 7, 6, 5, 4, 3, 2, 1])
        for bits in (2, 8):
            path = put(tmp_path, "a.png", saved(index, "PNG", bits=bits))
            assert read_image(path).tolist() == [[[9, 8, 7], [6, 5, 4]], [[3, 2, 1], [6, 5, 4]]]
            assert read_raw(path).tolist() == [[0, 1], [2, 1]]

    def test_one_bit_is_black_and_white(self, tmp_path):
        data = saved(Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1"), "PNG")
        path = put(tmp_path, "a.png", data)
        assert read_image(path)[0, :, 0].tolist() == [0, 255, 255]
        assert "ambiguous" in refused(path, read_raw)

    def test_cmyk_jpeg_becomes_rgb(self, tmp_path):
        data = saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95)
        image = read_image(put(tmp_path, "a.jpg", data))
        assert np.abs(image.astype(int) - PHOTO).mean() < 8

    @pytest.mark.parametrize("kind", ["WEBP", "BMP", "TIFF"])
    def test_other_formats(self, tmp_path, kind):
        options = {"lossless": True} if kind == "WEBP" else {}
        path = put(tmp_path, "a." + kind.lower(), saved(Image.fromarray(PHOTO), kind, **options))
        assert (read_image(path) == PHOTO).all()
        assert image_size(path) == (56, 40)

    def test_progressive_jpeg(self, tmp_path):
        data = saved(Image.fromarray(PHOTO), "JPEG", progressive=True, quality=95)
        assert np.abs(read_image(put(tmp_path, "a.jpg", data)).astype(int) - PHOTO).mean() < 4

    def test_the_suffix_does_not_matter(self, tmp_path):
        assert (read_image(put(tmp_path, "png.jpg", encode_png(PHOTO))) == PHOTO).all()
        assert read_image(put(tmp_path, "jpg.png", encode_jpeg(PHOTO))).shape == PHOTO.shape

    def test_a_link_to_a_file_is_followed(self, tmp_path):
        path = put(tmp_path, "a.png", encode_png(PHOTO))
        (tmp_path / "link.png").symlink_to(path)
        assert (read_image(tmp_path / "link.png") == PHOTO).all()

    def test_bytes_after_the_end_are_no_harm(self, tmp_path):
        for name, data in (("a.png", encode_png(PHOTO)), ("a.jpg", encode_jpeg(PHOTO))):
            assert read_image(put(tmp_path, name, data + b"more")).shape == PHOTO.shape

    def test_our_png_decoder_agrees_with_opencv(self, tmp_path):
        for array in (PHOTO, PHOTO[..., 0], np.dstack([PHOTO, PHOTO[..., 0]])):
            path = put(tmp_path, "a.png", encode_png(array))
            theirs = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
            assert (read_image(path) == theirs).all()


class TestOrientation:
    """Pillow's own transposition is the reference."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_images_and_labels_turn_alike(self, tmp_path, orientation):
        reference = Image.fromarray(PHOTO)
        reference.getexif()[274] = orientation
        expected = np.asarray(ImageOps.exif_transpose(reference))
        size = (expected.shape[1], expected.shape[0])
        block = chunk(b"eXIf", exif(orientation))
        for data in (make_png(PHOTO, 8, 2, block), make_png(PHOTO, 8, 2, after=block)):
            path = put(tmp_path, "a.png", data)
            assert (read_image(path) == expected).all() and image_size(path) == size
            assert (read_raw(path) == expected).all()
        path = put(tmp_path, "l.png", make_png(PHOTO[..., 0], 8, 0, block))
        assert (read_raw(path) == expected[..., 0]).all()

    @pytest.mark.parametrize("orientation", [3, 6, 8])
    def test_jpeg(self, tmp_path, orientation):
        plain = read_image(put(tmp_path, "plain.jpg", encode_jpeg(PHOTO)))
        segment = b"Exif\0\0" + exif(orientation)
        data = encode_jpeg(PHOTO)
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
        path = put(tmp_path, "a.jpg", data)
        turns = {3: 2, 6: 3, 8: 1}[orientation]
        assert (read_image(path) == np.rot90(plain, turns)).all()
        assert image_size(path) == read_image(path).shape[1::-1]

    @pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
    def test_formats_left_to_pillow(self, tmp_path, kind):
        tag = Image.Exif()
        tag[274] = 6
        options = {"lossless": True} if kind == "WEBP" else {}
        path = put(tmp_path, "a", saved(Image.fromarray(PHOTO), kind, exif=tag, **options))
        assert (read_image(path) == np.rot90(PHOTO, 3)).all()
        assert image_size(path) == (40, 56)

    @pytest.mark.parametrize("mode", ["RGB", "P", "1"])
    def test_a_png_is_turned_by_its_exif_alone(self, tmp_path, mode):
        """Pillow takes an orientation from XMP too, which other decoders, and our headers, do not look into."""
        photo = Image.fromarray(PHOTO).convert(mode)
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        path = put(tmp_path, "a.png", saved(photo, "PNG", pnginfo=text))
        assert image_size(path) == photo.size
        assert (read_image(path) == np.asarray(photo.convert("RGB"))).all()

    @pytest.mark.parametrize("block", [b"", b"II*\0", exif(0), exif(9), b"\xff" * 40])
    def test_damaged_exif_means_as_stored(self, tmp_path, block):
        path = put(tmp_path, "a.png", make_png(PHOTO, 8, 2, chunk(b"eXIf", block)))
        assert (read_image(path) == PHOTO).all()


class TestRaw:
    def test_16_bit_channels_come_in_rgb_order(self, tmp_path):
        values = RNG.integers(0, 65536, (5, 4, 3), dtype=np.uint16)
        raw = read_raw(put(tmp_path, "a.png", make_png(values, 16, 2)))
        assert raw.dtype == np.uint16 and (raw == values).all()

    @pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (4, 2), (6, 4)])
    @pytest.mark.parametrize("depth", [8, 16])
    def test_all_other_channels_too(self, tmp_path, colour_type, channels, depth):
        values = RNG.integers(0, 2**depth, (5, 4, channels)).astype(f"u{depth // 8}")
        raw = read_raw(put(tmp_path, "a.png", make_png(values, depth, colour_type)))
        assert raw.dtype == values.dtype and (raw == values.squeeze()).all()

    def test_jpeg_labels_are_refused(self, tmp_path):
        assert "JPEG" in refused(put(tmp_path, "a.png", encode_jpeg(PHOTO)), read_raw)
        assert "BMP" in refused(put(tmp_path, "b.png", saved(Image.fromarray(PHOTO), "BMP")), read_raw)


class TestBrokenFiles:
    """Each costs one ImageError, quickly, whatever reads it."""

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    @pytest.mark.parametrize("kept", [1, 8, 20, 33, 45, 0.25, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tif"])
    def test_cut_off(self, tmp_path, kind, kept):
        pillow = {"webp": "WEBP", "bmp": "BMP", "tif": "TIFF"}
        whole = encode_png(PHOTO) if kind == "png" else encode_jpeg(PHOTO) if kind == "jpg" else None
        whole = whole or saved(Image.fromarray(PHOTO), pillow[kind])
        assert refused(put(tmp_path, "a." + kind, whole[: int(len(whole) * kept) if kept < 1 else kept]))

    @pytest.mark.parametrize("missing", [1, 4, 12])
    def test_png_without_its_end(self, tmp_path, missing):
        path = put(tmp_path, "a.png", encode_png(PHOTO)[:-missing])
        assert "cut off" in refused(path)
        assert "cut off" in refused(path, image_size)

    def test_jpeg_without_its_end(self, tmp_path):
        whole = encode_jpeg(PHOTO)
        assert "end marker" in refused(put(tmp_path, "a.jpg", whole[:-2]))
        thumbnail = b"\xff\xe2\x00\x08....\xff\xd9"  # an end marker inside a segment is not the end
        assert refused(put(tmp_path, "b.jpg", whole[:2] + thumbnail + whole[2:-2]))

    @given(place=st.integers(8, 10**6), bit=st.integers(0, 7))
    @settings(max_examples=60, deadline=None)
    def test_bit_flips_are_refused_or_read_but_never_crash(self, tmp_path_factory, place, bit):
        folder = tmp_path_factory.mktemp("flips")
        for name, whole in (("a.png", encode_png(PHOTO)), ("a.jpg", encode_jpeg(PHOTO))):
            data = bytearray(whole)
            data[place % len(data)] ^= 1 << bit
            path = put(folder, name, bytes(data))
            try:
                image = read_image(path)
            except ImageError as error:
                assert str(path) in str(error) and "\n" not in str(error)
            else:
                assert image.dtype == np.uint8 and image.shape[2] == 3

    def test_flipped_pixel_data_in_a_png_is_noticed(self, tmp_path):
        data = bytearray(encode_png(PHOTO))
        data[len(data) // 2] ^= 0x10
        assert refused(put(tmp_path, "a.png", bytes(data)))

    @given(
        data=st.binary(max_size=200),
        start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"BM"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_noise_is_refused(self, tmp_path_factory, data, start):
        assert refused(put(tmp_path_factory.mktemp("noise"), "a.png", start + data))

    def test_empty_and_foreign(self, tmp_path):
        assert "empty" in refused(put(tmp_path, "a.png", b""))
        assert "no image" in refused(put(tmp_path, "b.png", b"%PDF-1.7 and so on"))
        assert "is a GIF, a format that is not read" in refused(
            put(tmp_path, "c.png", saved(Image.fromarray(PHOTO), "GIF"))
        )

    def test_a_suffix_of_a_format_that_is_not_read(self, tmp_path):
        """A camera's raw file begins like a TIFF, and a TIFF reader would take its thumbnail for the frame."""
        for name in ("a.NEF", "b.ppm", "c.gif"):
            path = put(tmp_path, name, saved(Image.fromarray(PHOTO), "TIFF"))
            for read in (read_image, read_raw, image_size):
                assert f"{path.suffix.lower()} is a format that is not read; convert it to PNG" in refused(path, read)
        assert not set(IMAGE_SUFFIXES) & set(UNREAD_SUFFIXES)

    def test_other_names_of_formats_that_are_read(self, tmp_path):
        for name in ("a.jpe", "a.JFIF", "a.jif", "a.dib", "a.apng"):
            write_image(tmp_path / name, PHOTO)
            assert np.abs(read_image(tmp_path / name).astype(int) - PHOTO).mean() < 5
            assert read_image(tmp_path / name).shape == PHOTO.shape

    def test_tiffs_of_unusual_values(self, tmp_path):
        """In words, and the same words each time: Pillow names the address of the stream."""
        for values, expected in (
            (np.zeros((4, 5, 3), np.float32), "has 32 bits per value, more than 16"),
            (np.zeros((4, 5), np.float32), "has 32 bits per value, more than 16"),
            (np.zeros((4, 5, 3), np.float64), "has 64 bits per value, more than 16"),
        ):
            path = put(tmp_path, "a.tiff", cv2.imencode(".tiff", values)[1].tobytes())
            assert f"{expected}. Expected a whole" in refused(path)
        header = b"II*\0" + (8).to_bytes(4, "little")
        assert "the TIFF is damaged, or of a kind that is not read" in refused(put(tmp_path, "b.tiff", header))

    def test_no_regular_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "folder.png").mkdir()
        (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
        for read in (read_image, read_raw, image_size):
            assert "pipe" in refused(tmp_path / "pipe.png", read)
            assert "folder" in refused(tmp_path / "folder.png", read)
            assert "No such file" in refused(tmp_path / "dangling.png", read)

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
    def test_a_process_out_of_descriptors_blames_no_file(self, tmp_path, monkeypatch, number):
        """Else a set that leaves bad frames out would leave out whole ones."""

        def fails(path):
            raise OSError(number, os.strerror(number))

        path = put(tmp_path, "a.png", encode_png(PHOTO))
        for module in (images, decode):
            monkeypatch.setattr(module, "open_regular", fails)
        for read in (read_image, read_raw, image_size):
            with pytest.raises(StorageError, match=rf"a\.png: cannot read: {os.strerror(number)}"):
                read(path)


class TestLimits:
    @pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (2**31 - 1, 1), (10_001, 10_000)])
    def test_declared_huge_png(self, tmp_path, width, height):
        data = bytearray(make_png(PHOTO, 8, 2))
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        path = put(tmp_path, "a.png", bytes(data))
        for read in (read_image, read_raw, image_size):
            message = refused(path, read)
            assert f"{width}x{height}" in message and "100 megapixels" in message

    def test_declared_huge_jpeg(self, tmp_path, monkeypatch):
        monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", lambda *given, **options: pytest.fail("it is decoded"))
        data = bytearray(encode_jpeg(PHOTO))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
        path = put(tmp_path, "a.jpg", bytes(data))
        assert "65000x65000" in refused(path) and "65000x65000" in refused(path, image_size)

    def test_declared_huge_bmp(self, tmp_path):
        data = bytearray(saved(Image.fromarray(PHOTO), "BMP"))
        data[18:26] = struct.pack("<ii", 60000, 60000)
        assert refused(put(tmp_path, "a.bmp", bytes(data)))

    def test_no_pixels(self, tmp_path):
        data = bytearray(make_png(PHOTO, 8, 2))
        data[16:20] = bytes(4)
        assert "0x40" in refused(put(tmp_path, "a.png", bytes(data)))

    def test_wrong_depth(self, tmp_path):
        assert "colour type 2 with 4 bits" in refused(put(tmp_path, "a.png", make_png(PHOTO, 4, 2)))

    def test_too_many_bytes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(decode, "MAX_BYTES", 100)
        assert "larger than the limit" in refused(put(tmp_path, "a.png", encode_png(PHOTO)))

    def test_thousands_of_scans(self, tmp_path):
        whole = saved(Image.fromarray(PHOTO), "JPEG", progressive=True)
        scan = whole[whole.rindex(b"\xff\xda") : -2]
        assert "scans" in refused(put(tmp_path, "a.jpg", whole[:-2] + scan * 1000 + b"\xff\xd9"))

    def test_endless_fill_bytes_and_chunks_end(self, tmp_path):
        assert refused(put(tmp_path, "a.jpg", b"\xff\xd8" + b"\xff" * 3_000_000))
        assert refused(put(tmp_path, "a.png", make_png(PHOTO, 8, 2, chunk(b"teXt", b"") * 200_000)))

    def test_the_limit_lets_every_driving_frame_pass(self):
        assert MAX_PIXELS > 3840 * 2160
