"""Pseudo-labels: thresholds over all frames, what a reader makes of them, safe to kill, without the labels on disk."""

import json
from dataclasses import asdict, fields

import numpy as np
import pytest
import torch

from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.manifest import MANIFEST
from pipelines.data.frames import open_frame_set
from pipelines.data.images import encode_png, read_raw, write_image
from pipelines.data.readers.folder import FolderSettings
from pipelines.data.readers.pseudo_labelled import CHOSEN
from pipelines.errors import UserError
from pipelines.experiment.trained import load_ensemble
from pipelines.stages.predicting.pseudo_labels import Choice, write_pseudo_labels
from segment.classes import IGNORE_INDEX
from segment.methods.cbst import CBSTSettings


def choice_with(**settings):
    """The choice of the method that learns from pseudo-labels, but for some of its settings."""
    usual = asdict(CBSTSettings())
    return Choice(**{one.name: usual[one.name] for one in fields(Choice)} | settings)


@pytest.fixture
def write(tiny_run, make_workspace, session, tmp_path):
    """A function: a choice, the folder's name, arms of the finished run -> what was chosen."""

    def run(choice=choice_with(), name="out", arms=("source_only",)):  # noqa: B008  (frozen)
        trained = load_ensemble([tiny_run / f"seed-0/{arm}" for arm in arms], session.machine)
        return write_pseudo_labels(make_workspace().target, trained, tmp_path / name, choice, session)

    return run


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


@pytest.fixture
def read_back(tmp_path):
    """A function: what the set has of all frames; candidates and confidences (N, H, W, 3), labels (N, H, W)."""

    def read():
        entries = [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]
        assert len(entries) == 4
        hashes = json.loads((tmp_path / "out" / CHOSEN).read_text())["labels_sha256"]
        labels = {entry["frame"]: tmp_path / f"out/labels/{entry['frame']}.png" for entry in entries}
        assert hashes == {frame: sha256_of(path) for frame, path in labels.items()}
        return (
            np.stack([read_raw(tmp_path / "out" / entry["image"]) for entry in entries]),
            np.stack([read_raw(tmp_path / "out" / entry["overlay"]) for entry in entries]),
            np.stack([read_raw(path) for path in labels.values()]),
        )

    return read


def test_labels_of_the_likeliest_classes_are_the_surest_share_of_each(write, read_back):
    """Counted here again from the classes and confidences on disk, over all frames together."""
    chosen = write(choice_with(kept_share=0.5, largest_threshold=1.0, assignment="likeliest"))
    candidates, confidences, label = read_back()
    seen, confidence = candidates[..., 0], confidences[..., 0]
    for k in np.unique(seen):
        own, threshold = confidence[seen == k], round(chosen.thresholds[k] * 255)
        assert (own >= threshold).mean() >= 0.5 > (own > threshold).mean()
        assert np.array_equal(label[seen == k] == k, own >= threshold)
        assert chosen.pixels[k] == own.size and chosen.kept[k] == (own >= threshold).sum()
    assert set(np.unique(label)) <= {*np.unique(seen), IGNORE_INDEX}
    total = sum(chosen.pixels)
    *_, last = chosen.table().splitlines()
    assert last.split() == ["all", "100%", f"{sum(chosen.kept) / total:.1%}"]


def test_balanced_labels_go_to_the_class_most_above_its_threshold(write, read_back):
    """The thresholds are those of the likeliest classes; each pixel by the paper's equation 4."""
    likeliest = write(choice_with(kept_share=0.5, assignment="likeliest"))
    chosen = write(choice_with(kept_share=0.5))
    assert chosen.thresholds == likeliest.thresholds and chosen.pixels == likeliest.pixels
    candidates, confidences, label = read_back()
    assert (np.diff(confidences.astype(int)) <= 0).all()  # the likeliest first
    times = confidences / np.round(np.array(chosen.thresholds) * 255)[candidates]
    expected = np.take_along_axis(candidates, times.argmax(-1)[..., None], -1)[..., 0]
    assert np.array_equal(label, np.where(times.max(-1) >= 1, expected, IGNORE_INDEX))
    assert chosen.kept == np.bincount(label[label != IGNORE_INDEX], minlength=len(chosen.kept)).tolist()
    assert chosen.kept != likeliest.kept


def test_a_finished_set_is_left_alone_and_another_choice_takes_no_network(write, tmp_path, monkeypatch):
    write()
    before = files(tmp_path / "out")
    assert CHOSEN in before
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_: pytest.fail("a network is asked"))
    write()
    assert files(tmp_path / "out") == before
    write(choice_with(kept_share=0.9))
    after = files(tmp_path / "out")
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} >= {CHOSEN}


def test_other_networks_are_refused_in_the_same_folder(write):
    write()
    with pytest.raises(UserError, match=r"another set of pseudo-labels: checkpoint was .* and is "):
        write(arms=("source_only", "oracle"))


def test_prototypes_weigh_and_need_one_network(write, tmp_path):
    write(name="plain")
    write(choice_with(prototype_temperature=1.0), "denoised")
    plain, denoised = files(tmp_path / "plain"), files(tmp_path / "denoised")
    assert any(plain[name] != denoised[name] for name in plain if name.startswith("confidence/"))
    with pytest.raises(UserError, match="2 networks are to label; name one, or set prototype_temperature to 0"):
        write(choice_with(prototype_temperature=1.0), "two", ("source_only", "oracle"))


def test_a_frame_that_cannot_be_read_is_named(tiny_run, session, tmp_path):
    root = tmp_path / "frames"
    write_image(root / "fine.png", np.zeros((32, 64, 3), np.uint8))
    (root / "broken.png").write_bytes(encode_png(np.zeros((8, 8), np.uint8))[:40])
    frames = open_frame_set(FolderSettings(reader="folder", root=str(root)), tmp_path)
    trained = load_ensemble([tiny_run / "seed-0/source_only"], session.machine)
    with pytest.raises(UserError, match=r"broken\.png.*every target frame must be readable"):
        write_pseudo_labels([frames], trained, tmp_path / "out", choice_with(), session)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"kept_share": float("nan")}, "kept_share is nan; expected a number from 0 to 1"),
        ({"largest_threshold": float("nan")}, "largest_threshold is nan; expected a number from 0 to 1"),
        ({"prototype_temperature": float("inf")}, "prototype_temperature is inf; expected a number from 0 on"),
    ],
)
def test_what_is_no_number_is_refused(choice, said):
    with pytest.raises(UserError, match=said):
        choice_with(**choice)


def test_prototypes_of_a_finished_set_are_not_sought_again(write, tmp_path, monkeypatch):
    choice = choice_with(prototype_temperature=1.0)
    write(choice)
    before = files(tmp_path / "out")
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_: pytest.fail("a network is asked"))
    write(choice)
    assert files(tmp_path / "out") == before
