"""Where classes are stored in a label file, and what is said of files of other forms."""

import cv2
import numpy as np
import pytest

from pipelines.data.labels import encodings
from pipelines.errors import ImageError
from tests.pipelines.data.labels.label_files import indexed, save, table_of


def test_carla_raw_in_the_red_channel_or_alone(tmp_path):
    tags = np.array([[1, 7], [24, 11]])
    encoding = encodings.carla("0.9.15")
    expected = [[0, 6], [0, 10]]
    noise = np.full_like(tags, 99)  # the instance camera keeps its numbers in green and blue
    for pixels in (tags, np.dstack([tags, noise, noise]), np.dstack([tags, noise, noise, noise])):
        assert encoding.decode(save(tmp_path, pixels)).tolist() == expected


def test_carla_palette_needs_colours(tmp_path):
    with pytest.raises(ImageError, match=r"label\.png.*no 8-bit RGB"):
        encodings.carla("0.9.12", "palette").decode(save(tmp_path, [[7]]))


def test_ids_need_one_channel(tmp_path):
    with pytest.raises(ImageError, match="3 channels, expected one"):
        encodings.cityscapes().decode(save(tmp_path, np.zeros((2, 2, 3))))


def test_synthia_class_is_the_first_of_16_bit_channels(tmp_path):
    # The stored file as OpenCV sees it: blue 0, green the instance, red the class.
    pixels = np.zeros((1, 3, 3), np.uint16)
    pixels[0, :, 2] = [3, 22, 8]
    pixels[0, :, 1] = [0, 0, 1000]
    cv2.imwrite(str(tmp_path / "label.png"), pixels)
    assert encodings.synthia().decode(tmp_path / "label.png").tolist() == [[0, 0, 13]]
    assert encodings.synthia("ignore").decode(tmp_path / "label.png").tolist() == [[0, 255, 13]]
    with pytest.raises(ImageError, match=r"8-bit, 3 channel.*16-bit"):
        encodings.synthia().decode(save(tmp_path, np.zeros((2, 2, 3))))
    with pytest.raises(ImageError, match="unknown ids 300"):
        encodings.synthia().decode(save(tmp_path, np.full((2, 2, 3), 300), bits16=True))


def test_many_unknown_colours_are_counted_not_listed(tmp_path):
    greys = np.arange(1, 128, 2, dtype=np.uint8)  # 64 odd levels; CamVid's colours are even
    with pytest.raises(ImageError, match=r"\(15,15,15\) and 56 more") as caught:
        encodings.camvid("32").decode(save(tmp_path, np.repeat(greys[None, :, None], 3, axis=-1)))
    assert "\n" not in str(caught.value)


class TestSwappedChannels:
    """OpenCV's order taken for RGB: named, since the remedy is one line of the user's own code."""

    @pytest.mark.parametrize(
        "encoding", [encodings.gta5(), encodings.carla("0.9.14", "palette"), encodings.camvid("32")]
    )
    def test_of_colours(self, tmp_path, encoding):
        colours = [(128, 64, 128), (0, 128, 192)] if encoding.name == "camvid32" else [(128, 64, 128), (0, 0, 142)]
        with pytest.raises(ImageError, match="red and blue are swapped"):
            encoding.decode(save(tmp_path, [[colour[::-1] for colour in colours]]))

    def test_of_a_palette(self, tmp_path):
        palette = [rgb[::-1] for _, rgb in table_of("gta5").values()]
        with pytest.raises(ImageError, match="red and blue are swapped"):
            encodings.gta5().decode(indexed(tmp_path / "label.png", [[7, 26]], palette))

    def test_of_tags(self, tmp_path):
        with pytest.raises(ImageError, match="tags in the blue channel: red and blue are swapped"):
            encodings.carla("0.9.14").decode(save(tmp_path, [[(0, 0, 1), (0, 0, 14)]]))

    def test_of_synthias_classes(self, tmp_path):
        with pytest.raises(ImageError, match="classes in the third channel: red and blue are swapped"):
            encodings.synthia().decode(save(tmp_path, [[(0, 5, 3), (0, 0, 8)]], bits16=True))
