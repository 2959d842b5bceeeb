"""What a study of networks trains: each on real, source and augmented source frames, in folders of its own.

A network is the experiment with another name in its settings, so whatever looks after one arm looks after these too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.errors import UserError
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.workspace import Workspace

TRAINED_ON = {"oracle": "oracle", "source_only": "source_only", "augmented": "source_only"}
"""Arm of the study -> arm of an experiment: augmented are the source frames alone, by other settings."""


@dataclass(frozen=True)
class StudiedNetwork:
    """One training of a study."""

    network: str
    arm: str
    """Of the study; a key of TRAINED_ON."""
    seed: int
    workspace: Workspace
    """Where it is trained, as its arm `TRAINED_ON[arm]`."""


def studied_networks(base: Workspace, augmented: Experiment) -> Iterator[StudiedNetwork]:
    """All trainings of a study, in order.

    Args:
        base: The experiment; its study names the networks, its segmenter's settings are their budget.
        augmented: The same experiment with the settings of the augmented arm.

    Raises:
        UserError: The experiment has no study.
    """
    study = base.experiment.study
    if study is None:
        raise UserError("the experiment has no [study] of networks")
    for network in study.networks:
        for seed in base.experiment.compare.seeds:
            for arm in TRAINED_ON:
                experiment = augmented if arm == "augmented" else base.experiment
                yield StudiedNetwork(network, arm, seed, _of_network(base, experiment, network, arm))


def _of_network(base: Workspace, experiment: Experiment, network: str, arm: str) -> Workspace:
    """The folders of one network and arm: RUN/networks/NETWORK, and RUN/networks/NETWORK/augmented."""
    segmenter = experiment.segmenter.model_copy(update={"network": network})
    run = base.run / "networks" / network
    run = run / arm if arm == "augmented" else run
    return base.beside(experiment.model_copy(update={"segmenter": segmenter}), run)
