"""A checkpoint predicts: by what, at which height, said before and kept beside what was predicted."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import torch

from pipelines.batch_inference.inputs import plan_input
from pipelines.data.images import read_raw, write_image
from pipelines.engine.launch import Machine
from pipelines.errors import CheckpointError, UserError
from pipelines.stages.predicting import prediction
from pipelines.stages.predicting.predict_frames import to_predict
from pipelines.stages.predicting.prediction import PredictionOptions, describe_prediction, run_prediction
from tests.pipelines.stages.predicting.predicting import half

TORCH = PredictionOptions(runtime="torch")


def planned(folder, output):
    for name in ("a", "b"):
        write_image(folder / f"{name}.png", half(20, 40))
    return to_predict(plan_input(folder, output)[0], False)


def test_what_would_predict_is_said(tiny_run, cpu):
    said, _ = describe_prediction([tiny_run / "seed-0/oracle"], TORCH, cpu)
    assert said == f"torch on cpu (exact), at height 32, from {tiny_run / 'seed-0/oracle/checkpoints/step-00000003'}"
    said, plan = describe_prediction([tiny_run / "seed-0/oracle"], dataclasses.replace(TORCH, height=48), cpu)
    assert "at height 48," in said and (plan["height"], plan["labels"]) == (48, "train_ids")
    with pytest.raises(CheckpointError):
        describe_prediction([tiny_run / "seed-0/translator"], TORCH, cpu)


def test_a_runtime_that_is_not_there_is_refused_before_anything_is_predicted(tiny_run, cpu, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else real(name))
    with pytest.raises(UserError, match="onnxscript is not installed"):
        describe_prediction([tiny_run / "seed-0/oracle"], PredictionOptions(runtime="onnxruntime"), cpu)


def test_the_fastest_that_is_there_is_taken_unless_one_is_named(cpu, monkeypatch):
    monkeypatch.setattr(prediction, "fastest_runtime", lambda machine: "openvino")
    assert PredictionOptions().runtime_on(cpu) == "openvino" and TORCH.runtime_on(cpu) == "torch"


def test_bf16_by_the_machines_precision_is_the_fast_way(cpu):
    named = Machine(torch.device("cpu"), "bf16")
    assert (TORCH.mode_on(cpu), TORCH.mode_on(named)) == ("exact", "fast")


def test_label_maps_are_of_the_frames_own_size_and_say_what_made_them(tiny_run, session, tmp_path, capsys):
    """What is finished is left alone, and another height is another prediction."""
    checkpoint, output = [tiny_run / "seed-0/oracle"], tmp_path / "out"
    plan = planned(tmp_path / "in", output)
    outcome = run_prediction(checkpoint, plan, output, TORCH, session)
    assert outcome.count_line == "2 frames in = 2 frames out (2 predicted, 0 already there)"
    assert "predict: torch, exact, " in capsys.readouterr().err
    label_maps = [read_raw(output / f"labels/{name}.png") for name in ("a", "b")]
    assert label_maps[0].shape == (20, 40) and label_maps[0].max() < 19
    np.testing.assert_array_equal(*label_maps)
    about = json.loads((output / "prediction.json").read_text())
    assert (about["runtime"], about["mode"], about["computation"]) == ("torch", "exact", 1)
    assert about == describe_prediction(checkpoint, TORCH, session.machine)[1]
    assert run_prediction(checkpoint, plan, output, TORCH, session).resumed == 2
    with pytest.raises(UserError, match="holds another prediction: height was 32 and is 16"):
        run_prediction(checkpoint, plan, output, dataclasses.replace(TORCH, height=16), session)
