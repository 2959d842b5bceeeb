"""Published checkpoints of segmenters -> a run folder of ours, which `segment evaluate` and `segment predict` take.

Our networks bear the names of their authors' modules, so a file is recognised by comparing the names and shapes of its
tensors with those of every network here, built without memory. A network that is new in `NETWORKS` is recognised too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.data.files import sha256_of
from pipelines.errors import CheckpointError
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import build_network
from pipelines.pretrained.published_translators import Imported, State, write_run
from segment.classes import CLASS_NAMES
from segment.networks import NETWORKS
from segment.networks.deeplabv2 import with_our_input
from segment.networks.stdc import with_our_norms

WRAPPERS = ("", "module.", "model.", "module.model.", "model.module.")
"""What stands before every key of the network: DataParallel's word, that of the class that held network and losses."""
CONVERSIONS: dict[str, Callable[[Mapping[str, Tensor]], State]] = {
    "deeplabv2_resnet101": with_our_input,
    "deeplabv2_resnet101_multi": with_our_input,
    "stdc1": with_our_norms,
    "stdc2": with_our_norms,
}
"""Networks whose published weights expect another input than ours, or mean something else."""
LEAST_SHARE = 0.5
"""Of the names of a network's tensors, which a file must have to count as one of it, though perhaps a defective one."""
COUNTER = "num_batches_tracked"
"""Of batch normalisation; no part of what a network computes, and absent before torch 0.4."""


@dataclass(frozen=True)
class Template:
    """The tensors of one of our networks."""

    shapes: dict[str, torch.Size]
    auxiliary: frozenset[str]
    """Keys of the heads that only training uses."""
    class_axes: dict[str, int]
    """Where a tensor has one entry per class: its axis, by key."""


@dataclass(frozen=True)
class Match:
    """A state dict seen as one of our networks, all tensors accounted for."""

    network: str
    state: State
    """What fits, by our keys."""
    missing: tuple[str, ...]
    """Keys that evaluation needs."""
    missing_auxiliary: tuple[str, ...]
    unexpected: tuple[str, ...]
    num_classes: int
    """That its main head tells apart."""

    @property
    def share(self) -> float:
        """Of all tensors that are here or ought to be, those that fit."""
        return len(self.state) / max(1, len(self.state) + len(self.missing) + len(self.unexpected))

    def counts(self) -> str:
        """In words, with an example of what does not fit."""
        text = f"{len(self.state)} tensors loaded, {len(self.missing)} missing, {len(self.unexpected)} unexpected"
        example = next(iter(self.missing or self.unexpected), None)
        return text if example is None else f"{text} (first {example})"


def find_segmenter(networks: Mapping[str, State], network: str | None = None) -> tuple[str, Match] | None:
    """The segmenter in a file that `read_published` has read.

    Args:
        networks: State dicts by their names in the file.
        network: Key of NETWORKS, if a person says what it is; None to find out.

    Returns:
        The state dict's name and what it is; None if nothing in the file resembles a segmenter.
    """
    matches = [
        (key, match_state(state, name))
        for key, state in networks.items()
        for name in ([network] if network else NETWORKS)
        if network or share_of_names(state, name) >= LEAST_SHARE
    ]
    # Those that were there first win a draw: networks in the order of the table.
    return max(matches, key=lambda found: found[1].share, default=None)


def share_of_names(state: Mapping[str, Tensor], network: str) -> float:
    """Of the names of a network's tensors, those that a state dict has too, with whatever stands before them."""
    names = shapes_of(network).keys()
    return max(sum(f"{wrapper}{name}" in state for name in names) for wrapper in WRAPPERS) / len(names)


def match_state(state: Mapping[str, Tensor], network: str) -> Match:
    """See a state dict as `network`, with whatever stands before its keys taken off."""
    return max((_match(state, network, wrapper) for wrapper in WRAPPERS), key=lambda match: match.share)


def _match(state: Mapping[str, Tensor], network: str, wrapper: str) -> Match:
    template = template_of(network)
    named = {key.removeprefix(wrapper): value for key, value in state.items() if key.startswith(wrapper)}
    fitting = {
        key: value for key, value in named.items() if key in template.shapes and _fits(template, key, value.shape)
    }
    absent = [key for key in template.shapes if key not in fitting and not key.endswith(COUNTER)]
    return Match(
        network,
        fitting,
        tuple(key for key in absent if key not in template.auxiliary),
        tuple(key for key in absent if key in template.auxiliary),
        tuple(key for key in state if not (key.startswith(wrapper) and key.removeprefix(wrapper) in fitting)),
        _classes(template, fitting),
    )


def _fits(template: Template, key: str, shape: torch.Size) -> bool:
    """Whether a tensor has the network's shape, in the main head for any number of classes."""
    expected = template.shapes[key]
    if key in template.class_axes and key not in template.auxiliary:
        axis = template.class_axes[key]
        return len(shape) == len(expected) and all(
            found == wanted or index == axis for index, (found, wanted) in enumerate(zip(shape, expected, strict=True))
        )
    return shape == expected


def _classes(template: Template, state: State) -> int:
    sizes = [state[key].shape[axis] for key, axis in template.class_axes.items() if key in state]
    return next((size for size in sizes if size != len(CLASS_NAMES)), len(CLASS_NAMES))


@cache
def shapes_of(network: str, num_classes: int = len(CLASS_NAMES), auxiliary: bool = True) -> dict[str, torch.Size]:
    """Of all tensors of a network, which is built without memory."""
    with torch.device("meta"):
        built = NETWORKS[network](num_classes=num_classes, auxiliary=auxiliary)
    return {key: value.shape for key, value in built.state_dict().items()}


@cache
def template_of(network: str) -> Template:
    """What differs in a network with another number of classes, and in one without auxiliary heads."""
    shapes = shapes_of(network)
    larger = shapes_of(network, len(CLASS_NAMES) + 1)
    class_axes = {
        key: next(axis for axis, size in enumerate(shape) if larger[key][axis] == size + 1)
        for key, shape in shapes.items()
        if larger[key] != shape
    }
    return Template(shapes, frozenset(shapes) - frozenset(shapes_of(network, auxiliary=False)), class_axes)


def import_segmenter(
    file: Path,
    name: str,
    match: Match,
    output: Path,
    height: int | None = None,
    restart: bool = False,
) -> Imported:
    """Turn a published segmenter into a run folder with one checkpoint.

    Args:
        file: Where it was read from.
        name: Of the state dict in the file; "" if it is the file's only content.
        match: What `find_segmenter` took it for.
        output: The run folder to write.
        height: To which frames are brought before prediction; None for that of the settings.
        restart: Set a folder that holds another run aside instead of refusing it.

    Raises:
        CheckpointError: It does not fill the network, or tells other classes apart.
        UserError: The folder holds another run.
    """
    origin = f"{file}, {name}" if name else str(file)
    _refuse_unfit(origin, match)
    settings = SegmenterSettings.model_validate(
        {"network": match.network} | ({} if height is None else {"height": height})
    )
    network = build_network(settings)
    state = CONVERSIONS.get(match.network, dict)(match.state)
    network.load_state_dict(state, strict=False)
    content = {
        "stage": "segmenter",
        "seed": 0,
        "imported": {file.name: sha256_of(file)},
        "networks": {"network": match.network},
        "settings": settings.model_dump(mode="json"),
    }
    write_run(output, content, nn.ModuleDict({"network": network}), restart)
    fresh = len(match.missing_auxiliary)
    drawn = f"; {fresh} of heads that only training uses not given, freshly drawn" if fresh else ""
    return Imported(output, (f"network: {match.network}; {match.counts()}{drawn} ({origin})",))


def _refuse_unfit(origin: str, match: Match) -> None:
    classes = len(CLASS_NAMES)
    if not match.state:
        raise CheckpointError(
            f"{origin}: nothing in it fits {match.network}: {match.counts()}; leave --network out to have it recognised"
        )
    if match.missing:
        raise CheckpointError(
            f"{origin}: looks like {match.network}, but does not fill it: {match.counts()}; only whole networks are "
            "used"
        )
    if match.num_classes != classes:
        raise CheckpointError(
            f"{origin}: holds {match.network} with a head for {match.num_classes} classes; expected the {classes} of "
            "Cityscapes, which label maps have here. Give a checkpoint that was trained on these"
        )
