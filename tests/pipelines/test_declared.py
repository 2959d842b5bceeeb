"""Settings and names read from the source: the same as those that the running code has, and no torch for it."""

import dataclasses
import subprocess
import sys
from typing import get_type_hints

import pytest

from pipelines.declared import attribute_of, names_in, settings_class, settings_of
from segment.losses import LOSSES
from segment.methods import METHODS
from segment.methods.segmenter_training import SegmenterTrainingSettings
from segment.networks import NETWORKS

PLACE = "segment.methods.METHODS"


@pytest.mark.parametrize(
    ("place", "there"),
    [("segment.losses.LOSSES", LOSSES), ("segment.networks.NETWORKS", NETWORKS), (PLACE, METHODS)],
)
def test_names_are_the_keys_of_the_dict(place, there):
    assert names_in(place) == tuple(there)


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_those_beside_the_method(name):
    read, real = settings_of(PLACE, name), METHODS[name].Settings
    if real is None:
        assert read is None
        return
    assert read.__name__ == real.__name__ and get_type_hints(read, include_extras=True) == get_type_hints(
        real, include_extras=True
    )
    assert [(f.name, f.default) for f in dataclasses.fields(read)] == [
        (f.name, f.default) for f in dataclasses.fields(real)
    ]


def test_checks_come_along():
    read = settings_class("segment.methods.segmenter_training.SegmenterTrainingSettings")
    assert dataclasses.asdict(read()) == dataclasses.asdict(SegmenterTrainingSettings())
    for settings in (read, SegmenterTrainingSettings):
        with pytest.raises(ValueError, match="set warmup_steps below steps"):
            settings(steps=5, warmup_steps=5)


def test_attributes_of_a_method():
    assert attribute_of(PLACE, "dacs", "title") == METHODS["dacs"].title == "DACS"
    assert attribute_of(PLACE, "supervised", "title") is None, "inherited, not its own"
    assert attribute_of("translate.methods.METHODS", "cut", "directions") == ("source_to_target",)
    assert attribute_of(PLACE, "dacs", "Settings") is None, "a name, not written out"


def test_what_is_not_written_out_is_said_so():
    with pytest.raises(LookupError, match=r"segment.losses has no dict LOST that is written out"):
        names_in("segment.losses.LOST")


def test_reading_takes_no_torch():
    code = (
        "import sys; from pipelines.experiment.experiment import Experiment; "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
