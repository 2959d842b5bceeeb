"""A method in miniature, its batches and its runs, for the tests of the engine."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.engine.checkpoint_files import NEWEST_TWO
from pipelines.engine.launch import Machine
from pipelines.engine.loop import Schedule, train
from pipelines.engine.runs import RunFolder
from segment.methods.method import Method

CPU = Machine(torch.device("cpu"), "fp32")


@dataclass
class Numbers:
    image: Tensor

    def to(self, device):
        return Numbers(self.image.to(device))


class Toy(Method):
    """Learns to output zeros, with dropout so that the random state matters."""

    def __init__(self, spoil_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Conv2d(3, 3, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.spoil_at = spoil_at
        self._optimizer = torch.optim.Adam(self.parameters(), lr=0.01)

    def optimizers(self):
        return {"layer": self._optimizer}

    def learning_rate_scale(self, step):
        return 1 / (1 + step)

    def step(self, batch, update):
        loss = nn.functional.dropout(self.layer(batch.image), 0.5).square().mean()
        if int(self.steps) == self.spoil_at:
            loss = loss * torch.nan
        update("layer", {"size": loss})
        self.steps += 1
        return {"size": loss}

    def preview(self, batch):
        return {"image": batch.image, "output": self.layer(batch.image).sigmoid()}


def batches(first, last):
    for step in range(first, last):
        yield Numbers(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step)))


def run_to(path, steps=6, method=None, stream=batches, retention=NEWEST_TWO, **schedule):
    run = RunFolder(path, {"steps": steps}, retention=retention)
    try:
        train(method or Toy(), stream, run, Schedule(steps, 7, 2, 1, 3, **schedule), CPU, {"stage": "toy"}, "toy")
    finally:
        run.close()


def at_step(wanted, action):
    """A stream of batches in which something happens before a step."""

    def stream(first, last):
        for step, batch in zip(range(first, last), batches(first, last), strict=True):
            if step == wanted:
                action()
            yield batch

    return stream


def run_out_of_memory():
    raise MemoryError
