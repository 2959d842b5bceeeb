"""What training code puts around a network leaves its mark on the names of tensors, and tensors that mean nothing here.

torch.compile, DataParallel and averaged copies each add a word of their own, one around the other in any order, around
the whole network or a part of it. No network in a published file has a part that is called so itself.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipelines.errors import UserError

State = dict[str, Tensor]
Networks = Mapping[str, Mapping[str, Tensor]]
"""State dicts by their names in a file; "" for its only one."""
WORDS = frozenset({"module", "_orig_mod"})
"""DataParallel's and AveragedModel's, and torch.compile's."""
MEANINGLESS = frozenset({"n_averaged", "total_ops", "total_params"})
"""The count of an average, and what a counter of operations (thop) leaves in every layer."""


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict by the network's own names, without what no network computes with.

    Where two tensors would come to have one name, all keep theirs: then the words tell networks apart.
    """
    counted = {key: value for key, value in state.items() if key.rpartition(".")[2] not in MEANINGLESS}
    plain = {".".join(part for part in key.split(".") if part not in WORDS): one for key, one in counted.items()}
    return plain if len(plain) == len(counted) else counted


def chosen(networks: Networks, entry: str | None, leave_out: Sequence[str] = ()) -> dict[str, dict[str, Tensor]]:
    """What a person wants of a file: one of its state dicts, if they name it, without the tensors that they name.

    Args:
        networks: What `read_published` has read.
        entry: Name of the state dict; None for all.
        leave_out: How the names of tensors begin, without what wraps networks, that are left out.

    Raises:
        UserError: There is no such state dict, or no tensor whose name begins so.
    """
    if entry is not None and entry not in networks:
        names = ", ".join(sorted(networks))[:200] or "one without a name"
        raise UserError(f"--entry is {entry!r}; the file holds {names}")
    plain = {name: unwrapped(state) for name, state in networks.items() if entry in (None, name)}
    for beginning in leave_out:
        if not any(key.startswith(beginning) for state in plain.values() for key in state):
            raise UserError(f"--leave-out is {beginning!r}; no tensor's name begins so")
    return {
        name: {key: one for key, one in state.items() if not key.startswith(tuple(leave_out))}
        for name, state in plain.items()
    }
