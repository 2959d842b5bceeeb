"""Published checkpoints of segmenters -> a run folder of ours, which `segment evaluate` and `segment predict` take.

Our networks bear the names of their authors' modules, so a file is recognised by comparing the names and shapes of its
tensors with those of every network here, built without memory. A network that is new in `NETWORKS` is recognised too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import build_network
from pipelines.pretrained.import_run import Imported, Origin, write_run
from pipelines.pretrained.inputs import INPUTS, NetworkInput, red_first
from pipelines.pretrained.wrappers import State, unwrapped
from segment.classes import CLASS_NAMES
from segment.networks import NETWORKS
from segment.networks.deeplabv2 import with_one_classifier
from segment.networks.stdc import with_our_norms

HOLDERS = ("", "model.")
"""What stands before every key of the network: nothing, or the word of the class that held network and losses."""


@dataclass(frozen=True)
class Code:
    """The code that published weights of a network were trained with, and what is not to be seen from the weights."""

    of: str
    """Whose, to a person who has to choose."""
    input: str = "imagenet"
    """Key of INPUTS."""
    height: int | None = None
    """Height of the frames that it was evaluated on; None: that of ours, Cityscapes' own."""
    remark: str = ""


ADAPTSEGNET = Code("AdaptSegNet's, MaxSquare's and DACS's", "caffe", 512, "2 of the classifier's 4 branches summed")
ADVENT = Code("ADVENT's and FDA's", "caffe", 512, "all 4 branches of the classifier summed")
CLAN = Code("CLAN's", "caffe", 512, "all 4 branches summed, and its two classifiers as one that adds up their logits")
CLAN_NETWORK = "deeplabv2_resnet101_four_branches"
STDC_SEG = Code("its authors'", remark="STDC-Seg50 and 75 were evaluated with --height 512 and 768")
OURS_ON_LITE = Code("ours", "efficientnet_lite")
CODES = {
    "bisenetv1": Code("CoinCheung's", "cityscapes"),
    "bisenetv2": Code("CoinCheung's", "cityscapes"),
    "stdc1": STDC_SEG,
    "stdc2": STDC_SEG,
    "ppliteseg_t": Code("zh320's"),
    "ppliteseg_b": Code("zh320's"),
    "deeplabv2_resnet101": ADAPTSEGNET,
    "deeplabv2_resnet101_multi": ADAPTSEGNET,
    "deeplabv2_resnet101_four_branches": ADVENT,
    "deeplabv2_resnet101_multi_four_branches": ADVENT,
    "deeplabv3_resnet101": Code("torchvision's"),
    "lraspp": Code("torchvision's"),
    "fpn_efficientnet_lite0": OURS_ON_LITE,
    "fpn_efficientnet_lite1": OURS_ON_LITE,
    "fpn_efficientnet_lite2": OURS_ON_LITE,
    "ppliteseg_efficientnet_lite0": OURS_ON_LITE,
    "ppliteseg_efficientnet_lite1": OURS_ON_LITE,
    "ppliteseg_efficientnet_lite2": OURS_ON_LITE,
    "hierarchical_deeplabv3plus_wrn38": Code("its authors'", remark="scales 0.5 and 1 (the authors add 2)"),
}
"""By network; those that are not here have one known code, their authors'."""
CONVERSIONS: dict[str, Callable[[Mapping[str, Tensor]], State]] = {"stdc1": with_our_norms, "stdc2": with_our_norms}
"""Networks whose published weights mean something else than ours."""
LOSSES = re.compile(r"(^|\.)(\w*loss\w*|criterion)\.")
"""How tensors are called that belong to a loss, as it is kept beside a network that is trained."""
LEAST_SHARE = 0.5
"""Share of a network's names of tensors that a file must have to count as a file of it, perhaps a defective one."""
COUNTER = "num_batches_tracked"
"""Batch normalisation's count of steps; no part of what a network computes, and absent before torch 0.4."""


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
    """Classes that its main head tells apart."""
    foreign: tuple[str, ...] = ()
    """Unexpected keys of what may take part in what the published network computes."""
    twins: tuple[str, ...] = ()
    """Networks of the very same tensors, which compute something else with them."""
    rivals: tuple[str, ...] = ()
    """Names of other state dicts in the file that are whole segmenters too, of whichever network."""
    joined: bool = False
    """Whether its classifier is two of the file, added up."""

    @property
    def whole(self) -> bool:
        """Whether evaluation has all that it needs."""
        return bool(self.state) and not self.missing

    @property
    def share(self) -> float:
        """Share of the tensors that fit, among all that are here or ought to be."""
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
    matches: list[tuple[str, Match]] = []
    for key, state in networks.items():
        joined = with_one_classifier(state)
        if joined is not None:
            matches.append((key, replace(match_state(joined, network or CLAN_NETWORK), joined=True)))
            continue
        for name in [network] if network else NETWORKS:
            if network or share_of_names(state, name) >= LEAST_SHARE:
                matches.append((key, match_state(state, name)))
    if not matches:
        return None
    # Those that were there first win a draw: networks in the order of the table.
    key, best = max(matches, key=lambda found: found[1].share)
    shapes = shapes_of(best.network)
    known = network is not None or best.joined
    twins = () if known else tuple(name for name in NETWORKS if name != best.network and shapes_of(name) == shapes)
    rivals = dict.fromkeys(other for other, match in matches if other != key and match.whole)
    return key, replace(best, twins=twins, rivals=tuple(rivals))


def share_of_names(state: Mapping[str, Tensor], network: str) -> float:
    """Share of a network's names of tensors that a state dict has too, with whatever stands before them."""
    names, plain = shapes_of(network).keys(), unwrapped(state)
    return max(sum(f"{holder}{name}" in plain for name in names) for holder in HOLDERS) / len(names)


def match_state(state: Mapping[str, Tensor], network: str) -> Match:
    """See a state dict as `network`, with whatever stands before its keys taken off."""
    plain = unwrapped(state)
    return max((_match(plain, network, holder) for holder in HOLDERS), key=lambda match: match.share)


def _match(state: Mapping[str, Tensor], network: str, holder: str) -> Match:
    template = template_of(network)
    named = {key.removeprefix(holder): value for key, value in state.items() if key.startswith(holder)}
    fitting = {
        key: value for key, value in named.items() if key in template.shapes and _fits(template, key, value.shape)
    }
    absent = [key for key in template.shapes if key not in fitting and not key.endswith(COUNTER)]
    unexpected = [key for key in state if not (key.startswith(holder) and key.removeprefix(holder) in fitting)]
    classes = _classes(template, fitting)
    foreign = (
        key for key in unexpected if _is_foreign(template, key, key.removeprefix(holder), state[key].shape, classes)
    )
    return Match(
        network,
        fitting,
        tuple(key for key in absent if key not in template.auxiliary),
        tuple(key for key in absent if key in template.auxiliary),
        tuple(unexpected),
        classes,
        tuple(foreign),
    )


def _is_foreign(template: Template, key: str, name: str, shape: torch.Size, num_classes: int) -> bool:
    """Whether a tensor that the network has no place for may count in what the published one computes.

    What does not: losses, counters, and auxiliary heads of other classes, which cannot be added to the main one's.
    """
    if LOSSES.search(key) or key.endswith(COUNTER):
        return False
    if name not in template.auxiliary or name not in template.class_axes:
        return True
    axis = template.class_axes[name]
    return len(shape) != len(template.shapes[name]) or shape[axis] == num_classes


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
    """Shapes of all tensors of a network, which is built without memory."""
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


@dataclass(frozen=True)
class SegmenterImport:
    """What is done with a network beside computing it; None for what the code does that it is known from."""

    height: int | None = None
    """To which frames are brought before prediction."""
    given: NetworkInput | None = None
    """What the network is given of an image."""
    align_corners: bool | None = None
    """How its logits are resized."""


AS_KNOWN = SegmenterImport()


def import_segmenter(
    file: Path, name: str, match: Match, output: Path, told: SegmenterImport = AS_KNOWN, restart: bool = False
) -> Imported:
    """Turn a published segmenter into a run folder with one checkpoint.

    What it computes does not follow from the weights alone: input, resizing and frames are those of the code that they
    are known from, and the lines that are returned say which.

    Args:
        file: Where it was read from.
        name: Of the state dict in the file; "" if it is the file's only content.
        match: What `find_segmenter` took it for.
        output: The run folder to write.
        told: What is done otherwise than by that code.
        restart: Set a folder that holds another run aside instead of refusing it.

    Raises:
        CheckpointError: It does not fill the network, holds more than it has a place for, or tells other classes apart.
        UserError: It fits several networks, or several of its state dicts do; or the folder holds another run.
    """
    origin = Origin(file, name)
    _refuse_unfit(origin, match)
    _ask(origin, match)
    code = CLAN if match.joined else CODES.get(match.network, Code("its authors'"))
    height = code.height if told.height is None else told.height
    settings = SegmenterSettings.model_validate(
        {"network": match.network} | ({} if height is None else {"height": height})
    )
    network = build_network(settings)
    what = INPUTS[code.input] if told.given is None else told.given
    align_corners = network.align_corners if told.align_corners is None else told.align_corners
    state = CONVERSIONS.get(match.network, dict)(red_first(match.state, what))
    network.load_state_dict(state, strict=False)
    content = {
        "stage": "segmenter",
        "seed": 0,
        "imported": {"network": origin.recorded()},
        "networks": {"network": match.network},
        "settings": settings.model_dump(mode="json"),
        "assumed": {"image_mean": what.unit_mean(), "image_std": what.unit_std(), "align_corners": align_corners},
    }
    write_run(output, content, nn.ModuleDict({"network": network}), restart)
    fresh = len(match.missing_auxiliary)
    drawn = f"; {fresh} of heads that only training uses not given, freshly drawn" if fresh else ""
    heads = sorted({key.partition(".")[0] for key in template_of(match.network).class_axes.keys() - _auxiliary(match)})
    assumed = (
        f"assumed, as in {code.of} code: input {what} (--input)",
        f"logits resized {'with' if align_corners else 'without'} align_corners (--align-corners)",
        f"frames {settings.height} high (--height), padded to multiples of {network.stride}",
        f"classes by {', '.join(heads)}",
        *([code.remark] if code.remark else []),
    )
    return Imported(output, (f"network: {match.network}; {match.counts()}{drawn} ({origin})", "; ".join(assumed)))


def _auxiliary(match: Match) -> frozenset[str]:
    return template_of(match.network).auxiliary


def _ask(origin: Origin, match: Match) -> None:
    """Refuse to guess where the file leaves a choice that changes what is computed."""
    if match.twins:
        named = {one: CODES[one] for one in (match.network, *match.twins)}
        codes = "; ".join(f"{one} (as in {code.of} code: {code.remark})" for one, code in named.items())
        raise UserError(
            f"{origin}: fits networks of the same tensors that compute different classes with them: {codes}. "
            "Say which by --network"
        )
    if match.rivals:
        raise UserError(
            f"{origin.file}: holds several whole segmenters: {', '.join((origin.entry, *match.rivals))}. "
            "Say which by --entry"
        )


def _refuse_unfit(origin: Origin, match: Match) -> None:
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
    if match.foreign:
        raise CheckpointError(
            f"{origin}: looks like {match.network}, but holds tensors that it has no place for ({len(match.foreign)}, "
            f"first {match.foreign[0]}), which may count in its classes; only whole networks are used. Leave out what "
            "prediction does without by --leave-out, with the beginning of its names"
        )
