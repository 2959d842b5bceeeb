"""Stage one, use: a trained translator turns source frames into a translated data set on disk.

The frames of an experiment, or whatever a person names: a folder tree, a list file, a data set, an image.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import PlannedFrame, plan_sets
from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.batch_inference.video import VideoSummary
from pipelines.batch_inference.watched import watched
from pipelines.batch_inference.work import Outcome
from pipelines.engine.capabilities import capabilities
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.launch import Machine, describe_machine, make_deterministic
from pipelines.engine.session import Session
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError
from pipelines.experiment.trained import finished_translator, load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.runtimes.frame_translation import Translate, mode_on, open_translation, refuse_unlearnt
from pipelines.stages.translating.layouts import layout_reader, translate_layout
from pipelines.stages.translating.translate_frames import translate_frames
from pipelines.stages.translating.translate_video import translate_video
from translate.layout_translator import LayoutTranslator
from translate.translator import Translator


def translate_experiment(workspace: Workspace, seed: int, session: Session) -> Outcome:
    """Translate the experiment's labelled source frames with the translator that serves `seed`."""
    checkpoint = finished_translator(workspace, seed)
    output = workspace.translated(seed)
    plan = plan_sets(workspace.labelled_source, output)
    options = TranslationOptions(height=workspace.experiment.translation.height)
    title = f"translate{workspace.among_others(output)}, seed {seed}"
    return run_translation(checkpoint, plan, output, options, session, title)


def run_translation(
    checkpoint: Path,
    plan: Sequence[PlannedFrame],
    output: Path,
    options: TranslationOptions,
    session: Session,
    title: str = "translate",
) -> Outcome:
    """Translate a plan's frames with a checkpoint; what is finished is left alone.

    Args:
        checkpoint: Of a translator; a run folder or one of its checkpoints.
        plan: All frames, also where only a part is done here.
        output: Folder of the translated set.
        options: How to translate.
        session: How to compute. At least one thread reads ahead and writes behind.
        title: Shown beside the progress.
    """
    machine = session.machine
    make_deterministic(machine.deterministic)
    method, found = load_translator(checkpoint, machine)
    options = resolved_options(machine, options, method)
    if method.takes == "label_map" and any(frame.label is None for frame in plan):
        raise UserError(f"{found} translates label maps, but not every frame has one; name the data set by --reader")
    identity = {"checkpoint_sha256": checkpoint_hash(found), **options.identity, "precision": machine.precision}
    read = None
    if isinstance(method, LayoutTranslator):
        read, layout = layout_reader(method, found, plan)
        identity |= {} if layout is None else {"layout": layout}
    with watched(title, session, options.part) as control:
        return translate_frames(
            plan,
            output,
            network_of(method, options, machine),
            identity,
            read=read,
            quality=options.quality,
            control=control,
        )


def run_video(
    checkpoint: Path, source: Path, output: Path, options: TranslationOptions, session: Session
) -> VideoSummary:
    """Translate a video into a video with a checkpoint; arguments as of `run_translation`."""
    if options.part is not None:
        raise UserError(f"part {options.part}: a video is translated by one process; leave the part out")
    machine = session.machine
    make_deterministic(machine.deterministic)
    method, found = load_translator(checkpoint, machine)
    options = resolved_options(machine, options, method)
    if method.takes == "label_map":
        raise UserError(f"{found} translates label maps, which a video does not hold")
    identity = {"checkpoint_sha256": checkpoint_hash(found), **options.identity, "precision": machine.precision}
    with watched("translate", session) as control:
        return translate_video(source, output, network_of(method, options, machine), identity, control)


def network_of(method: Translator, options: TranslationOptions, machine: Machine) -> Network:
    """The translator as frames go through it."""
    translate = prepared(method, options, machine)
    print_options(machine, options)
    return Network(translate, options.batch_size, options.height, options.size, device_of_frames(options, machine))


def resolved_options(machine: Machine, options: TranslationOptions, method: Translator) -> TranslationOptions:
    """What the machine makes of --fast: where bf16 does not pay the exact way is the fastest that we have.

    Measured on an AMD EPYC with AVX2, one thread, ResNet-9 of 64 channels at 256x128, CPU time: exact 0.39 s, OpenVINO
    0.63, torch's own layers 0.68; in bf16 14 s on two threads. Who names bf16 gets it all the same.
    """
    if method.takes == "image":  # others refuse --fast, on every machine
        options = replace(options, fast=options.fast and machine.fast_is_bf16)
    return options


def print_options(machine: Machine, options: TranslationOptions) -> None:
    """The first line of a run, on stderr: what computes, and what that was chosen by."""
    how, said = f"{options.runtime}, {mode_on(machine, options.fast)}", ProcessRank.of_environment().stderr()
    print(f"translate: {how}, {describe_machine(machine)} ({capabilities()})", file=said)


def device_of_frames(options: TranslationOptions, machine: Machine) -> str:
    """Where `prepared` wants its images: a frame that is cut into tiles stays on the host, the tiles travel."""
    return "cpu" if options.tile is not None else str(machine.device)


def prepared(method: Translator, options: TranslationOptions, machine: Machine) -> Translate:
    """The translator as one function: images (B, 3, H, W) in [0, 1], or label maps (B, H, W), to images.

    Raises:
        UserError: The translator cannot be used with these options, or does not learn this direction.
    """
    refuse_unlearnt(method, options.direction)
    if options.style_seed:
        _refuse_without_styles(method, options.style_seed)
    if method.takes == "label_map":
        return _of_label_maps(method, options, machine)
    return open_translation(method, machine, options.direction, options.fast, options.runtime, options.tile)


def _refuse_without_styles(method: Translator, style_seed: int) -> None:
    """A seed that could change nothing is a mistake."""
    if not isinstance(method, LayoutTranslator) or method.styles is None:
        raise UserError(f"--style-seed {style_seed}: this translator has learnt one look; leave it out")
    if not method.styles.found.any():
        raise UserError(
            f"--style-seed {style_seed}: this translator takes styles, but its checkpoint has none to choose from; "
            "import it with --clusters, or leave --style-seed out"
        )


def _of_label_maps(method: Translator, options: TranslationOptions, machine: Machine) -> Translate:
    if options.tile is not None or options.fast or options.runtime != "torch":
        raise UserError("this translator takes label maps; --tile, --fast and --runtime are for those of images")

    def translate(things: torch.Tensor) -> torch.Tensor:
        with machine.autocast():
            return translate_layout(method, things, options.style_seed).float()

    return translate
