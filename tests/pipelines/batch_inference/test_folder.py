"""Whose a folder of translations is: another's is refused or set aside, two processes are kept apart."""

from pathlib import Path

import pytest

from pipelines.errors import UserError
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    run,
    tree,
)


def test_the_leftovers_of_killed_runs_are_swept_up(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.translation.json.17.part").write_bytes(b"{")
    assert run(source, tmp_path / "out").made == 5
    (tmp_path / "out/toy/rgb/.a b.png.4711.part").write_bytes(b"half")
    assert run(source, tmp_path / "out").resumed == 5
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint_sha256": "d" * 64}, "checkpoint was c{12}… and is d{12}…"),
        ({"direction": "target_to_source"}, "direction was source_to_target and is target_to_source"),
        ({"tile": 4}, "tile was left out and is 4"),
        ({"fast": True, "style_seed": 3}, "fast was left out and is on, style seed was left out and is 3"),
    ],
)
def test_a_folder_with_another_translation_is_refused(source, tmp_path, change, message):
    run(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(UserError, match=message) as caught:
        run(source, tmp_path / "out", identity=IDENTITY | change)
    assert str(caught.value).endswith(
        ". Choose another --output (of an experiment another --run), or set the old one aside with --restart"
    )
    assert tree(tmp_path / "out") == before


def test_restart_sets_the_old_translation_aside(source, tmp_path):
    run(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    for number in (1, 2):
        summary = run(source, tmp_path / "out", identity=IDENTITY | {"precision": f"bf{number}"}, restart=True)
        assert summary.made == 5
        assert (tmp_path / f"out.replaced-{number}/manifest.jsonl").exists()
    assert tree(tmp_path / "out.replaced-1") == before


def test_the_folder_that_one_is_in_can_be_set_aside(source, tmp_path, monkeypatch):
    """The new one lies where the old one was, though "." now is the old one."""
    run(source, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    assert run(source, Path("."), identity=IDENTITY | {"precision": "bf16"}, restart=True).made == 5
    assert (tmp_path / "out/manifest.jsonl").exists() and (tmp_path / "out.replaced-1/manifest.jsonl").exists()


def test_a_folder_of_something_else_is_refused_even_with_restart(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    for restart in (False, True):
        with pytest.raises(UserError, match="exists and is no translation"):
            run(source, tmp_path / "out", restart=restart)
    assert set(tree(tmp_path / "out")) == {"thesis.tex"}
    (tmp_path / "out/translation.json").write_text("[")
    with pytest.raises(UserError, match=r"translation\.json: damaged"):
        run(source, tmp_path / "out")


@pytest.mark.parametrize("target", ["out", "nowhere"])
def test_a_link_that_leads_to_no_folder_is_refused(source, tmp_path, target):
    """One that leads to itself, or to what was on a disk that is not mounted."""
    (tmp_path / "out").symlink_to(tmp_path / target)
    with pytest.raises(UserError, match="exists and is no translation"):
        run(source, tmp_path / "out")


def test_two_translations_into_one_folder(source, tmp_path):
    def meanwhile(image):
        with pytest.raises(UserError, match="another process is at work"):
            run(source, tmp_path / "out")
        with pytest.raises(UserError, match="another process is at work"):
            run(source, tmp_path / "out", restart=True)
        return image

    assert run(source, tmp_path / "out", meanwhile).made == 5
