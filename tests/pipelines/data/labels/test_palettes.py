"""Image tools cut, extend and re-order palettes; the colours then tell what the indices no longer do."""

import zlib

import pytest
from PIL import Image

from pipelines.data.images import read_file_header
from pipelines.data.labels import encodings
from pipelines.errors import ImageError
from tests.pipelines.data.labels.label_files import indexed, table_of

ROAD, CAR, SKY, POLE = (128, 64, 128), (0, 0, 142), (70, 130, 180), (153, 153, 153)


@pytest.mark.parametrize(
    "encoding",
    [encodings.gta5(), encodings.cityscapes(), encodings.cityscapes("labelTrainIds"), encodings.carla("0.9.14")],
    ids=lambda encoding: encoding.name,
)
def test_another_order_is_read_by_its_colours(tmp_path, encoding):
    path = indexed(tmp_path / "label.png", [[0, 1, 2, 3]], [CAR, ROAD, SKY, POLE])
    assert encoding.decode(path).tolist() == [[13, 0, 10, 5]]


def test_the_publishers_order_is_read_by_its_ids(tmp_path):
    """Pole group (18) and pole (17) share a colour: in the order of GTA5 the index tells them apart."""
    palette = [rgb for _, rgb in table_of("gta5").values()]
    path = indexed(tmp_path / "label.png", [[17, 18, 7, 0]], palette)
    assert encodings.gta5().decode(path).tolist() == [[5, 255, 0, 255]]


def test_other_colours_of_what_does_not_count_change_nothing(tmp_path):
    palette = [rgb for _, rgb in table_of("gta5").values()]
    palette[4] = (1, 2, 3)
    assert encodings.gta5().decode(indexed(tmp_path / "label.png", [[4, 7]], palette)).tolist() == [[255, 0]]


def test_ids_that_were_grey_are_the_levels_of_the_palette(tmp_path):
    path = indexed(tmp_path / "label.png", [[0, 1, 2]], [(26, 26, 26), (7, 7, 7), (23, 23, 23)])
    assert encodings.cityscapes().decode(path).tolist() == [[13, 0, 10]]
    ramp = [(level, level, level) for level in range(256)]
    assert encodings.cityscapes("labelTrainIds").decode(indexed(tmp_path / "ramp.png", [[0, 0]], ramp)).tolist() == [
        [0, 0]
    ]


def test_where_nobody_shows_ids_in_colours_they_can_only_have_been_grey(tmp_path):
    path = indexed(tmp_path / "label.png", [[0, 1, 2, 3]], [(255, 255, 255), (6, 6, 6), (3, 3, 3), (0, 0, 0)])
    assert encodings.idd_lite().decode(path).tolist() == [[255, 10, 13, 0]]


@pytest.mark.parametrize("palette", [[ROAD, CAR], [(0, 0, 0), (0, 0, 0)]], ids=["colours", "one black for two"])
def test_a_palette_that_tells_no_ids_is_refused(tmp_path, palette):
    path = indexed(tmp_path / "label.png", [[0, 1]], palette)
    with pytest.raises(ImageError, match=r"label\.png.*a palette that tells no ids; expected the ids themselves"):
        encodings.idd_lite().decode(path)


def test_a_black_that_can_be_road_or_nothing_is_refused(tmp_path):
    path = indexed(tmp_path / "label.png", [[0, 0]], [(0, 0, 0)])
    with pytest.raises(ImageError, match="can be classes and, as levels of grey, ids; save the ids as 8-bit grey"):
        encodings.cityscapes("labelTrainIds").decode(path)


def test_carlas_raw_tags_with_a_palette(tmp_path):
    path = indexed(tmp_path / "label.png", [[0, 1, 2]], [(11, 0, 0), (1, 0, 0), (14, 0, 0)])
    assert encodings.carla("0.9.14").decode(path).tolist() == [[10, 0, 13]]


@pytest.mark.parametrize("encoding", [encodings.carla("0.9.14", "palette"), encodings.camvid("32")])
def test_colours_with_a_palette_are_colours(tmp_path, encoding):
    path = indexed(tmp_path / "label.png", [[1, 0]], [(0, 0, 0), ROAD])
    assert encoding.decode(path).tolist() == [[0, 255]]


def test_camvids_order_is_told_by_the_colours(tmp_path):
    """In its other order, index 0 would be a building."""
    sky, building = (128, 128, 128), (128, 0, 0)
    path = indexed(tmp_path / "label.png", [[0, 1]], [sky, building])
    assert encodings.camvid(order="segnet").decode(path).tolist() == [[10, 2]]
    assert encodings.camvid(order="building_first").decode(path).tolist() == [[10, 2]]


def test_foreign_colours_are_refused(tmp_path):
    path = indexed(tmp_path / "label.png", [[6, 7]], [(1, 2, 3)] * 8)
    with pytest.raises(ImageError, match=r"label\.png.*unknown colours \(1,2,3\).*may be in any order"):
        encodings.gta5().decode(path)


def test_an_index_without_a_colour_is_refused(tmp_path):
    """Tools write such a file where they cut the palette and keep the pixels."""
    path = indexed(tmp_path / "label.png", [[0, 9]], [ROAD] * 16)
    data = path.read_bytes()
    start = data.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    body = b"PLTE" + bytes(ROAD) * 2
    chunk = (6).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    path.write_bytes(data[:start] + chunk + data[end:])
    with pytest.raises(ImageError, match="index 9 of a palette of 2 colours"):
        encodings.gta5().decode(path)


def test_a_palette_of_fewer_bits(tmp_path):
    path = indexed(tmp_path / "label.png", [[0, 1, 1]], [SKY, ROAD])
    Image.open(path).save(path, bits=1)
    assert read_file_header(path).depth == 1
    assert encodings.gta5().decode(path).tolist() == [[10, 0, 0]]
