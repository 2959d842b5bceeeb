"""Label encodings: every table id by id against label_maps.json, and the refusal of whatever no table holds."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.data.images import write_image
from pipelines.data.labels import encodings
from pipelines.data.labels.encodings import ENCODINGS, LabelEncoding, carla
from pipelines.errors import ImageError, UserError
from segment.classes import CLASS_NAMES, TRAIN_IDS_16
from tests.pipelines.data.labels.label_files import save, table_of

ALL = [
    encodings.cityscapes(),
    encodings.cityscapes("labelTrainIds"),
    encodings.gta5(),
    encodings.synthia(),
    encodings.synthia("ignore"),
    *(
        encodings.carla(version, kind)
        for version in ("0.8.4", "0.9.11", "0.9.15", "0.10.0")
        for kind in ("raw", "palette")
    ),
    encodings.camvid(),
    encodings.camvid(order="building_first"),
    encodings.camvid("32"),
    encodings.idd_lite(),
]

BY_ID = [
    (encodings.cityscapes(), "cityscapes"),
    (encodings.gta5(), "gta5"),
    (encodings.synthia("ignore"), "synthia_rand_cityscapes"),
    (encodings.carla("0.8.2"), "carla_0.9.0_to_0.9.9"),
    (encodings.carla("0.9.12"), "carla_0.9.10_to_0.9.13"),
    (encodings.carla("0.9.14"), "carla_0.9.14_and_later"),
    (encodings.carla("0.10"), "carla_0.10_ue5"),
    (encodings.camvid(), "camvid11_segnet_order"),
    (encodings.camvid(order="building_first"), "camvid11_building_first_order"),
]

BY_COLOUR = [
    (encodings.carla("0.9.5", "palette"), "carla_0.9.0_to_0.9.9"),
    (encodings.carla("0.9.12", "palette"), "carla_0.9.10_to_0.9.13"),
    (encodings.carla("0.9.14", "palette"), "carla_0.9.14_and_later"),
    (encodings.carla("0.10", "palette"), "carla_0.10_ue5"),
    (encodings.camvid("32"), "camvid32"),
]


def stored_as(encoding, ids):
    """The pixels that hold `ids` in the form that the encoding expects."""
    ids = np.asarray(ids)
    if encoding.name.startswith("synthia"):
        return np.stack([ids, ids * 7, ids * 0], axis=-1), True
    return ids, False


class TestTables:
    @pytest.mark.parametrize(("encoding", "name"), BY_ID, ids=[name for _, name in BY_ID])
    def test_ids_one_by_one(self, tmp_path, encoding, name):
        table = table_of(name)
        pixels, wide = stored_as(encoding, [list(table)])
        decoded = encoding.decode(save(tmp_path, pixels, wide))
        assert decoded.dtype == np.uint8
        assert decoded[0].tolist() == [train_id for train_id, _ in table.values()]

    @pytest.mark.parametrize(("encoding", "name"), BY_COLOUR, ids=[name for _, name in BY_COLOUR])
    @pytest.mark.parametrize("alpha", [False, True])
    def test_colours_one_by_one(self, tmp_path, encoding, name, alpha):
        table = table_of(name)
        pixels = np.array([[(*rgb, 255) if alpha else rgb for _, rgb in table.values()]])
        assert encoding.decode(save(tmp_path, pixels))[0].tolist() == [train_id for train_id, _ in table.values()]

    @pytest.mark.parametrize(("encoding", "name"), BY_ID, ids=[name for _, name in BY_ID])
    def test_every_other_id_is_refused(self, tmp_path, encoding, name):
        known = table_of(name)
        for value in set(range(256)) - set(known):
            pixels, wide = stored_as(encoding, np.full((2, 2), value))
            with pytest.raises(ImageError, match=rf"label\.png.*unknown ids {value}\b"):
                encoding.to_train_ids(encoding.pick(pixels.astype("u2" if wide else "u1")), Path("label.png"))

    def test_train_ids_file_is_the_identity(self, tmp_path):
        values = [*range(19), 255]
        encoding = encodings.cityscapes("labelTrainIds")
        assert encoding.decode(save(tmp_path, [values]))[0].tolist() == values
        with pytest.raises(ImageError, match=r"unknown ids 19, 33"):
            encoding.decode(save(tmp_path, [[19, 33, 0]]))

    def test_what_the_labels_can_show(self):
        assert encodings.cityscapes().train_ids == encodings.gta5().train_ids == frozenset(range(19))
        assert encodings.synthia().train_ids == frozenset(TRAIN_IDS_16)
        sky, light = CLASS_NAMES.index("sky"), CLASS_NAMES.index("traffic light")
        assert not {sky, light} & encodings.carla("0.9.5").train_ids
        assert {sky, light} <= encodings.carla("0.9.12").train_ids
        assert encodings.carla("0.9.14").train_ids == frozenset(range(19))

    def test_classes_that_camvid_cannot_tell_apart(self):
        names = [{CLASS_NAMES[i] for i in group} for group in encodings.camvid().merged]
        assert names == [{"traffic light", "traffic sign"}, {"rider", "bicycle"}, {"car", "truck", "bus"}]
        assert [{CLASS_NAMES[i] for i in group} for group in encodings.camvid("32").merged] == [{"rider", "bicycle"}]
        assert all(e.merged == () for e in ALL if not e.name.startswith(("camvid", "idd_lite")))

    def test_idd_lites_ids_are_groups_of_all_nineteen(self, tmp_path):
        """By the lowest train id of each: road, sidewalk + terrain, person + rider, car to bicycle, wall to sign,
        building + vegetation, sky.
        """
        encoding = encodings.idd_lite()
        decoded = encoding.decode(save(tmp_path, [[0, 1, 2, 3, 4, 5, 6, 255]]))
        assert decoded.tolist() == [[0, 1, 11, 13, 3, 2, 10, 255]]
        assert [sorted(group) for group in encoding.merged] == [
            [1, 9], [11, 12], [13, 14, 15, 16, 17, 18], [3, 4, 5, 6, 7], [2, 8],
        ]  # fmt: skip
        with pytest.raises(ImageError, match="unknown ids 7"):
            encoding.decode(save(tmp_path, [[7, 0]]))


class TestForms:
    def test_gta5_palette_index_and_its_rgb_copy(self, tmp_path):
        table = table_of("gta5")
        index = Image.fromarray(np.array([list(table)], np.uint8), mode="P")
        index.putpalette([level for _, rgb in table.values() for level in rgb])
        index.save(tmp_path / "p.png")
        expected = [train_id for train_id, _ in table.values()]
        assert encodings.gta5().decode(tmp_path / "p.png")[0].tolist() == expected

        index.convert("RGB").save(tmp_path / "rgb.png")
        copied = encodings.gta5().decode(tmp_path / "rgb.png")[0].tolist()
        # Pole groups (18) share the poles' colour and number plates (34) the cars': the copy cannot tell them apart.
        expected[18], expected[34] = expected[17], expected[26]
        assert copied == expected

        index.convert("L").save(tmp_path / "grey.png")  # the classic accident: brightness instead of ids
        with pytest.raises(ImageError, match="unknown ids"):
            encodings.gta5().decode(tmp_path / "grey.png")
        write_image(tmp_path / "strange.png", np.full((1, 1, 3), 1, np.uint8))
        with pytest.raises(ImageError, match=r"unknown colours \(1,1,1\)"):
            encodings.gta5().decode(tmp_path / "strange.png")

    @given(data=st.data())
    @settings(max_examples=30, deadline=None)
    def test_any_mixture_of_known_values_is_read_pixel_by_pixel(self, tmp_path_factory, data):
        encoding = data.draw(st.sampled_from(ALL))
        table = encoding.colours if encoding.name.startswith(("carla_palette", "camvid32")) else encoding.ids
        keys = data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=12))
        pixels, wide = stored_as(encoding, [keys])
        decoded = encoding.decode(save(tmp_path_factory.mktemp("mix"), pixels, wide))
        assert decoded[0].tolist() == [table[key] for key in keys]


SEVEN = ((1, 9), (11, 12), range(13, 19), range(3, 8), (2, 8))
"""Groups of train ids; road and sky stand alone."""


class TestMerging:
    def test_by_hand(self, tmp_path):
        """Road, sidewalk, terrain, vegetation, fence, rider, truck, parking (ignored) as Cityscapes numbers them."""
        encoding = encodings.cityscapes().merging(SEVEN)
        decoded = encoding.decode(save(tmp_path, [[7, 8, 22, 21, 13, 25, 27, 9]]))
        assert decoded.tolist() == [[0, 1, 1, 2, 3, 11, 13, 255]]
        assert encoding.train_ids == {0, 1, 2, 3, 10, 11, 13} and sorted(map(sorted, encoding.merged)) == [
            [1, 9], [2, 8], [3, 4, 5, 6, 7], [11, 12], [13, 14, 15, 16, 17, 18],
        ]  # fmt: skip

    def test_of_colours(self, tmp_path):
        encoding = encodings.carla("0.9.12", "palette").merging(SEVEN)
        vegetation, traffic_light = (107, 142, 35), (250, 170, 30)
        assert encoding.decode(save(tmp_path, [[vegetation, traffic_light]])).tolist() == [[2, 3]]

    def test_what_cannot_be_told_apart_already_is_joined(self):
        """CamVid's bicyclist may be a bicycle, which is among the vehicles: persons and vehicles are not told apart."""
        encoding = encodings.camvid().merging(SEVEN)
        assert frozenset(range(11, 19)) in encoding.merged
        assert encoding.train_ids == {0, 1, 2, 3, 10, 11, 13}

    def test_a_class_that_no_file_holds_stays_absent_unless_its_group_has_another(self):
        assert 9 not in encodings.synthia().train_ids
        assert encodings.synthia().merging([(1, 9)]).train_ids == encodings.synthia().train_ids
        assert encodings.synthia().merging([(9, 10)]).train_ids == encodings.synthia().train_ids - {10} | {9}

    @pytest.mark.parametrize(("encoding", "groups"), [(encodings.idd_lite(), SEVEN), (encodings.cityscapes(), ())])
    def test_what_changes_nothing_is_the_encoding_itself(self, encoding, groups):
        assert encoding.merging(groups) is encoding

    def test_there_and_back(self, tmp_path):
        encoding = encodings.carla("0.9.14", own_car="0.25").merging(SEVEN)
        again = LabelEncoding.from_json(json.loads(json.dumps(encoding.to_json())))
        assert again == encoding != encodings.carla("0.9.14", own_car="0.25")
        assert again.ids == encoding.ids and again.own_car == 0.25
        assert again.to_json()["merging"] == "1+9 2+8 3+4+5+6+7 11+12 13+14+15+16+17+18"
        assert pickle.loads(pickle.dumps(encoding)) == encoding

    def test_equal_names_mean_equal_groups(self):
        encoding = encodings.cityscapes()
        assert encoding.merging([(9, 1)]) == encoding.merging([(1, 9)]) != encoding.merging([(1, 8)])

    @pytest.mark.parametrize("merging", ["19+3", "1+9 9+2", "1-9", "a+b", "+"])
    def test_strange_groups_are_a_user_error(self, merging):
        with pytest.raises(UserError, match="Label encoding"):
            LabelEncoding.from_json({"reader": "cityscapes", "merging": merging})


class TestDescriptions:
    @pytest.mark.parametrize("encoding", ALL, ids=lambda e: e.name)
    def test_there_and_back(self, encoding):
        text = json.dumps(encoding.to_json())
        again = LabelEncoding.from_json(json.loads(text))
        assert again == encoding and again.ids == encoding.ids and again.colours == encoding.colours

    def test_all_names_differ(self):
        assert len({encoding.name for encoding in ALL}) == len(ALL) == len(set(ALL))

    def test_worker_processes_can_have_it(self, tmp_path):
        again = pickle.loads(pickle.dumps(encodings.carla("0.9.12", "palette")))
        assert again.decode(save(tmp_path, [[(128, 64, 128)]])).tolist() == [[0]]

    @pytest.mark.parametrize(
        "description",
        [
            {},
            {"reader": "kitti"},
            {"reader": "carla"},
            {"reader": "carla", "version": "3"},
            {"reader": "carla", "version": 9},
            {"reader": ["carla"]},
            {"reader": "gta5", "palette": "x"},
            {"reader": "camvid", "encoding": "12"},
            {"reader": "synthia", "lane_marking": "sky"},
        ],
    )
    def test_a_foreign_description_is_a_user_error(self, description):
        with pytest.raises(UserError):
            LabelEncoding.from_json(description)

    def test_the_readers(self):
        assert sorted(ENCODINGS) == ["camvid", "carla", "cityscapes", "gta5", "idd_lite", "synthia"]


def test_the_own_car_is_ignored_and_survives_the_manifest(tmp_path):
    """CARLA tags its own bonnet as a vehicle; of 10 rows, the share 0.3 at the bottom is the last 3."""
    stored = np.full((10, 4), 10, np.uint8)
    write_image(tmp_path / "label.png", stored)
    encoding = LabelEncoding.from_json(carla("0.8.2", "raw", "0.3").to_json())
    label_map = encoding.decode(tmp_path / "label.png")
    assert (label_map[:7] == 13).all() and (label_map[7:] == 255).all()
    assert encoding != carla("0.8.2", "raw")
