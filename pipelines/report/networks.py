"""What a study of networks found, and its table: what each costs beside what it reaches from which frames."""

from dataclasses import dataclass

from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.figures import score
from pipelines.report.record import Record
from pipelines.report.study import NetworkFacts, average
from pipelines.report.tables import spread
from pipelines.report.tradeoff import Mark, tradeoff

ARM_TITLES = {"oracle": "real frames", "source_only": "source frames", "augmented": "source, augmented"}
"""Arms in the order of the table."""


@dataclass(frozen=True)
class NetworkResult:
    """One network trained on one arm's frames with one seed; `iou` as in `ArmResult`."""

    network: str
    arm: str
    seed: int
    mean_iou: float
    interval: tuple[float, float]
    iou: list[float | None]
    training_seconds: float


@dataclass(frozen=True)
class NetworkStudy(Record):
    """A whole study. `facts` tells each network's size and speed, by name."""

    facts: dict[str, NetworkFacts]
    results: list[NetworkResult]

    def scores(self, network: str, arm: str) -> list[float]:
        """Mean IoU of every seed, ascending."""
        found = [one for one in self.results if (one.network, one.arm) == (network, arm)]
        return [one.mean_iou for one in sorted(found, key=lambda one: one.seed)]


def networks_table(study: NetworkStudy) -> str:
    """A network per row, in Markdown, ordered by what it reaches from source frames with augmentation; then the
    command, machine and date that it comes from.
    """
    order = sorted(study.facts, key=lambda network: -average(study.scores(network, "augmented")))
    sizes = {facts.input_size for facts in study.facts.values()}
    size = f" at {sizes.pop()}" if len(sizes) == 1 else ""
    headings = ["", "M parameters", f"GFLOP{size}", "ms p50 / p90", "frames/s", *ARM_TITLES.values()]
    rows = [headings, *([network, *_cells(study, network)] for network in order)]
    seeds = len({one.seed for one in study.results})
    measured = next(iter(study.facts.values())).measurement
    said = f"Mean IoU on {study.validation}, mean ± std over {seeds} seed{'s' * (seeds > 1)}. Speed: {measured}."
    return printable("\n\n".join([said, markdown.table(rows), study.origin()]) + "\n")


def networks_picture(study: NetworkStudy) -> str:
    """Mean IoU against latency, a mark for each network and kind of frames, as an SVG file."""
    marks = []
    for network, facts in study.facts.items():
        for series, (arm, title) in enumerate(ARM_TITLES.items()):
            if scores := study.scores(network, arm):
                said = f"{network}, {title}: {average(scores):.3f} in {facts.latency_ms_p50:.1f} ms"
                marks.append(Mark(network, said, facts.latency_ms_p50, average(scores), series))
    device = next(iter(study.facts.values())).device
    return tradeoff(marks, f"mIoU against milliseconds per image; {device}", list(ARM_TITLES.values()))


def _cells(study: NetworkStudy, network: str) -> list[str]:
    facts = study.facts[network]
    latency = f"{facts.latency_ms_p50:.1f} / {facts.latency_ms_p90:.1f}"
    costs = [f"{facts.parameters / 1e6:.2f}", f"{facts.gflops:.1f}", latency, f"{facts.frames_per_second:.1f}"]
    return costs + [spread(scores) if (scores := study.scores(network, arm)) else score(None) for arm in ARM_TITLES]
