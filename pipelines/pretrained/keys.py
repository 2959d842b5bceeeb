"""What a published state dict is: its architecture, read off the names and shapes of its tensors.

Covers pytorch-CycleGAN-and-pix2pix and CUT (Zhu, Park), pix2pixHD (Wang), HyPER-GAN (Pasios) and whatever was built on
their networks without renaming them, such as TLlib's CycleGAN. The files themselves say nothing about what they hold.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from pipelines.errors import CheckpointError
from pipelines.pretrained.wrappers import State, unwrapped
from segment.classes import CLASS_NAMES
from translate.networks.generators.resnet import Antialias

Kind = Literal["generator", "label_map_generator", "discriminator", "multiscale_discriminator", "style_encoder"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
BLOCKS = {6: "resnet6", 9: "resnet9"}
LIGHT_BLOCKS = 4
HALVINGS = {7: "unet128", 8: "unet256"}
AUTHORS_LABELS = 35
"""Cityscapes' labelIds, which the published pix2pixHD networks were trained on."""
TRAIN_IDS = len(CLASS_NAMES)
"""The other ids that label maps have here."""
ANTIALIASED: dict[Antialias, str] = {
    False: "",
    True: ", antialiased",
    "halving": ", antialiased where it halves (CUT's --no_antialias_up)",
    "doubling": ", antialiased where it doubles (CUT's --no_antialias)",
}
LABEL_MAP_CHANNELS = tuple(AUTHORS_LABELS + more for more in (0, 1, 3, 4))
"""Alone, with edges, with styles, with both."""


@dataclass(frozen=True)
class Recognised:
    """A network: what kind, its settings by our names, its tensors by our keys, and the keys that mean nothing."""

    kind: Kind
    title: str
    settings: dict[str, Any]
    state: State
    stale: tuple[str, ...] = field(default=())


def recognise(state: Mapping[str, Tensor], labels: int | None = None) -> Recognised:
    """Find out what network a published state dict is of.

    Args:
        state: Tensors by the authors' keys, with the words of wrappers or without.
        labels: Label ids that a pix2pixHD network knows; None: as the authors' checkpoints have.

    Raises:
        CheckpointError: No known architecture, or one that this project has not got; the message has no file in it.
    """
    plain, stale = without_stale(unwrapped(state))
    for mark, reader in READERS:
        if any(re.match(mark, key) for key in plain):
            return reader(plain, stale, labels)
    raise _unknown(plain)


def _unknown(state: State) -> CheckpointError:
    shown = ", ".join(sorted(state)[:3])
    return CheckpointError(
        f"no architecture that is known here (tensors called {shown}, …); expected a generator or discriminator "
        "of pytorch-CycleGAN-and-pix2pix, CUT, pix2pixHD or HyPER-GAN, or a whole segmenter in its authors' own names"
    )


def without_stale(state: State) -> tuple[State, tuple[str, ...]]:
    """Without the running statistics of instance norms, which torch 0.3 saved and no version uses.

    A batch norm, whose statistics count, has weights beside them.
    """
    stale = tuple(
        key
        for key in state
        if key.endswith(STATISTICS) and f"{key.rpartition('.')[0]}.weight" not in state and "." in key
    )
    return {key: value for key, value in state.items() if key not in stale}, stale


def _resnet(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """CycleGAN's and CUT's generators, and pix2pixHD's global one, which has more halvings."""
    state = _without_dropout(state)
    blocks = _numbers(state, r"model\.(\d+)\.conv_block\.")
    opening = _weight(state, "model.1.weight")
    antialias = _antialias(state, blocks)
    norm = "batch" if "model.2.weight" in state else "instance"
    halvings, rest = divmod(blocks[0] - 4, 4 if antialias in (True, "halving") else 3)
    if rest or halvings < 1 or blocks != list(range(blocks[0], blocks[0] + len(blocks))):
        raise CheckpointError(f"a generator with residual blocks at {blocks[0]} to {blocks[-1]}, which no author's has")
    channels, inputs = opening.shape[:2]
    _refuse_grey("a ResNet generator", inputs, _weight(state, f"model.{_last(state)}.weight").shape[0])
    if inputs != 3 and not antialias and (halvings != 2 or labels is not None or inputs in LABEL_MAP_CHANNELS):
        sizes = {"generator": "global", "halvings": halvings, "blocks": len(blocks), "generator_channels": channels}
        return _of_label_maps("pix2pixHD's global generator", sizes, inputs, norm, state, stale, labels)
    if inputs == 3:
        _refuse_labels(labels)
    if inputs == 3 and halvings != 2 and not antialias:
        return _of_images("pix2pixHD's global generator", halvings, len(blocks), channels, norm, state, stale)
    if len(blocks) not in BLOCKS or halvings != 2 or inputs != 3:
        raise CheckpointError(
            f"a ResNet generator with {len(blocks)} blocks, {halvings} halvings and {inputs} channels in; "
            "expected 6 or 9 blocks, 2 halvings and 3 channels"
        )
    blurs = {"antialias": bool(antialias)} | ({"antialias_at": antialias} if isinstance(antialias, str) else {})
    settings = {"generator": BLOCKS[len(blocks)], "generator_channels": channels, "norm": norm} | blurs
    title = f"ResNet-{len(blocks)} generator{ANTIALIASED[antialias]}, {channels} channels, {norm} norm"
    return Recognised("generator", title, settings, state, stale)


def _antialias(state: State, blocks: list[int]) -> Antialias:
    """Where the generator blurs: at halvings and doublings, as CUT's do by default, at one of the two, or nowhere."""
    blurs = _numbers(state, r"model\.(\d+)\.filt")
    before, after = any(place < blocks[0] for place in blurs), any(place > blocks[-1] for place in blurs)
    if before == after:
        return before
    return "halving" if before else "doubling"


def _refuse_grey(title: str, inputs: int, outputs: int) -> None:
    """Refuse generators of images that have one channel, or as many as no image here."""
    if inputs == 1 or outputs != 3:
        raise CheckpointError(
            f"{title} from {inputs} to {outputs} channels, of grey or other images; expected one of images in colour, "
            "which have 3"
        )


def _refuse_labels(labels: int | None) -> None:
    """Refuse --labels for a generator of images, whose 3 channels are no labels."""
    if labels is not None:
        raise CheckpointError(
            "a generator with 3 channels in, which are an image's and not those of labels; leave --labels out"
        )


def _of_images(
    title: str, halvings: int, blocks: int, channels: int, norm: str, state: State, stale: tuple[str, ...]
) -> Recognised:
    """pix2pixHD's generator as it is trained with --label_nc 0 and without instances: from images, as REGEN's are."""
    if norm != "instance":
        raise CheckpointError(f"{title} with batch norm; only those with instance norm are known")
    sizes = {"generator": "global", "halvings": halvings, "blocks": blocks, "generator_channels": channels}
    return Recognised("generator", f"{title}, from images", sizes | {"norm": norm, "antialias": False}, state, stale)


def _unet(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """pix2pix's U-Net, which wraps each halving in the one before."""
    halvings = 1 + sum(
        re.fullmatch(r"model\.model\.1(\.model\.3)*\.model\.1\.weight", key) is not None for key in state
    )
    channels, inputs = _weight(state, "model.model.0.weight").shape[:2]
    if halvings not in HALVINGS or inputs != 3:
        raise CheckpointError(
            f"a U-Net with {halvings} halvings and {inputs} channels in; expected 7 or 8 halvings and 3 channels"
        )
    _refuse_grey("a U-Net", inputs, _weight(state, "model.model.3.weight").shape[1])
    _refuse_labels(labels)
    norm = "batch" if any(key.endswith("running_mean") for key in state) else "instance"
    settings = {"generator": HALVINGS[halvings], "generator_channels": channels, "norm": norm, "antialias": False}
    title = f"U-Net generator for {2**halvings} pixels, {channels} channels, {norm} norm"
    return Recognised("generator", title, settings, state, stale)


def _light(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """HyPER-GAN's generator, and those of its kind that were trained here."""
    channels, inputs = _weight(state, "enc1.0.weight").shape[:2]
    _refuse_grey("HyPER-GAN's generator", inputs, _weight(state, "dec1.0.weight").shape[1])
    _refuse_labels(labels)
    blocks = _numbers(state, r"middle\.(\d+)\.block\.")
    if inputs != 3 or len(blocks) != LIGHT_BLOCKS:
        raise CheckpointError(
            f"HyPER-GAN's generator with {len(blocks)} blocks and {inputs} channels in; expected {LIGHT_BLOCKS} blocks "
            "and 3 channels"
        )
    norm = "batch" if any(key.endswith("running_mean") for key in state) else "instance"
    settings = {"generator": "unet_light", "generator_channels": channels, "norm": norm, "antialias": False}
    title = f"HyPER-GAN's generator, {channels} channels, {norm} norm"
    return Recognised("generator", title, settings, state, stale)


def _enhancer(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """pix2pixHD's global generator within local enhancers."""
    enhancers = _numbers(state, r"model(\d+)_1\.")
    blocks = _numbers(state, r"model\.(\d+)\.conv_block\.")
    own = _numbers(state, r"model1_2\.(\d+)\.conv_block\.")
    if not blocks or not own or (blocks[0] - 4) % 3:
        raise CheckpointError("a local enhancer of pix2pixHD without its global generator, or without its blocks")
    channels, inputs = _weight(state, "model.1.weight").shape[:2]
    sizes = {
        "generator": "local",
        "enhancers": len(enhancers),
        "enhancer_blocks": len(own),
        "halvings": (blocks[0] - 4) // 3,
        "blocks": len(blocks),
        "generator_channels": channels,
    }
    norm = "batch" if "model.2.weight" in state else "instance"
    title = f"pix2pixHD's generator with {len(enhancers)} local enhancer{'s' if len(enhancers) > 1 else ''}"
    return _of_label_maps(title, sizes, inputs, norm, state, stale, labels)


def label_channels(labels: int) -> int:
    """Channels that label ids take: one each, and of train ids one more for ignored pixels, which have no id."""
    return labels + 1 if labels == TRAIN_IDS else labels


def _of_label_maps(
    title: str,
    sizes: dict[str, Any],
    inputs: int,
    norm: str,
    state: State,
    stale: tuple[str, ...],
    labels: int | None,
) -> Recognised:
    """A generator of pix2pixHD: what its input channels are follows from their number."""
    if inputs == 3:
        raise CheckpointError(
            f"{title} from images (3 channels in); of those with local enhancers only those from label maps are known"
        )
    if norm != "instance":
        raise CheckpointError(f"{title} with batch norm; only those with instance norm are known")
    known = AUTHORS_LABELS if labels is None else labels
    if known not in (TRAIN_IDS, AUTHORS_LABELS):
        raise CheckpointError(
            f"{title} from {known} labels, as --labels says, which no label space has here; expected {TRAIN_IDS} "
            f"(train ids, and one for ignored pixels) or {AUTHORS_LABELS} (Cityscapes' labelIds)"
        )
    own = label_channels(known)
    more = {0: (False, 0), 1: (True, 0), 3: (False, 3), 4: (True, 3)}
    if inputs - own not in more:
        raise CheckpointError(
            f"{title} with {inputs} channels in, for {known} labels; expected {own}, and one for edges, and 3 for "
            "styles. Tell the number of its label ids by --labels"
        )
    edges, styles = more[inputs - own]
    settings = sizes | {"labels": known, "edges": edges, "style_features": styles}
    ignored = " and ignored pixels" if own > known else ""
    parts = f"{known} labels{ignored}{' and edges' if edges else ''}{' and styles' if styles else ''}"
    return Recognised("label_map_generator", f"{title}, from {parts}", settings, state, stale)


def _multiscale(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """pix2pixHD's discriminators; those without feature matching are named by scale alone."""
    if any(key.startswith("layer0.") for key in state):
        state = _named_by_layer(state)
    scales = _numbers(state, r"scale(\d+)_layer\d+\.")
    layers = _numbers(state, r"scale0_layer(\d+)\.")
    channels, inputs = _weight(state, "scale0_layer0.0.weight").shape[:2]
    if any(key.endswith("running_mean") for key in state):
        raise CheckpointError("a multi-scale discriminator with batch norm; only those with instance norm are known")
    settings = {
        "in_channels": inputs,
        "discriminator_channels": channels,
        "discriminator_layers": len(layers) - 2,
        "scales": len(scales),
    }
    title = f"pix2pixHD's discriminator of {len(scales)} scales, {inputs} channels in"
    return Recognised("multiscale_discriminator", title, settings, state, stale)


def _named_by_layer(state: State) -> State:
    """layer{scale}.{position} -> scale{scale}_layer{number}.0, as where features are matched."""
    renamed = {}
    for key, value in state.items():
        named = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", key)
        if named is None:  # a ResNet may call its beginning layer0, too
            raise _unknown(state)
        scale, position, rest = named.groups()
        positions = _numbers(state, rf"layer{scale}\.(\d+)\.")
        renamed[f"scale{scale}_layer{positions.index(int(position))}.0.{rest}"] = value
    return renamed


def _style_encoder(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """pix2pixHD's encoder of instances, or else CUT's kind of a ResNet without blocks, which there is not."""
    convolutions = [key for key in state if key.endswith(".weight") and state[key].ndim == 4]
    halvings, rest = divmod(len(convolutions) - 2, 2)
    channels, inputs = _weight(state, "model.1.weight").shape[:2]
    last = max(_numbers(state, r"model\.(\d+)\."))
    if rest or halvings < 1 or inputs != 3:
        raise CheckpointError(f"a network of {len(convolutions)} convolutions without residual blocks, known nowhere")
    settings = {
        "style_features": _weight(state, f"model.{last}.weight").shape[0],
        "style_channels": channels,
        "style_halvings": halvings,
    }
    return Recognised("style_encoder", "pix2pixHD's encoder of instances", settings, state, stale)


def _patch(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """The PatchGAN discriminator of CycleGAN and pix2pix."""
    if any(key.endswith(".filt") for key in state):
        raise CheckpointError("CUT's antialiased discriminator, which serves its training alone; leave it out")
    channels, inputs = _weight(state, "model.0.weight").shape[:2]
    layers = sum(key.endswith(".weight") and value.ndim == 4 for key, value in state.items()) - 2
    norm = "batch" if any(key.endswith("running_mean") for key in state) else "instance"
    if inputs != 3:
        raise CheckpointError(f"a discriminator of {inputs} channels, of image pairs; only those of images are of use")
    sizes = {"discriminator_channels": channels, "discriminator_layers": layers}
    settings = {"discriminator": "patch", "norm": norm} | sizes
    title = f"patch discriminator of {layers} layers, {channels} channels, {norm} norm"
    return Recognised("discriminator", title, settings, state, stale)


def _pixel(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    """The discriminator of single pixels."""
    channels, inputs = _weight(state, "net.0.weight").shape[:2]
    norm = "batch" if any(key.endswith("running_mean") for key in state) else "instance"
    if inputs != 3:
        raise CheckpointError(f"a discriminator of {inputs} channels, of image pairs; only those of images are of use")
    settings = {"discriminator": "pixel", "discriminator_channels": channels, "norm": norm}
    return Recognised("discriminator", f"pixel discriminator, {channels} channels, {norm} norm", settings, state, stale)


def _projection(state: State, stale: tuple[str, ...], labels: int | None) -> Recognised:
    raise CheckpointError("CUT's projection of patches (netF), which serves its training alone; give the file of netG")


READERS: tuple[tuple[str, Callable[[State, tuple[str, ...], int | None], Recognised]], ...] = (
    (r"enc1\.0\.", _light),
    (r"model1_1\.", _enhancer),
    (r"scale0_layer0\.|layer0\.", _multiscale),
    (r"model\.model\.", _unet),
    (r"model\.\d+\.conv_block\.", _resnet),
    (r"model\.0\.", _patch),
    (r"net\.0\.", _pixel),
    (r"mlp_0\.", _projection),
    (r"model\.1\.", _style_encoder),
)
"""By the first key that tells; the order counts, as an enhancer holds residual blocks too."""


def _without_dropout(state: State) -> State:
    """Residual blocks without the place that dropout takes in them: its second convolution is number 6, not 5."""
    if not any(re.search(r"conv_block\.6\.weight$", key) and value.ndim == 4 for key, value in state.items()):
        return state
    return {
        re.sub(r"(conv_block\.)([67])\.", lambda found: f"{found[1]}{int(found[2]) - 1}.", key): value
        for key, value in state.items()
    }


def _last(state: Mapping[str, Tensor]) -> int:
    """Position of the last convolution."""
    return max(_numbers({key: one for key, one in state.items() if one.ndim == 4}, r"model\.(\d+)\.weight"), default=0)


def _numbers(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """All numbers that the group in `pattern` takes at the start of a key, ascending."""
    found = (re.match(pattern, key) for key in state)
    return sorted({int(one.group(1)) for one in found if one})


def _weight(state: Mapping[str, Tensor], key: str) -> Tensor:
    """A convolution's weights, whose shape tells channels."""
    value = state.get(key)
    if value is None or value.ndim != 4 or 0 in value.shape:
        raise CheckpointError(f"no weights {key} of a convolution, which every network of its kind begins with")
    return value
