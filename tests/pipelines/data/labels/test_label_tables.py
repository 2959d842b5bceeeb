"""The tables are the published ones, and the table of a release of CARLA is told by its number."""

import json
from pathlib import Path

import pytest

from pipelines.data.labels import encodings
from pipelines.data.labels.label_tables import CARLA_VERSIONS, carla_table, label_maps
from pipelines.errors import UserError

SHARED = Path(__file__).parents[5] / "shared" / "label_maps.json"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared label_maps.json is not beside the checkout")
def test_our_copy_is_the_shared_file():
    assert json.loads(SHARED.read_text()) == label_maps()


@pytest.mark.parametrize(
    ("version", "table"),
    [
        ("0.8", "carla_0.9.0_to_0.9.9"),
        ("0.8.4", "carla_0.9.0_to_0.9.9"),
        ("0.9.0", "carla_0.9.0_to_0.9.9"),
        ("0.9.9", "carla_0.9.0_to_0.9.9"),
        ("0.9.9.4", "carla_0.9.0_to_0.9.9"),
        ("0.9.10", "carla_0.9.10_to_0.9.13"),
        ("0.9.10.1", "carla_0.9.10_to_0.9.13"),
        ("0.9.13", "carla_0.9.10_to_0.9.13"),
        ("0.9.14", "carla_0.9.14_and_later"),
        ("0.9.16", "carla_0.9.14_and_later"),
        ("0.9.14-dirty", "carla_0.9.14_and_later"),
        ("0.9.13-12-g0a1b2c3", "carla_0.9.10_to_0.9.13"),
        ("0.9.15.2-dirty", "carla_0.9.14_and_later"),
        ("v0.9.5_own", "carla_0.9.0_to_0.9.9"),
        ("0.9.14rc1", "carla_0.9.14_and_later"),
        ("0.10", "carla_0.10_ue5"),
        ("0.10.0-rc", "carla_0.10_ue5"),
        ("0.10.0", "carla_0.10_ue5"),
    ],
)
def test_releases(version, table):
    assert carla_table(version) == table


@pytest.mark.parametrize("version", ["", "0.9", "0.7", "1.0", "latest", "0.9.x", "0.9-dirty", "9.12", "0,9,12"])
def test_unknown_release_lists_the_valid_ones(version):
    with pytest.raises(UserError) as caught:
        encodings.carla(version)
    assert all(group in str(caught.value) for group in CARLA_VERSIONS)
