"""What a machine makes of --fast, and of a video in parts."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.engine import launch
from pipelines.engine.capabilities import Capabilities
from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.stages.predicting.prediction import PredictionOptions
from pipelines.stages.translating.translate_experiment import print_options, resolved_options, run_video

OF_IMAGES, OF_LABELS = SimpleNamespace(takes="image"), SimpleNamespace(takes="label_map")


@pytest.mark.parametrize(
    ("instructions", "precision", "fast"),
    [
        (("avx2",), "fp32", False),
        (("avx2",), "bf16", True),
        (("avx2", "avx512_bf16"), "fp32", False),
        (("avx2", "avx512_bf16", "amx_bf16"), "fp32", True),
    ],
)
def test_fast_is_never_bf16_where_it_does_not_pay_unless_by_name(monkeypatch, capsys, instructions, precision, fast):
    monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(instructions))
    machine = Machine(torch.device("cpu"), precision)
    settled = resolved_options(machine, TranslationOptions(fast=True), OF_IMAGES)
    assert settled.fast == fast and ("fast" in settled.identity) == fast
    print_options(machine, settled)
    assert capsys.readouterr().err.startswith(f"translate: torch, {'fast' if fast else 'exact'}, ")
    assert PredictionOptions(fast=True).mode_on(machine) == ("fast" if fast else "exact")


def test_translators_of_label_maps_refuse_it_on_every_machine(monkeypatch):
    monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(("avx2",)))
    assert resolved_options(Machine(torch.device("cpu"), "fp32"), TranslationOptions(fast=True), OF_LABELS).fast


def test_a_video_has_no_parts():
    session, part = Session(Machine(torch.device("cpu"), "fp32")), TranslationOptions(part=Part(1, 2))
    with pytest.raises(UserError, match=r"^part 1/2: a video is translated by one process; leave the part out$"):
        run_video(Path("nowhere"), Path("in.mp4"), Path("out.mp4"), part, session)
