"""Which network? Each trained on real, source and augmented source frames under one budget, beside what it costs.

What is already trained with the same settings and data is used as it is: a network can be added later and costs only
itself.
"""

from pipelines.data.files import write_atomically
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.config import Experiment
from pipelines.experiment.workspace import Workspace
from pipelines.report.networks import NetworkResult, NetworkStudy, networks_picture, networks_table
from pipelines.stages.comparison.compare import network_facts, refuse_missing_labels, training_seconds
from pipelines.stages.comparison.origin import origin
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.training.train_segmenter import train_segmenter

TRAINED_ON = {"oracle": "oracle", "source_only": "source_only", "augmented": "source_only"}
"""Arm of the study -> arm of an experiment: augmented are the source frames alone, by other settings."""


def study_networks(workspace: Workspace, augmented: Experiment, session: Session) -> NetworkStudy:
    """Train and evaluate what is missing of every network, arm and seed; write `networks.json`, `.svg` and `.md`.

    Args:
        workspace: The experiment; its study names the networks, its segmenter's settings are their budget.
        augmented: The same experiment with the settings of the augmented arm.
        session: How to compute.

    Returns:
        The record behind the table.

    Raises:
        UserError: The experiment has no study.
        NoInputsError: Labels are missing.
    """
    study = workspace.experiment.study
    if study is None:
        raise UserError("the experiment has no [study] of networks")
    refuse_missing_labels(workspace)
    results = []
    for network in study.networks:
        for seed in workspace.experiment.compare.seeds:
            for arm in TRAINED_ON:
                its = of_network(workspace, augmented if arm == "augmented" else workspace.experiment, network, arm)
                results.append(_trained_and_evaluated(its, network, arm, seed, session))
    first = {name: of_network(workspace, workspace.experiment, name, "oracle") for name in study.networks}
    record = NetworkStudy(
        **origin(workspace, session),
        settings=workspace.experiment.model_dump(mode="json"),
        facts={name: network_facts(its, session.machine) for name, its in first.items()},
        results=results,
    )
    write_atomically(workspace.run / "networks.json", record.to_json().encode())
    write_atomically(workspace.run / "networks.svg", networks_picture(record).encode())
    write_atomically(workspace.run / "networks.md", networks_table(record).encode())
    return record


def of_network(base: Workspace, experiment: Experiment, network: str, arm: str) -> Workspace:
    """The folders of one network and arm: RUN/networks/NETWORK, and RUN/networks/NETWORK/augmented."""
    segmenter = experiment.segmenter.model_copy(update={"network": network})
    run = base.run / "networks" / network
    run = run / arm if arm == "augmented" else run
    return base.beside(experiment.model_copy(update={"segmenter": segmenter}), run)


def _trained_and_evaluated(its: Workspace, network: str, arm: str, seed: int, session: Session) -> NetworkResult:
    run = train_segmenter(its, seed, TRAINED_ON[arm], session)
    evaluation = evaluate_checkpoint(its, run, session)
    return NetworkResult(
        network=network,
        arm=arm,
        seed=seed,
        mean_iou=evaluation.mean_iou(),
        interval=evaluation.interval(),
        iou=evaluation.iou(),
        training_seconds=training_seconds(run),
    )
