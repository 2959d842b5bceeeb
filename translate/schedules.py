"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler's state."""


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
    if min(step, constant_steps, decay_steps) < 0:
        raise ValueError(
            f"Steps cannot be negative: step {step}, constant_steps {constant_steps}, decay_steps {decay_steps}."
        )
    decayed = max(0, step + 1 - constant_steps)
    return max(0.0, 1.0 - decayed / (decay_steps + 1))
