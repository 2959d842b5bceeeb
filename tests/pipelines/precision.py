"""Double precision throughout, for tests in which rounding would hide whether two ways of computing are one."""

import torch


def at_least_single(tensor):
    """In place of `Tensor.float`, by which losses leave bf16: what is double stays so."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
