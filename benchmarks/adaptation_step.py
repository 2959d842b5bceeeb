"""Does a step of adaptation cost more than the passes through networks that its paper asks for?

    .venv/bin/python benchmarks/adaptation_step.py [--rounds 15] [--network ddrnet23_slim] [--size 512 256] [--batch 2]
    .venv/bin/python benchmarks/adaptation_step.py --costs --network deeplabv2_resnet101 --size 1024 512 --batch 1

The passes of each method are written out below, plainly: forward and backward through the same networks with torch's
own losses, the optimizers' steps, the teacher's moving average. No augmentation, no guard, no log. Both sides take
turns, step by step, on one thread, and ratios are of that thread's time, which other work on the machine disturbs
least. With --costs every method takes one step in a process of its own, which says its time and its peak of memory.
"""

import argparse
import copy
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from pipelines.engine.capabilities import capabilities
from pipelines.engine.launch import processor_name
from pipelines.engine.loop import PerformedUpdate
from segment.batches import AdaptationBatch, LabelledBatch
from segment.methods import METHODS
from segment.methods.segmenter_training import SegmenterTraining, SegmenterTrainingSettings, parameter_groups
from segment.networks import NETWORKS

TARGET_RATIO = 1.1
WARM_UP = 2
"""First rounds, which do not count."""
CLASSES, IGNORED = 19, 255
BLOCK = 32
"""Side in pixels of the patches of one class in the label maps."""
FROM_THE_START: dict[str, dict[str, Any]] = {
    "dacs": {"start_step": 0},
    "mic": {"start_step": 0},
    "duda": {"start_step": 0},
    "fda": {"entropy_start": 0.0},
}
"""Settings by which a first step is a whole one."""


def batch_of(size: tuple[int, int], frames: int) -> AdaptationBatch:
    """Noise, and label maps of patches; `size` is (width, height)."""

    def labelled() -> LabelledBatch:
        shape = frames, -(-size[1] // BLOCK), -(-size[0] // BLOCK)
        patches = torch.randint(0, CLASSES, shape)
        label_map = patches.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)[:, : size[1], : size[0]]
        return LabelledBatch(torch.rand(frames, 3, size[1], size[0]), label_map.contiguous())

    target = labelled()
    return AdaptationBatch(labelled(), target.image, labelled(), target.label_map)


def method_of(name: str, network: str, **settings: Any) -> SegmenterTraining:
    """A method at its defaults, but that it does from the first step what it does in most."""
    torch.manual_seed(0)
    training = SegmenterTrainingSettings(loss="cross_entropy", learning_rate=1e-3, warmup_steps=0)
    kind = METHODS[name]
    own = None if kind.Settings is None else kind.Settings(**FROM_THE_START.get(name, {}), **settings)
    teacher = {}
    if kind.takes_teacher and kind.learns_from != "pseudo_labels":
        teacher["teacher"] = NETWORKS[network](CLASSES).eval()
    method = kind(NETWORKS[network](CLASSES), training, own, **teacher)
    return method.to(memory_format=method.memory_format(torch.device("cpu"))).train()


# --- the passes, plainly ----------------------------------------------------------------------------------------------


class Passes:
    """Copies of a method's networks with optimizers of their own, and nothing else of it."""

    def __init__(self, method: SegmenterTraining) -> None:
        self.network, self.auxiliary_weight = copy.deepcopy(method.network), method.auxiliary_weight
        groups = parameter_groups(self.network, weight_decay=5e-4, learning_rate=1e-3)
        self.optimizer = SGD(groups, momentum=0.9)
        self.teacher: nn.Module = nn.Identity()
        self.judge: nn.Module = nn.Identity()
        if "teacher" in dict(method.named_children()):
            self.teacher = copy.deepcopy(method.get_submodule("teacher.network"))
        if "discriminators" in dict(method.named_children()):
            self.judge = copy.deepcopy(method.get_submodule("discriminators.main"))
            self.judge_optimizer = Adam(self.judge.parameters(), lr=1e-4, betas=(0.9, 0.99))

    def labelled(self, image: Tensor, label_map: Tensor) -> Tensor:
        """A pass of every head forward and back; the main head's logits."""
        output = self.network(image)
        loss = F.cross_entropy(output.main, label_map, ignore_index=IGNORED)
        for logits in output.auxiliary:
            loss = loss + self.auxiliary_weight * F.cross_entropy(logits, label_map, ignore_index=IGNORED)
        loss.backward()
        return output.main.detach()

    def believed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's labels, and the share of each frame that it is sure of."""
        with torch.no_grad():
            likelihood, label = self.teacher(image).softmax(1).max(1)
            return label, (likelihood >= 0.968).float().mean((1, 2), keepdim=True).expand_as(likelihood)

    def weighed(self, image: Tensor, label_map: Tensor, weight: Tensor) -> None:
        """A pass of the main head forward and back, each pixel by its weight."""
        losses = F.cross_entropy(self.network(image).main, label_map, reduction="none", ignore_index=IGNORED)
        (losses * weight).mean().backward()

    def learn(self) -> None:
        """The network's step."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def follow(self) -> None:
        """The teacher's."""
        with torch.no_grad():
            for average, value in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
                average.lerp_(value, 0.01)


def supervised(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    passes.learn()


def maxsquare(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    (-0.05 * passes.network(batch.target).main.softmax(1).square().mean()).backward()
    passes.learn()


def minent(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    logarithms = passes.network(batch.target).main.log_softmax(1)
    (-0.001 / math.log(CLASSES) * (logarithms.exp() * logarithms).sum(1).mean()).backward()
    passes.learn()


def adaptsegnet(passes: Passes, batch: AdaptationBatch) -> None:
    def against(classes: Tensor, domain: float) -> Tensor:
        judged = passes.judge(classes)
        return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, domain))

    source = passes.labelled(batch.source.image, batch.source.label_map).softmax(1)
    target = passes.network(batch.target).main.softmax(1)
    passes.judge.requires_grad_(False)
    (0.001 * against(target, 0)).backward()
    passes.learn()
    passes.judge.requires_grad_(True)
    (0.5 * against(source, 0)).backward()
    (0.5 * against(target.detach(), 1)).backward()
    passes.judge_optimizer.step()
    passes.judge_optimizer.zero_grad()


def dacs(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    label, weight = passes.believed(batch.target)
    mask = batch.source.label_map < CLASSES // 2
    image = torch.where(mask[:, None], batch.source.image, batch.target)
    passes.weighed(image, torch.where(mask, batch.source.label_map, label), torch.where(mask, 1.0, weight))
    passes.learn()
    passes.follow()


def mic(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    label, weight = passes.believed(batch.target)
    mask = batch.source.label_map < CLASSES // 2
    image = torch.where(mask[:, None], batch.source.image, batch.target)
    passes.weighed(image, torch.where(mask, batch.source.label_map, label), torch.where(mask, 1.0, weight))
    passes.weighed(batch.target, label, weight)
    passes.learn()
    passes.follow()


def cbst(passes: Passes, batch: AdaptationBatch) -> None:
    passes.labelled(batch.source.image, batch.source.label_map)
    F.cross_entropy(passes.network(batch.target).main, batch.pseudo_label, ignore_index=IGNORED).backward()
    passes.learn()


PASSES: dict[str, Callable[[Passes, AdaptationBatch], None]] = {
    one.__name__: one for one in (supervised, maxsquare, minent, adaptsegnet, dacs, mic, cbst)
}

# --- both sides in turn -----------------------------------------------------------------------------------------------


def seconds_of(step: Callable[[], object]) -> float:
    """This thread's seconds; backward runs on it too where there is no GPU."""
    start = time.thread_time()
    step()
    return time.thread_time() - start


def our_step(method: SegmenterTraining, batch: AdaptationBatch) -> Callable[[], object]:
    """A step as the engine's loop makes it take."""
    given = batch if method.learns_from != "labelled" else batch.source
    return lambda: method.step(given, PerformedUpdate(method.optimizers(), step=0))


def compare(name: str, network: str, batch: AdaptationBatch, rounds: int) -> dict[str, float]:
    """Medians of the seconds of the passes and of a step, and the median of the rounds' ratios."""
    method = method_of(name, network)
    passes, step = Passes(method), our_step(method, batch)
    plain, ours = [], []
    for _ in range(WARM_UP + rounds):
        plain.append(seconds_of(lambda: PASSES[name](passes, batch)))
        ours.append(seconds_of(step))
    ratios = [one / other for one, other in zip(ours[WARM_UP:], plain[WARM_UP:], strict=True)]
    medians = statistics.median(plain[WARM_UP:]), statistics.median(ours[WARM_UP:]), statistics.median(ratios)
    return dict(zip(("passes_s", "step_s", "ratio"), medians, strict=True))


# --- what a step costs ------------------------------------------------------------------------------------------------


def cost_of(name: str, network: str, batch: AdaptationBatch) -> dict[str, float]:
    """Seconds of a first step on this thread, and the process's peak of memory."""
    step = our_step(method_of(name, network), batch)
    seconds = seconds_of(step)
    return {"step_s": seconds, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def in_own_process(name: str) -> dict[str, float]:
    """`cost_of` in a process, with the options that this one was started with."""
    command = [sys.executable, __file__, *sys.argv[1:], "--cost-of", name]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="ddrnet23_slim")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS))
    parser.add_argument("--costs", action="store_true", help="time and memory of one step of each method")
    parser.add_argument("--cost-of", choices=list(METHODS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    without = [name for name in arguments.methods or () if name not in PASSES]
    if without and not arguments.costs:
        parser.error(f"--methods {' '.join(without)}: no passes are written out; those of {' '.join(PASSES)} are")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size, network = tuple(arguments.size), arguments.network
    if arguments.cost_of:
        print(json.dumps(cost_of(arguments.cost_of, network, batch_of(size, arguments.batch))))
        return
    print(f"{processor_name()} ({capabilities()}), 1 thread, torch {torch.__version__}")
    print(f"{network}, batch {arguments.batch} of {size[0]}x{size[1]}\n")
    if arguments.costs:
        print("| method | thread s | peak GiB |\n| --- | --- | --- |")
        for name in arguments.methods or METHODS:
            row = in_own_process(name)
            print(f"| {name} | {row['step_s']:.1f} | {row['peak_gib']:.1f} |", flush=True)
        return
    batch, dearest = batch_of(size, arguments.batch), 0.0
    print("| method | passes ms | step ms | times the passes |\n| --- | --- | --- | --- |")
    for name in arguments.methods or PASSES:
        row = compare(name, network, batch, arguments.rounds)
        dearest = max(dearest, row["ratio"])
        print(f"| {name} | {row['passes_s'] * 1e3:.0f} | {row['step_s'] * 1e3:.0f} | {row['ratio']:.2f} |", flush=True)
    print(f"\ndearest: {dearest:.2f} times its passes, target {TARGET_RATIO}")


if __name__ == "__main__":
    main()
