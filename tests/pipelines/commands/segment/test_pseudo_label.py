"""`sim2real segment pseudo-label` as a person runs it: a set that its reader opens, killed on the way or not."""

import shutil
from dataclasses import asdict
from types import SimpleNamespace

from pipelines.commands.segment.pseudo_label import segment_pseudo_label
from pipelines.data.readers.pseudo_labelled import CHOSEN
from pipelines.stages.predicting.pseudo_labels import Choice
from segment.methods.cbst import CBSTSettings


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def test_the_command_writes_a_set_that_the_reader_opens(commands, tiny_config, tiny_run, tmp_path):
    arguments = ("segment", "pseudo-label", tiny_config, "--run", tmp_path / "run", "--threads", 1)
    chosen = ("--checkpoint", tiny_run / "seed-0/source_only", "--kept-share", 0.5, "--output", tmp_path / "out")
    finished = commands(*arguments, *chosen)
    assert finished.code == 0, finished.stderr
    assert "threshold" in finished.stdout and f"pseudo-labels in {tmp_path / 'out'}" in finished.stdout
    config = tmp_path / "reads.toml"
    text = tiny_config.read_text().split("[[validation]]")[0].split("[[target]]")[0]
    root = tiny_config.parent / "frames/camera"
    table = f'reader = "pseudo_labelled"\nname = "camera"\nroot = "{tmp_path / "out"}"\nimages = "{root}"\n'
    config.write_text(f"{text}\n[[target]]\n{table}\n[[validation]]\n{table}")
    checked = commands("data", "check", config)
    assert checked.code == 0, checked.stdout + checked.stderr
    shutil.rmtree(tmp_path / "out/labels")
    assert commands("data", "check", config).code == 3
    (tmp_path / "out" / CHOSEN).unlink()
    refused = commands("data", "check", config)
    assert refused.code == 3 and "write it by `sim2real segment pseudo-label`" in refused.stdout


def test_what_is_said_of_the_choice_is_what_is_chosen_by(on_tiny, played, tmp_path):
    loaded = played("pipelines.experiment.trained.load_ensemble", "two networks")
    chosen = SimpleNamespace(table=lambda: "thresholds")
    written = played("pipelines.stages.predicting.pseudo_labels.write_pseudo_labels", chosen)
    checkpoints = ("--checkpoint", tmp_path / "a", "--checkpoint", tmp_path / "b", "--weights", "3,1")
    said = on_tiny(
        segment_pseudo_label, *checkpoints, "--output", tmp_path / "out", "--kept-share", 0.3,
        "--largest-threshold", 0.8, "--assignment", "likeliest", "--no-flip", "--prototype-temperature", 2,
    )  # fmt: skip
    assert said == f"thresholds\npseudo-labels in {tmp_path / 'out'}\n"
    on_tiny(
        segment_pseudo_label, *checkpoints[:2], "--output", tmp_path / "out", "--flip", "--workers", 3, "--restart"
    )  # fmt: skip
    assert [(paths, weights) for paths, _, weights in loaded.given] == [
        ((tmp_path / "a", tmp_path / "b"), (3, 1)), ((tmp_path / "a",), None),
    ]  # fmt: skip
    (target, networks, output, choice, session), by_default = written.given
    assert (session.workers, session.restart) == (1, False)
    assert (by_default[4].workers, by_default[4].restart) == (3, True)
    assert [frames.name for frames in target] == ["camera"] and (networks, output) == ("two networks", tmp_path / "out")
    assert choice == Choice(0.3, 0.8, "likeliest", flip=False, prototype_temperature=2)
    assert asdict(by_default[3]).items() <= asdict(CBSTSettings()).items()


def test_a_killed_command_is_carried_on_to_the_same_bytes(commands, tiny_config, tiny_run, tmp_path):
    def labelled(name, trap=None):
        arguments = ("segment", "pseudo-label", tiny_config, "--run", tmp_path / "run", "--threads", 1, "--workers", 1)
        chosen = ("--checkpoint", tiny_run / "seed-0/source_only", "--output", tmp_path / name)
        return commands(*arguments, *chosen, trap=trap).code

    assert labelled("one") == 0
    module = "pipelines.stages.predicting"
    traps = f"{module}.labeller.PseudoLabelWriter.write", f"{module}.pseudo_labels._read"
    for trap in ({"call": traps[0], "at": 2}, {"call": traps[1], "at": 6}):
        assert labelled("two", trap) == -9
        assert not (tmp_path / "two" / CHOSEN).exists()
    assert labelled("two") == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_weights_that_do_not_fit_are_one_line(commands, tiny_config, tmp_path):
    arguments = ("segment", "pseudo-label", tiny_config, "--checkpoint", "a", "--weights", "1,2", "--output", tmp_path)
    finished = commands(*arguments)
    assert finished.code == 2 and "--weights holds 2 for 1 --checkpoint" in finished.stderr
