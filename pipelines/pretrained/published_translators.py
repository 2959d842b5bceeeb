"""Other people's published checkpoints -> a run folder of ours, which every command takes.

A file says nothing about what it holds. What was read of it (`read_published.py`) is recognised by the names and shapes
of its tensors (`keys.py`), and used only if every tensor has found its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn

from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.trained import build_translator
from pipelines.experiment.translators import LoadableTranslatorSettings
from pipelines.pretrained.import_run import Imported, Origin, write_run
from pipelines.pretrained.imports import AS_IT_IS, NormStatistics, TranslatorImport
from pipelines.pretrained.keys import STATISTICS, Recognised, label_channels, recognise
from pipelines.pretrained.read_published import read_published
from pipelines.pretrained.styles import clusters_of, describe_styles, settings_with_clusters
from pipelines.pretrained.wrappers import State
from pipelines.settings import explain
from translate.choices import Direction
from translate.layout_translator import LayoutTranslator
from translate.translator import Translator

OPPOSITE: dict[Direction, Direction] = {
    "source_to_target": "target_to_source",
    "target_to_source": "source_to_target",
}
TOGETHER = {
    "netG_S2T": "source_to_target",
    "netG_T2S": "target_to_source",
    "netD_T": "target_discriminator",
    "netD_S": "source_discriminator",
}
"""Networks of one file by our names, as TLlib's CycleGAN keeps them."""


@dataclass(frozen=True)
class Given:
    """A network that a person wants: where it came from, and what it turned out to be."""

    origin: Origin
    network: Recognised


def import_published(
    generator: Path,
    output: Path,
    told: TranslatorImport = AS_IT_IS,
    restart: bool = False,
    networks: Mapping[str, State] | None = None,
) -> Imported:
    """Turn published .pth files into a run folder with one checkpoint.

    Args:
        generator: The file of a generator; of a whole CycleGAN, if its authors keep all networks in one.
        output: The run folder to write.
        told: How it is taken, and what belongs to it.
        restart: Set a folder that holds another run aside instead of refusing it.
        networks: What `generator` holds, where it has been read already.

    Raises:
        CheckpointError: A file is unreadable, unsafe, of an unknown architecture, or does not fill its network.
        UserError: The folder holds another run, or the networks have no such statistics.
    """
    clusters = told.clusters
    networks = read_published(generator) if networks is None else networks
    given = _roles(generator, networks, told)
    settings = _with_statistics(_settings(given), told.norm_statistics)
    looks = {} if clusters is None else clusters_of(clusters, read_published(clusters))
    if clusters is not None:
        settings = settings_with_clusters(settings, looks, clusters)
    method = _build(settings, generator)
    lines = [_fill(method, role, one) for role, one in given.items()]
    missing = [name for name, network in method.named_children() if name not in given and _is_trained(network)]
    lines += [f"{name}: not given, freshly drawn; translation does not need it" for name in missing]
    lines += [*describe_styles(method, looks, clusters), _assumed(method, settings)]
    origins = {role: one.origin for role, one in given.items()} | ({"clusters": Origin(clusters)} if clusters else {})
    content = {
        "stage": "translator",
        "seed": 0,
        "imported": {role: origin.recorded() for role, origin in origins.items()},
        "networks": {role: one.network.title for role, one in given.items()},
        "settings": settings,
    }
    write_run(output, content, method, restart)
    return Imported(output, tuple(lines))


def _roles(generator: Path, networks: Mapping[str, State], told: TranslatorImport) -> dict[str, Given]:
    """Every network by the name that it has in our methods."""
    direction, reverse, discriminators, labels = told.direction, told.reverse, told.discriminators, told.labels
    if set(networks) >= {"netG_S2T", "netG_T2S"}:
        if reverse or discriminators or told.encoder or direction != "source_to_target":
            raise CheckpointError(
                f"{generator} holds all networks of both directions; leave out --direction, --reverse, "
                "--discriminator, --encoder"
            )
        return {
            role: _recognised(Origin(generator, name), networks[name], labels)
            for name, role in TOGETHER.items()
            if name in networks
        }
    given = {direction: _single(generator, networks, labels)}
    if reverse:
        given[OPPOSITE[direction]] = _single(reverse, read_published(reverse), labels)
    of_label_maps = given[direction].network.kind == "label_map_generator"
    names = ("discriminator",) if of_label_maps else ("target_discriminator", "source_discriminator")
    if len(discriminators) > len(names):
        raise CheckpointError(
            f"{len(discriminators)} discriminators for {given[direction].network.title}; give {len(names)}"
        )
    for role, path in zip(names, discriminators, strict=False):
        given[role] = _single(path, read_published(path), labels)
    if told.encoder:
        given["encoder"] = _single(told.encoder, read_published(told.encoder), labels)
    return given


def _single(path: Path, networks: Mapping[str, State], labels: int | None) -> Given:
    """The only network of a file."""
    if len(networks) != 1:
        raise CheckpointError(
            f"{path} holds {len(networks)} networks ({', '.join(sorted(networks))[:100]}); expected one, or TLlib's "
            f"{', '.join(TOGETHER)}"
        )
    [(entry, state)] = networks.items()
    return _recognised(Origin(path, entry), state, labels)


def _recognised(origin: Origin, state: State, labels: int | None) -> Given:
    try:
        return Given(origin, recognise(state, labels))
    except CheckpointError as error:
        raise CheckpointError(f"{origin}: holds {error}") from error


def _settings(given: Mapping[str, Given]) -> dict[str, Any]:
    """Settings of the method that the networks make up, complete.

    One generator, or two without both discriminators, are used as they are; with the discriminators they are a
    CycleGAN that can be trained on. A generator from label maps is a pix2pixHD.
    """
    kinds = {role: one.network.kind for role, one in given.items()}
    if kinds.get("source_to_target") == "label_map_generator":
        return _pix2pixhd_settings(given)
    generators = [role for role in OPPOSITE if role in given]
    judges = [role for role in kinds if role.endswith("_discriminator")]
    for role, one in given.items():
        wanted = "discriminator" if role in judges else "generator"
        if one.network.kind != wanted:
            raise CheckpointError(f"{one.origin}: holds {one.network.title}, expected a {wanted} of images ({role})")
    chosen = _agreeing(given, generators)
    if not judges:
        return _complete(given, {"method": "published", "directions": generators} | chosen)
    if len(generators) < 2 or len(judges) < 2:
        raise CheckpointError(
            f"{given[judges[0]].origin}: discriminators are of use for training on alone, which takes both generators "
            "and both discriminators; add --reverse and --discriminator, or leave discriminators out"
        )
    judging = _agreeing(given, judges)
    if judging["norm"] != chosen["norm"]:
        raise CheckpointError(f"{given[judges[0]].origin}: its norm is not that of the generators; leave it out")
    if chosen.pop("antialias"):
        raise CheckpointError(
            f"{given[generators[0]].origin}: holds CUT's generator, which is imported without discriminators"
        )
    return _complete(given, {"method": "cyclegan"} | chosen | judging)


def _with_statistics(settings: dict[str, Any], wanted: NormStatistics | None) -> dict[str, Any]:
    """The settings, with the statistics by which batch norms normalise when translating."""
    if settings.get("norm") != "batch":
        if wanted is not None:
            raise UserError("--norm-statistics is for networks with batch norm, which these have not; leave it out")
        return settings
    if settings["method"] != "published":
        if wanted == "frame":
            raise UserError(
                "--norm-statistics is frame; a CycleGAN that can be trained on translates by saved statistics. Leave "
                "the discriminators out, or --norm-statistics"
            )
        return settings
    return settings if wanted == "saved" else settings | {"norm": "frame"}


def _assumed(method: Translator, settings: dict[str, Any]) -> str:
    """The line on what does not follow from the files."""
    generator = method.generator(method.directions[0])
    size = f"frames at their own size, mirrored to sides that divide by {generator.side_multiple}"
    if isinstance(method, LayoutTranslator):
        ignored = ", and a channel for ignored pixels" if method.ignore_channel else ""
        layout = f"ids 0 to {method.labels - 1} one by one (--labels){ignored}{', and edges' if method.edges else ''}"
        return f"assumed, as in pix2pixHD's code: from {layout}, to RGB in -1..1; {size}"
    norm = {
        "instance": "",
        "frame": "; batch norm by each frame's own statistics (--norm-statistics frame, as test.py without --eval)",
        "batch": "; batch norm by saved statistics (--norm-statistics saved, as test.py --eval)",
    }[settings["norm"]]
    return f"assumed, as in the authors' code: RGB in -1..1; {size}{norm}; no dropout"


def _agreeing(given: Mapping[str, Given], roles: Sequence[str]) -> dict[str, Any]:
    """The settings that all networks of `roles` have in common; they must differ in nothing."""
    first, *others = [given[role] for role in roles]
    for other in others:
        if other.network.settings != first.network.settings:
            raise CheckpointError(
                f"{first.origin} holds {first.network.title}, {other.origin} {other.network.title}; expected two alike"
            )
    return dict(first.network.settings)


def _pix2pixhd_settings(given: Mapping[str, Given]) -> dict[str, Any]:
    generator = given["source_to_target"].network
    settings = {"method": "pix2pixhd"} | generator.settings
    expected = {
        "source_to_target": "label_map_generator",
        "discriminator": "multiscale_discriminator",
        "encoder": "style_encoder",
    }
    for role, one in given.items():
        if expected.get(role) != one.network.kind:
            raise CheckpointError(f"{one.origin}: holds {one.network.title}, which is of no use to {generator.title}")
        settings |= one.network.settings
    styles = generator.settings["style_features"]
    if settings["style_features"] != styles:
        raise CheckpointError(f"{given['encoder'].origin}: an encoder of other styles than {generator.title} takes")
    channels = label_channels(generator.settings["labels"]) + generator.settings["edges"] + 3
    if settings.pop("in_channels", channels) != channels:
        raise CheckpointError(
            f"{given['discriminator'].origin}: holds {given['discriminator'].network.title}, expected {channels}"
        )
    # The smallest crop that any number of halvings takes: settings check themselves, whatever is done with them.
    side = 2 ** (settings["halvings"] + settings.get("enhancers", 0) + 1)
    side = max(side, 2 ** settings.get("style_halvings", 1))
    return _complete(given, settings | {"crop": side})


def _complete(given: Mapping[str, Given], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with all defaults, as a run records them."""
    try:
        model = TypeAdapter(LoadableTranslatorSettings).validate_python(settings)
    except ValidationError as error:
        one = next(iter(given.values()))
        raise CheckpointError(
            f"{one.origin}: holds {one.network.title}, which this project has not got: "
            f"{explain(error, LoadableTranslatorSettings)}"
        ) from error
    return model.model_dump(mode="json")


def _build(settings: dict[str, Any], origin: Path) -> Translator:
    model = TypeAdapter(LoadableTranslatorSettings).validate_python(settings)
    try:
        return build_translator(model)
    except ValueError as error:
        raise CheckpointError(f"{origin}: {error}") from error


def _fill(method: Translator, role: str, given: Given) -> str:
    """Load one network, every tensor accounted for; return the line that says so."""
    network = method.get_submodule(role)
    expected, found = network.state_dict(), given.network.state
    unused = [key for key in found if key.endswith(STATISTICS) and key not in expected and _normalises(network, key)]
    fitting = {key: value for key, value in found.items() if key in expected and value.shape == expected[key].shape}
    # The count of batches has no part in what a network computes; checkpoints before torch 0.4 have none.
    missing = [key for key in expected if key not in fitting and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in {*fitting, *unused}]
    counts = f"{len(fitting)} tensors loaded, {len(missing)} missing, {len(unexpected)} unexpected"
    if missing or unexpected or not fitting:
        example = next(iter(missing or unexpected), "")
        raise CheckpointError(
            f"{given.origin}: looks like {given.network.title}, but does not fit it: {counts}"
            f"{f' (first {example})' if example else ''}; only whole networks are used"
        )
    network.load_state_dict(fitting, strict=False)
    stale = len(given.network.stale)
    ignored = f"; {stale} statistics of instance norms, which nothing uses, left out" if stale else ""
    ignored += f"; {len(unused)} saved statistics of batch norms left out" if unused else ""
    return f"{role}: {given.network.title}; {counts}{ignored} ({given.origin})"


def _normalises(network: nn.Module, key: str) -> bool:
    """Whether a tensor is called as one of a layer that normalises each frame by itself."""
    layers = dict(network.named_modules())
    return isinstance(layers.get(key.rpartition(".")[0]), nn.InstanceNorm2d)


def _is_trained(network: nn.Module) -> bool:
    return any(True for _ in network.parameters())
