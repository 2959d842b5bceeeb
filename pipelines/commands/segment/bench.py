"""`sim2real segment bench`: what segmenters cost in parameters, arithmetic, memory and time."""

from dataclasses import dataclass
from pathlib import Path

import click

from pipelines.commands.machine import MachineOptions
from pipelines.commands.options import A_FOLDER, A_PATH, gathered
from pipelines.data.disk.files import refuse_unwritable_folder, write_atomically
from pipelines.errors import UserError

WAYS = (
    *("eager", "channels-last", "folded", "bf16", "folded bf16", "torch", "torch, fast", "compile", "compile, fast"),
    *("onnxruntime", "openvino", "openvino, fast", "openvino, int8"),
)
"""Keys of `pipelines.stages.export.bench.WAYS`, written out so that --help need not import torch."""
SIZES = ((1024, 512),)


@dataclass(frozen=True)
class Measured:
    """What is measured, at which sizes, in which ways, and how often."""

    checkpoints: tuple[Path, ...]
    networks: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    ways: tuple[str, ...]
    warmup: int
    repeats: int

    def __post_init__(self) -> None:
        if not self.checkpoints and not self.networks:
            raise UserError("nothing to measure: name a run folder or checkpoint, or --network NAME, or --network all")


measured_options = gathered(
    "measured",
    Measured,
    click.argument("checkpoints", nargs=-1, type=A_PATH),
    click.option(
        "--network",
        "networks",
        multiple=True,
        metavar="NAME",
        help="A network with fresh weights, which take the same time; several times for several; or all.",
    ),
    click.option(
        "--size",
        "sizes",
        type=click.IntRange(1),
        nargs=2,
        multiple=True,
        metavar="WIDTH HEIGHT",
        help="Of the image; several times for several.  [default: 1024 512]",
    ),
    click.option(
        "--way",
        "ways",
        type=click.Choice(WAYS),
        multiple=True,
        metavar="WAY",
        help=f"How to compute, several times for several: {'; '.join(WAYS)}.  [default: all]",
    ),
    click.option("--warmup", type=click.IntRange(0), default=3, show_default=True, help="Images that do not count."),
    click.option("--repeats", type=click.IntRange(1), default=20, show_default=True, help="Images that count."),
)


@click.command("bench")
@measured_options
@click.option(
    "--scores",
    type=A_PATH,
    default=None,
    help="JSON of mIoU by name, variants.json or networks.json: for the picture of mIoU against latency.",
)
@click.option("--output", type=A_FOLDER, default=None, help="Gets bench.md, bench.json and, with --scores, bench.svg.")
@gathered(
    "on",
    MachineOptions,
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …"),
    click.option("--threads", type=click.IntRange(1), default=None, help="CPU threads.  [default: all]"),
)
def segment_bench(measured: Measured, scores: Path | None, output: Path | None, on: MachineOptions) -> None:
    """Measure trained CHECKPOINTS or networks: parameters, arithmetic, memory, latency, frames per second."""
    from pipelines.report.bench import bench_table, progress_line, read_scores, tradeoff_svg
    from pipelines.runtimes.acceleration import keep_freed_memory
    from pipelines.stages.export.bench import BenchPlan, bench, candidates, record

    known = read_scores(scores) if scores else {}
    if output:
        refuse_unwritable_folder(output)
    keep_freed_memory()
    session = on.open_session()
    plan = BenchPlan(measured.sizes or SIZES, measured.ways or WAYS, measured.warmup, measured.repeats)
    rows = []
    for row in bench(candidates(measured.checkpoints, measured.networks), plan, session):
        click.echo(progress_line(row), err=True)
        rows.append(row)
    result = record(rows, plan, session, known)
    click.echo(bench_table(result), nl=False)
    if known and all(result.score(row) is None for row in rows):
        measured_names = ", ".join(dict.fromkeys(name for row in rows for name in (row.name, row.network)))
        click.echo(f"--scores {scores}: is of {', '.join(known)}, and none of {measured_names} is among them", err=True)
    if output:
        picture = tradeoff_svg(result)
        files = {"bench.md": bench_table(result), "bench.json": result.to_json(), "bench.svg": picture}
        for name, text in files.items():
            if text is not None:
                write_atomically(output / name, text.encode())
        click.echo(f"written to {output}", err=True)
