"""What a training logged, as the reports of comparisons read it."""

import json
from pathlib import Path

import numpy as np


def rows(path: Path) -> list[dict]:
    """The rows of a log, `metrics.jsonl` or `timings.jsonl` of a run folder."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def training_seconds(run: Path) -> float:
    """Seconds that the steps of a run took, from the logged sample of them."""
    timings = rows(run / "timings.jsonl")
    return float(np.mean([row["seconds"] for row in timings])) * timings[-1]["step"]
