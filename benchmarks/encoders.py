"""Which encoder, and what is its ImageNet start worth? Score after a short training beside milliseconds a frame.

    .venv/bin/python benchmarks/encoders.py --data /data [--run DIR] [--steps 160] [--seeds 0 1] [--only NETWORK ...]

Every contender learns the labels of CamVid's training frames (the arm "oracle") for as many steps of the same frames,
and is scored on the validation frames, of a drive that training has, too. The recipe is AdamW at 2e-3 with a warm-up;
an encoder that starts from ImageNet's weights learns at 3e-4. What is trained in the run folder already is not trained
again. Times are those of `sim2real segment bench`: an image of 1024x512, batch 1, network alone, median wall time and,
in brackets, CPU time over threads, which other programs hardly change. Without CamVid only times are measured.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before this folder, in which `segment` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from pipelines.engine.launch import choose_machine, describe_machine
from pipelines.engine.session import Session
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.workspace import Workspace
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.export.bench import BenchPlan, bench, candidates
from pipelines.stages.training.train_segmenter import train_segmenter

WAYS = {"eager": "float32 ms", "folded": "folded ms", "openvino": "OpenVINO ms"}
"""What is timed, by the key that `segment bench` has for it."""
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Contender:
    """A network and what its encoder starts from."""

    network: str
    encoder_weights: str | None = None

    @property
    def start(self) -> str:
        """In the table's words."""
        return "random" if self.encoder_weights is None else "ImageNet"


CONTENDERS = (
    Contender("ddrnet23_slim"),
    Contender("lraspp"),
    Contender("fpn_efficientnet_lite0"),
    Contender("fpn_efficientnet_lite0", "package"),
    Contender("fpn_efficientnet_lite1", "package"),
    Contender("fpn_efficientnet_lite2", "package"),
)


def recipe(contender: Contender, steps: int, height: int, crop: tuple[int, int]) -> dict[str, Any]:
    """Settings of the segmenter: the rate is 2e-3, and 3e-4 for an encoder that has learnt already."""
    trained = contender.encoder_weights is not None
    return {
        "network": contender.network,
        "encoder_weights": contender.encoder_weights,
        "height": height,
        "crop": crop,
        "batch": 8,
        "steps": steps,
        "scale": (0.75, 1.5),
        "loss": "cross_entropy",
        "optimizer": "adamw",
        "learning_rate": 3e-4 if trained else 2e-3,
        "head_learning_rate": 2e-3 / 3e-4 if trained else 1.0,
        "weight_decay": 1e-2,
        "warmup_steps": min(20, steps - 1),
        "checkpoint_every": steps,
        "preview_every": steps,
    }


def experiment(contender: Contender, steps: int, height: int = 240, crop: tuple[int, int] = (256, 192)) -> Experiment:
    """CamVid alone; of the source, which an experiment must have, nothing is read."""
    train, val = ({"name": f"camvid_{split}", "reader": "camvid", "root": "camvid", "split": split} for split in SPLITS)
    return Experiment(
        name="encoders",
        source=(train,),
        target=(train,),
        validation=(val,),
        segmenter=recipe(contender, steps, height, crop),
    )


def scores(contender: Contender, data: Path, run: Path, steps: int, seeds: list[int], session: Session) -> list[float]:
    """Mean IoU on the validation frames, by seed."""
    folder = run / f"{contender.network}-{contender.start.lower()}-{steps}"
    its = Workspace(experiment(contender, steps), data, folder)
    trained = (train_segmenter(its, seed, "oracle", session) for seed in seeds)
    return [evaluate_checkpoint(its, run, session).mean_iou() for run in trained]


def times(networks: list[str], size: tuple[int, int], repeats: int, session: Session) -> dict[str, dict[str, Any]]:
    """Parameters in millions, GFLOP and milliseconds of each way in words, by network."""
    plan = BenchPlan((size,), tuple(WAYS), warmup=2, repeats=repeats)
    found: dict[str, dict[str, Any]] = {}
    for row in bench(candidates((), networks), plan, session):
        costs = found.setdefault(row.network, {"parameters": row.parameters / 1e6, "gflops": row.gflops})
        costs[row.way] = None if row.unavailable else f"{row.network_p50_ms:.0f} ({row.network_cpu_ms:.0f})"
    return found


def table(
    rows: list[Contender], costs: dict[str, dict[str, Any]], found: dict[Contender, list[float]], seeds: list[int]
) -> str:
    """In Markdown, a contender per row; each was scored with these seeds, or not at all."""
    seeds = seeds if found else []
    titles = ["network", "encoder's start", "M parameters", "GFLOP", *WAYS.values()]
    titles += [f"mIoU, seed {seed}" for seed in seeds] + (["mean"] if len(seeds) > 1 else [])
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        cost, scored = costs[row.network], found.get(row, [])
        line = [row.network, row.start, f"{cost['parameters']:.2f}", f"{cost['gflops']:.1f}"]
        line += [cost[way] or "" for way in WAYS]
        line += [f"{score:.3f}" for score in scored] + ([f"{statistics.mean(scored):.3f}"] if len(seeds) > 1 else [])
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with camvid/")
    parser.add_argument("--run", type=Path, help="folder to train in, kept; default: one that is deleted")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=[], help="these networks alone")
    arguments = parser.parse_args()
    rows = [row for row in CONTENDERS if not arguments.only or row.network in arguments.only]
    session = Session(choose_machine("cpu", "fp32"))
    print(f"{describe_machine(session.machine)}, torch {torch.__version__}, {torch.get_num_threads()} threads")

    found: dict[Contender, list[float]] = {}
    if (arguments.data / "camvid").is_dir():
        with tempfile.TemporaryDirectory() as fallback:
            run = arguments.run or Path(fallback)
            for row in rows:
                found[row] = scores(row, arguments.data, run, arguments.steps, arguments.seeds, session)
    else:
        print(f"{arguments.data / 'camvid'} is not there: no training, no scores")
    costs = times(list(dict.fromkeys(row.network for row in rows)), (1024, 512), arguments.repeats, session)
    print(table(rows, costs, found, arguments.seeds))


if __name__ == "__main__":
    main()
