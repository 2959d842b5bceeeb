"""A study of networks: each network, seed and arm once, with the settings and in the folder that are its own."""

from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.experiment.config import read_study
from pipelines.experiment.network_study import studied_networks
from pipelines.experiment.workspace import Workspace

CONFIG = Path(__file__).parents[3] / "pipelines/configs/carla_to_camvid_networks.toml"
CHANGES = ('study={ networks = ["lraspp", "stdc1"], augmentation = { blur = 0.125 } }', "compare.seeds=[3, 4]")


def test_each_network_seed_and_arm_in_a_folder_of_its_own():
    experiment, augmented = read_study(CONFIG, CHANGES)
    found = list(studied_networks(Workspace(experiment, Path("data"), Path("run")), augmented))
    assert [(one.network, one.seed, one.arm) for one in found] == [
        (network, seed, arm)
        for network in ("lraspp", "stdc1")
        for seed in (3, 4)
        for arm in ("oracle", "source_only", "augmented")
    ]
    for one in found:
        settings, own = one.workspace.experiment.segmenter, Path("run/networks", one.network)
        assert settings.network == one.network and (settings.blur == 0.125) == (one.arm == "augmented")
        assert one.workspace.run == (own / "augmented" if one.arm == "augmented" else own)


def test_an_experiment_without_a_study_is_refused():
    experiment, augmented = read_study(CONFIG, CHANGES)
    without = Workspace(experiment.model_copy(update={"study": None}), Path("data"), Path("run"))
    with pytest.raises(UserError, match=r"the experiment has no \[study\] of networks"):
        list(studied_networks(without, augmented))
