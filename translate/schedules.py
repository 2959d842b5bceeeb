"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler's state."""

import math
from collections.abc import Callable

from translate.choices import chosen


def linear_decay(step: int, constant_steps: int, decay_steps: int) -> float:
    """Factor on the learning rate: 1 for `constant_steps`, then falling in equal parts, still above 0 at the last step.

    The n-th of the `decay_steps` has 1 - n / (decay_steps + 1). Steps and epochs alike: with (100, 100) the factor is 1
    in the first hundred epochs and 1/101 in the two-hundredth.

    Args:
        step: 0-based.
        constant_steps: Steps at the full rate.
        decay_steps: Steps of the decay.

    Returns:
        In [0, 1]; 0 after the last step.

    Raises:
        ValueError: An argument is negative.

    Source: Zhu et al., ICCV 2017 (arXiv:1703.10593), sec. 7.1.
        Differs: the authors' PyTorch code begins the decay one epoch early and trains the last one at rate 0.
    """
    return 1.0 - _decayed(step, constant_steps, decay_steps)


def cosine_decay(step: int, constant_steps: int, decay_steps: int) -> float:
    """Factor on the learning rate: 1 for `constant_steps`, then half a cosine wave down, above 0 at the last step.

    Arguments and errors as `linear_decay`. Source: Loshchilov and Hutter, ICLR 2017 (arXiv:1608.03983), eq. 5.
    """
    return 0.5 * (1.0 + math.cos(math.pi * _decayed(step, constant_steps, decay_steps)))


def step_decay(step: int, constant_steps: int, decay_steps: int) -> float:
    """Factor on the learning rate: 1 for `constant_steps`, 0.1 for all that follow. Arguments as `linear_decay`."""
    return 0.1 if _decayed(step, constant_steps, decay_steps) > 0 else 1.0


def constant(step: int, constant_steps: int, decay_steps: int) -> float:
    """Factor on the learning rate: 1 throughout. Arguments and errors as `linear_decay`."""
    _decayed(step, constant_steps, decay_steps)
    return 1.0


def _decayed(step: int, constant_steps: int, decay_steps: int) -> float:
    """How much of the decay is done at a step, 0 to 1; its n-th step counts n of decay_steps + 1."""
    if min(step, constant_steps, decay_steps) < 0:
        raise ValueError(
            f"Steps cannot be negative: step {step}, constant_steps {constant_steps}, decay_steps {decay_steps}."
        )
    return min(1.0, max(0, step + 1 - constant_steps) / (decay_steps + 1))


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "linear": linear_decay,
    "cosine": cosine_decay,
    "step": step_decay,
    "constant": constant,
}
"""By the names that a config uses."""


class LearningRate:
    """The factor on the learning rate over a training of known length.

    Args:
        steps: Of the whole training.
        decay_fraction: Last part of it, in which the rate falls; 0 keeps it constant.
        schedule: Key of SCHEDULES.

    Raises:
        ValueError: The schedule's name is unknown, or a number is out of range.
    """

    def __init__(self, steps: int, decay_fraction: float, schedule: str = "linear") -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; training takes at least 1.")
        if not 0 <= decay_fraction <= 1:
            raise ValueError(f"decay_fraction is {decay_fraction}; expected a part of the training, 0 to 1.")
        self.decay_steps = round(steps * decay_fraction)
        self.constant_steps = steps - self.decay_steps
        self.schedule = chosen(SCHEDULES, schedule, "schedule")

    def scale(self, step: int) -> float:
        """The factor at `step`, 0-based."""
        return self.schedule(step, self.constant_steps, self.decay_steps)
