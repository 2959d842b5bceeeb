"""How fast is a training step of CycleGAN, and in how much memory, against the same mathematics written plainly?

    .venv/bin/python benchmarks/translator_step.py [--json FILE] [--size 256] [--steps 3] [--device cpu]

The reference is written out below: the objective of Zhu et al. (ICCV 2017) with its identity terms, in float32, torch's
own layers, every pass by itself, both generators' losses in one graph. Ours is `CycleGAN.step`, as the engine calls
it, in several settings of the machine. Each has a process of its own for its peak of memory, one at a time.
`benchmarks/training_step.py` compares precisions and layouts of small networks instead. Needs all cores to itself.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.launch import choose_machine, describe_machine
from pipelines.engine.loop import PerformedUpdate
from translate.fast.to_image import ToImageConv2d
from translate.methods.batches import UnpairedBatch
from translate.methods.cyclegan import CycleGAN, CycleGANSettings
from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.generators.residual_block import MirroredConv2d
from translate.networks.normalisation import InstanceNorm2d

TARGET_SPEEDUP, TARGET_MEMORY = 3.0, 0.6
VARIANTS: dict[str, dict[str, Any]] = {
    "reference": {},
    "ours": {},
    "ours, bf16": {"precision": "bf16"},
}


def reference_step(channels: int, device: torch.device) -> Callable[[Tensor, Tensor], None]:
    """Forward, back, identity, both generators' losses; then each discriminator on one real and one fake image."""
    to_target, to_source = (plain(GENERATORS["resnet9"](base_channels=channels)).to(device) for _ in range(2))
    judge_target, judge_source = (plain(DISCRIMINATORS["patch"](base_channels=channels)).to(device) for _ in range(2))
    generators = torch.optim.Adam([*to_target.parameters(), *to_source.parameters()], lr=2e-4, betas=(0.5, 0.999))
    judges = torch.optim.Adam([*judge_target.parameters(), *judge_source.parameters()], lr=2e-4, betas=(0.5, 0.999))

    def against(judgement: Tensor, wanted: float) -> Tensor:
        return functional.mse_loss(judgement, torch.full_like(judgement, wanted))

    def step(source: Tensor, target: Tensor) -> None:
        fake_target, fake_source = to_target(source), to_source(target)
        cycled_source, cycled_target = to_source(fake_target), to_target(fake_source)
        for judge in (judge_target, judge_source):
            judge.requires_grad_(False)
        generators.zero_grad()
        loss = against(judge_target(fake_target), 1) + against(judge_source(fake_source), 1)
        loss = loss + 10 * (functional.l1_loss(cycled_source, source) + functional.l1_loss(cycled_target, target))
        same_source, same_target = to_source(source), to_target(target)
        loss = loss + 5 * (functional.l1_loss(same_source, source) + functional.l1_loss(same_target, target))
        loss.backward()
        generators.step()
        judges.zero_grad()
        for judge, real, fake in ((judge_target, target, fake_target), (judge_source, source, fake_source)):
            judge.requires_grad_(True)
            (0.5 * (against(judge(real), 1) + against(judge(fake.detach()), 0))).backward()
        judges.step()

    return step


def plain(network: nn.Module) -> nn.Module:
    """A network rebuilt of torch's own layers, which is what the published code is made of."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm2d):
                setattr(parent, name, nn.InstanceNorm2d(child.num_features))
            elif isinstance(child, MirroredConv2d | ToImageConv2d):
                bias = child.bias is not None
                convolution = nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, bias=bias)
                convolution.load_state_dict(child.state_dict())
                padding = [nn.ReflectionPad2d(1)] if isinstance(child, MirroredConv2d) else []
                setattr(parent, name, nn.Sequential(*padding, convolution))
    return network


def our_step(channels: int, device: torch.device, precision: str) -> Callable:
    """One step of the method, driven as the engine's loop does."""
    settings = CycleGANSettings(steps=1000, generator_channels=channels, discriminator_channels=channels)
    method = CycleGAN(settings).to(device).train()
    method.to(memory_format=method.memory_format(device))
    machine = choose_machine(str(device), precision)

    update = PerformedUpdate(method.optimizers(), step=0)

    def step(source: Tensor, target: Tensor) -> None:
        with machine.autocast():
            method.step(UnpairedBatch((source + 1) / 2, (target + 1) / 2), update)

    return step


def measure(pipe: Any, name: str, arguments: argparse.Namespace) -> None:
    """In a process of its own: seconds of each step, CPU seconds, peak memory in MB and what was there before."""
    settings = VARIANTS[name]
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    if name == "reference":
        step = reference_step(arguments.channels, device)
    else:
        step = our_step(arguments.channels, device, settings.get("precision", "fp32"))
    images = [torch.rand(1, 3, arguments.size, arguments.size, device=device) * 2 - 1 for _ in range(2)]
    before = peak_mb(device)
    walls, cpus = [], []
    for _ in range(arguments.steps + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        step(*images)
        if device.type == "cuda":
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    pipe.send(
        {
            "variant": name, "wall_s": min(walls[1:]), "median_wall_s": statistics.median(walls[1:]),
            "cpu_s": min(cpus[1:]), "before_mb": before, "peak_mb": peak_mb(device),
        }
    )  # fmt: skip


def peak_mb(device: torch.device) -> float:
    """Most memory so far: of the GPU's allocator, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one variant."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(theirs, name, arguments), daemon=True)
    process.start()
    theirs.close()
    row = ours.recv()
    process.join()
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    machine = f"{describe_machine(choose_machine(arguments.device))}, torch {torch.__version__}, {platform.platform()}"
    print(machine)
    rows = [
        in_own_process(name, arguments) for name in ["reference", *(v for v in arguments.variants if v != "reference")]
    ]
    reference = rows[0]
    print(f"{'variant':<22} {'wall s':>8} {'CPU s':>8} {'faster':>7} {'by CPU':>7} {'peak MB':>8} {'of it':>6}")
    for row in rows:
        row["speedup"], row["cpu_speedup"] = reference["wall_s"] / row["wall_s"], reference["cpu_s"] / row["cpu_s"]
        row["memory"] = row["peak_mb"] / reference["peak_mb"]
        print(f"{row['variant']:<22} {row['wall_s']:8.3f} {row['cpu_s']:8.3f} {row['speedup']:6.2f}x "
              f"{row['cpu_speedup']:6.2f}x {row['peak_mb']:8.0f} {row['memory']:6.0%}")  # fmt: skip
    best = max(rows[1:], key=lambda row: row["speedup"], default=reference)
    least = min(rows[1:], key=lambda row: row["memory"], default=reference)
    print(f"best speed {best['speedup']:.2f}x ({best['variant']}), target {TARGET_SPEEDUP}x; "
          f"least memory {least['memory']:.0%} ({least['variant']}), target {TARGET_MEMORY:.0%}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
