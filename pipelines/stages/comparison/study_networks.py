"""Which network? Each trained on real, source and augmented source frames under one budget, beside what it costs.

What is already trained with the same settings and data is used as it is: a network can be added later and costs only
itself.
"""

from pipelines.data.disk.files import write_atomically
from pipelines.engine.session import Session
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.network_study import TRAINED_ON, StudiedNetwork, studied_networks
from pipelines.experiment.training_preview import refuse_missing, trainings_of_study
from pipelines.experiment.workspace import Workspace
from pipelines.report.networks import NetworkResult, NetworkStudy, networks_picture, networks_table
from pipelines.stages.comparison.compare import network_facts, refuse_missing_labels
from pipelines.stages.comparison.logged import training_seconds
from pipelines.stages.comparison.origin import origin
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.training.train_segmenter import train_segmenter


def study_networks(workspace: Workspace, augmented: Experiment, session: Session) -> NetworkStudy:
    """Train and evaluate what is missing of every network, arm and seed; write `networks.json`, `.svg` and `.md`.

    Args:
        workspace: The experiment; its study names the networks, its segmenter's settings are their budget.
        augmented: The same experiment with the settings of the augmented arm.
        session: How to compute.

    Returns:
        The record behind the table.

    Raises:
        UserError: The experiment has no study, or names weights that are not there.
        NoInputsError: Labels are missing.
    """
    trainings = list(studied_networks(workspace, augmented))
    refuse_missing_labels(workspace)
    refuse_missing(trainings_of_study(workspace, augmented))
    results = [_trained_and_evaluated(one, session) for one in trainings]
    of_oracles = {one.network: one.workspace for one in trainings if one.arm == "oracle"}
    record = NetworkStudy(
        **origin(workspace, session),
        settings=workspace.experiment.model_dump(mode="json"),
        facts={name: network_facts(its, session.machine) for name, its in of_oracles.items()},
        results=results,
    )
    write_atomically(workspace.run / "networks.json", record.to_json().encode())
    write_atomically(workspace.run / "networks.svg", networks_picture(record).encode())
    write_atomically(workspace.run / "networks.md", networks_table(record).encode())
    return record


def _trained_and_evaluated(studied: StudiedNetwork, session: Session) -> NetworkResult:
    its = studied.workspace
    run = train_segmenter(its, studied.seed, TRAINED_ON[studied.arm], session)
    evaluation = evaluate_checkpoint(its, run, session)
    return NetworkResult(
        network=studied.network,
        arm=studied.arm,
        seed=studied.seed,
        mean_iou=evaluation.mean_iou(),
        interval=evaluation.interval(),
        iou=evaluation.iou(),
        training_seconds=training_seconds(run),
    )
