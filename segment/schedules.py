"""Learning-rate schedules as pure functions of the step.

No scheduler object means no hidden state: a resumed run asks for step n and gets what the unbroken run got.
"""

import math
from collections.abc import Callable
from functools import partial


def poly_with_warmup(step: int, steps: int, warmup_steps: int, power: float = 0.9) -> float:
    """Factor on the initial learning rate: a linear rise to 1, then a fall towards 0 as (1 - progress) ** power.

    The first step learns already and the last one still learns: the factor is above zero everywhere.

    Args:
        step: 0-based, below `steps`.
        steps: Length of the whole schedule.
        warmup_steps: Length of the rise, below `steps`; step `warmup_steps` is the first at full rate.
        power: 0.9 throughout the segmentation literature since DeepLab (Chen et al., arXiv:1606.00915).

    Raises:
        ValueError: The step lies outside the schedule, or the warm-up does not fit into it.
    """
    return _after_warmup(step, steps, warmup_steps, lambda progress: (1 - progress) ** power)


def cosine_with_warmup(step: int, steps: int, warmup_steps: int) -> float:
    """As `poly_with_warmup`, but the fall is half a cosine: slow, fast, slow.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """
    return _after_warmup(step, steps, warmup_steps, lambda progress: (1 + math.cos(math.pi * progress)) / 2)


def _after_warmup(step: int, steps: int, warmup_steps: int, fall: Callable[[float], float]) -> float:
    """The linear rise, then `fall` of the progress, which goes from 0 to just below 1."""
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps is {warmup_steps}; it must be at least 0 and below steps, which is {steps}.")
    if not 0 <= step < steps:
        raise ValueError(f"Step {step} lies outside the schedule of {steps} steps (0 to {steps - 1}). Raise steps.")
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return fall((step - warmup_steps) / (steps - warmup_steps))


def schedule_of(name: str, steps: int, warmup_steps: int, power: float = 0.9) -> Callable[[int], float]:
    """The function from a step to the factor on the learning rate, by the schedule's name in the settings.

    Args:
        name: "poly" or "cosine".
        steps: Length of the whole schedule.
        warmup_steps: Length of the rise.
        power: Of "poly".

    Raises:
        ValueError: An unknown name, or a warm-up that does not fit.
    """
    schedules: dict[str, Callable[[int], float]] = {
        "poly": partial(poly_with_warmup, steps=steps, warmup_steps=warmup_steps, power=power),
        "cosine": partial(cosine_with_warmup, steps=steps, warmup_steps=warmup_steps),
    }
    if name not in schedules:
        raise ValueError(f"There is no schedule {name!r}; choose one of {', '.join(schedules)}.")
    schedules[name](0)  # refuses now what would fail later
    return schedules[name]
