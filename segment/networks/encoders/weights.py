"""Which tensors of somebody's trained encoder fit where in one of our networks.

Files of weights name the same ResNet in many ways ("layer1.0.conv1.weight" alone, behind "module." or "backbone."), and
networks keep it under names of their own ("cp.resnet."). So the common part is found by the ends of the names.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segment.networks.segmenter import Segmenter

WRAPPINGS = ("module.", "model.", "_orig_mod.")
"""What training code puts in front of all names; taken off as often as it is there."""
PARTS = ("", "backbone.", "encoder.", "features.", "Scale.")
"""Under which of its parts a file may keep the encoder."""
COUNTER = "num_batches_tracked"
"""Has no part in what a network computes; old files have none."""


@dataclass(frozen=True)
class EncoderMatch:
    """What became of every tensor."""

    loaded: dict[str, Tensor]
    """By its name in the network."""
    missing: tuple[str, ...]
    """Names of the network's encoder that nothing was found for, or nothing of that shape."""
    unexpected: tuple[str, ...]
    """Names in the file that have no place in the encoder, such as the classifier of ImageNet."""


def match_encoder(network: Segmenter, weights: Mapping[str, Tensor]) -> EncoderMatch:
    """Find for the tensors of a file their places in the encoder of a network; nothing is changed.

    One beginning is taken off all names of the file and another put in front: those two by which most tensors fit.

    Args:
        network: Says by `encoder_keys` where its encoder is. If that is anywhere, its encoder is taken to be the
            modules that the file has anything for.
        weights: A state dict, whole networks included.

    Raises:
        ValueError: Not a single tensor fits.
    """
    places = {key: value.shape for key, value in network.state_dict().items() if key.startswith(network.encoder_keys)}
    given = {key: unwrapped(key) for key in weights}
    part, beginning = _most_fitting(places, {name: weights[key].shape for key, name in given.items()})
    loaded, unexpected = {}, []
    for key, name in given.items():
        place = beginning + name.removeprefix(part)
        if name.startswith(part) and places.get(place) == weights[key].shape:
            loaded[place] = weights[key]
        elif not name.endswith(COUNTER):
            unexpected.append(key)
    modules = {_module(place, beginning) for place in loaded}
    anywhere = network.encoder_keys == ("",)
    missing = [
        place
        for place in places
        if place not in loaded and not place.endswith(COUNTER)
        if not anywhere or _module(place, beginning) in modules
    ]
    return EncoderMatch(loaded, tuple(missing), tuple(unexpected))


def unwrapped(key: str) -> str:
    """The name without what training code put in front of it."""
    while key.startswith(WRAPPINGS):
        key = key.partition(".")[2]
    return key


def _module(place: str, beginning: str) -> str:
    """The part of the network right behind `beginning` that a tensor belongs to; "" outside of it."""
    return place.removeprefix(beginning).partition(".")[0] if place.startswith(beginning) else ""


def _most_fitting(places: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> tuple[str, str]:
    """What to take off the given names and what to put in front of them instead."""
    votes: Counter[tuple[str, str]] = Counter()
    for part in PARTS:
        named = {name.removeprefix(part): shape for name, shape in given.items() if name.startswith(part)}
        for place, shape in places.items():
            atoms = place.split(".")
            for depth in range(len(atoms) - 1):
                end = ".".join(atoms[depth:])
                if named.get(end) == shape and not end.endswith(COUNTER):
                    votes[part, place.removesuffix(end)] += 1
    if not votes:
        raise ValueError(f"none of the {len(given)} tensors has the name and shape of any in the network's encoder")
    return max(votes, key=lambda pair: (votes[pair], -len(pair[0]), -len(pair[1])))
