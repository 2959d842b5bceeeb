"""What a bench of segmenters found: its table, and the picture of what a network reaches against what it takes."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.data.disk.json_files import parse_json
from pipelines.errors import UserError
from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.record import plain
from pipelines.report.study import average
from pipelines.report.tradeoff import Mark, tradeoff


@dataclass(frozen=True)
class BenchRow:
    """One network at one size, computed in one way; times are of single images, None where `unavailable` says why."""

    name: str
    """Checkpoint, or name of the network."""
    network: str
    parameters: int
    gflops: float
    """At this size, two for each multiply-add."""
    width: int
    height: int
    way: str
    dtype: str
    network_p50_ms: float | None = None
    network_p90_ms: float | None = None
    network_cpu_ms: float | None = None
    """CPU time over threads, on a CPU: what it would take with all of them free."""
    whole_p50_ms: float | None = None
    """From the bytes of a PNG file to a label map."""
    whole_p90_ms: float | None = None
    whole_cpu_ms: float | None = None
    peak_mb: float | None = None
    """Weights included, beyond what the process held before."""
    unavailable: str | None = None

    @property
    def size(self) -> str:
        """As people write it."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Bench:
    """All rows and how they were measured."""

    rows: list[BenchRow]
    machine: str
    threads: int
    versions: dict[str, str]
    command: str
    date: str
    warmup: int
    repeats: int
    mean_iou: dict[str, float]
    """Scores of networks or checkpoints by name, where known."""

    def to_json(self) -> str:
        """As indented ASCII JSON."""
        return json.dumps(plain(asdict(self)), indent=1, allow_nan=False) + "\n"

    def score(self, row: BenchRow) -> float | None:
        """The mIoU of a row's checkpoint, else of its network."""
        return self.mean_iou.get(row.name, self.mean_iou.get(row.network))


def bench_table(bench: Bench) -> str:
    """Every row, in Markdown, then how it was measured; ends in a newline."""
    scored = any(bench.score(row) is not None for row in bench.rows)
    headings = ["network", "size", "way", "dtype", "M parameters", "GFLOP", "peak MB", "network ms p50 / p90", "fps",
                "PNG to labels ms p50 / p90", "fps", "CPU ms network / whole"]  # fmt: skip
    headings += ["mIoU"] if scored else []
    rows = [_cells(row) + ([_number(bench.score(row), 3)] if scored else []) for row in bench.rows]
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    return printable(
        f"{markdown.table([headings, *rows])}\n\n"
        f"Batch 1; {bench.warmup} images to warm up, then {bench.repeats} of which each is waited for. "
        "Logits and label maps have the image's size. GFLOP count two for each multiply-add. Peak memory is that of "
        "opening and computing beyond what the process held before, weights included; what is freed is kept for the "
        "next image. CPU ms: CPU time over threads, about what free cores would take (less, if threads spin while they "
        "wait; GOMP_SPINCOUNT=0 lets them sleep).\n"
        f"{markdown.escaped(bench.machine)}; {versions}. Command: {markdown.code(bench.command)}; date: {bench.date}.\n"
    )


def progress_line(row: BenchRow) -> str:
    """A row as it is finished, for the terminal."""
    if row.unavailable:
        return f"{row.name} {row.size} {row.way}: {row.unavailable}"
    return (
        f"{row.name} {row.size} {row.way}: {_pair(row.network_p50_ms, row.network_p90_ms)} ms, with PNG and label map "
        f"{_pair(row.whole_p50_ms, row.whole_p90_ms)} ms (p50 / p90)"
    )


def tradeoff_svg(bench: Bench) -> str | None:
    """mIoU against the median latency of each scored network's fastest way, as an SVG file; None if none is scored.

    Latency is that of the network alone, on a logarithmic axis; of several sizes, each is a point.
    """
    points = []
    for name, size in dict.fromkeys((row.name, row.size) for row in bench.rows):
        rows = [row for row in bench.rows if (row.name, row.size) == (name, size) and row.network_p50_ms is not None]
        score = bench.score(rows[0]) if rows else None
        if score is not None:
            fastest = min(rows, key=lambda row: row.network_p50_ms or math.inf)
            time = fastest.network_p50_ms or math.nan
            said = f"{fastest.name} {fastest.size}, {fastest.way}: {score:.3f} in {time:.1f} ms"
            points.append(Mark(fastest.name, said, time, score))
    return tradeoff(points, f"mIoU against milliseconds per image; {bench.machine}") if points else None


def read_scores(path: Path) -> dict[str, float]:
    """mIoU by name, of a JSON file: {name: mIoU}, or a record with results (`variants.json`, `networks.json`).

    Of a record the mean over seeds counts; of several arms, "augmented" where there is one, else the last.

    Raises:
        UserError: It is missing or something else, or a score is not from 0 to 1.
    """
    try:
        content = parse_json(path.read_bytes())
        if isinstance(content, dict) and isinstance(content.get("results"), list):
            scores = _means(content["results"])
        else:
            scores = {str(name): float(value) for name, value in content.items()}
    except OSError as error:
        raise UserError(f"--scores {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--scores {path}: expected JSON of name -> mIoU, or variants.json or networks.json") from error
    strange = next((name for name, value in scores.items() if not 0 <= value <= 1), None)
    if strange is not None:
        raise UserError(f"--scores {path}: the mIoU of {strange!r} is {scores[strange]:g}; expected one from 0 to 1")
    return scores


def _means(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    arms = [result["arm"] for result in results if "arm" in result]
    arm = None if not arms else "augmented" if "augmented" in arms else arms[-1]
    scores: dict[str, list[float]] = {}
    for result in results:
        if result.get("mean_iou") is not None and result.get("arm") == arm:
            scores.setdefault(str(result.get("network") or result["name"]), []).append(float(result["mean_iou"]))
    return {name: average(values) for name, values in scores.items()}


def _cells(row: BenchRow) -> list[str]:
    cells = [row.name, row.size, row.way, row.dtype, f"{row.parameters / 1e6:.2f}", f"{row.gflops:.1f}"]
    if row.unavailable:
        return [*cells, row.unavailable, "", "", "", "", ""]
    return [
        *cells, _number(row.peak_mb, 0),
        _pair(row.network_p50_ms, row.network_p90_ms), _number(_rate(row.network_p50_ms), 1),
        _pair(row.whole_p50_ms, row.whole_p90_ms), _number(_rate(row.whole_p50_ms), 1),
        _pair(row.network_cpu_ms, row.whole_cpu_ms),
    ]  # fmt: skip


def _rate(milliseconds: float | None) -> float | None:
    return 1000 / milliseconds if milliseconds else None


def _pair(first: float | None, second: float | None) -> str:
    return f"{_number(first, 1)} / {_number(second, 1)}" if first is not None or second is not None else "-"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
