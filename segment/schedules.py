"""Learning-rate schedules as pure functions of the step.

No scheduler object means no hidden state: a resumed run asks for step n and gets what the unbroken run got.
"""


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
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps is {warmup_steps}; it must be at least 0 and below steps, which is {steps}.")
    if not 0 <= step < steps:
        raise ValueError(f"Step {step} lies outside the schedule of {steps} steps (0 to {steps - 1}). Raise steps.")
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return (1 - (step - warmup_steps) / (steps - warmup_steps)) ** power
