"""What can be given as input, what goes along with it, and what a dry run says of it."""

import os

import pytest

from pipelines.batch_inference.folder import Intent
from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.preview import preview
from pipelines.errors import NoInputsError, UserError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import IDENTITY, Counting, negative, tree


def names(plan):
    return [str(frame.output_image) for frame in plan]


def plan(source, output, **options):
    return plan_input(source, output, **options)[0]


def test_a_folder_a_list_and_a_single_image(photos, tmp_path):
    output = tmp_path / "out"
    assert names(plan(photos / "rgb", output)) == ["a/0.png", "a/1.png", "b/0.png", "b/1.jpg"]
    assert names(plan(photos / "some.txt", output)) == ["rgb/b/0.png", "rgb/a/1.png"]
    assert names(plan(photos / "rgb/b/1.jpg", output)) == ["1.jpg"]
    assert names(plan(photos / "rgb/b/1.jpg", output, suffix=".png")) == ["1.png"]


def test_what_is_no_input(photos, tmp_path):
    output = tmp_path / "out"
    for name, expected in (("nowhere", "not a folder, and no list file, image or video"), ("a.mp4", "--output a name")):
        (photos / "a.mp4").touch()
        with pytest.raises(UserError, match=expected):
            plan(photos / name, output)
    with pytest.raises(UserError, match="--reader and --frames are for data sets"):
        plan(photos / "some.txt", output, reader="carla")
    os.mkfifo(photos / "pipe.txt")
    with pytest.raises(UserError, match="not a folder, and no list file"):
        plan(photos / "pipe.txt", output)
    (photos / "empty.txt").touch()
    with pytest.raises(NoInputsError):
        plan(photos / "empty.txt", output)


def test_bad_frames_are_listed_anyway(photos, tmp_path):
    with pytest.raises(UserError, match=r"--frames bad_frames=leave_out: frames that cannot be used are left out"):
        plan(photos, tmp_path / "out", reader_settings=["bad_frames=leave_out"])


def test_a_setting_of_the_reader_is_given_once(photos, tmp_path):
    with pytest.raises(UserError, match=r"^--frames version is given as 0\.9\.14 and as 0\.9\.5; give it once$"):
        plan(photos, tmp_path / "out", reader="carla", reader_settings=["version=0.9.14", "version=0.9.5"])


def test_a_list_may_lie_beside_its_output_and_must_not_be_written_over(photos):
    translate_frames(plan(photos / "some.txt", photos / "out"), photos / "out", Network(negative), IDENTITY)
    assert set(tree(photos / "out")) == {"rgb/a/1.png", "rgb/b/0.png", "manifest.jsonl", "translation.json"}
    with pytest.raises(UserError, match="over other data"):
        translate_frames(plan(photos / "some.txt", photos), photos, Network(negative), IDENTITY)


def test_a_listed_file_that_is_missing_costs_one_frame(photos, tmp_path):
    with open(photos / "some.txt", "a") as stream:
        stream.write("rgb/gone.png\n")
    summary = translate_frames(
        plan(photos / "some.txt", tmp_path / "out"), tmp_path / "out", Network(negative), IDENTITY
    )
    assert summary.made == 2 and "rgb/gone.png: cannot read: No such file" in summary.failures[0].reason


def test_images_in_formats_that_are_not_read_are_listed_as_failed(photos, tmp_path):
    for name in ("b.ppm", "c.gif", "Thumbs.db"):
        (photos / "rgb" / name).touch()
    (photos / "some.txt").write_text("rgb\\b.ppm\r\nrgb\\a\\0.png\r\n")
    for source, made in ((photos / "rgb", 4), (photos / "some.txt", 1)):
        output = tmp_path / f"out{made}"
        frames = plan(source, output)
        found = preview(frames, output, Intent("translation", IDENTITY))
        summary = translate_frames(frames, output, Network(negative), IDENTITY)
        reasons = [failure.reason for failure in summary.failures]
        assert summary.made == made and list(found.unreadable) == reasons
        assert reasons[0].startswith(f"{photos / 'rgb/b.ppm'}: .ppm is a format that is not read; convert it to PNG")
    assert plan(photos / "rgb/c.gif", tmp_path / "out")[0].name == "c"


# --- what goes along --------------------------------------------------------------------------------------------------


def test_sidecars_go_along_untouched(photos, tmp_path):
    frames, absent = plan_input(
        photos, tmp_path / "out", reader_settings=["images=rgb/{name}.*"], carry=["instance/{name}.png"]
    )
    assert absent == {"instance/{name}.png": 1}
    translate_frames(frames, tmp_path / "out", Network(negative), IDENTITY)
    for name in ("a/0", "a/1", "b/0"):
        assert (tmp_path / f"out/instance/{name}.png").samefile(photos / f"instance/{name}.png")
    assert not (tmp_path / "out/instance/b/1.png").exists()


def test_sidecars_that_come_later_or_were_lost_are_brought_along_without_the_network(photos, tmp_path):
    def go(carry):
        frames, _ = plan_input(photos, tmp_path / "out", reader_settings=["images=rgb/{name}.*"], carry=carry)
        translate = Counting()
        translate_frames(frames, tmp_path / "out", Network(translate), IDENTITY)
        return translate.calls

    assert go([]) == 4
    assert go(["instance/{name}.png"]) == 0
    (tmp_path / "out/instance/a/0.png").unlink()
    (tmp_path / "out/instance/a/1.png").unlink()
    (tmp_path / "out/instance/a/1.png").write_bytes(b"other")
    assert go(["instance/{name}.png"]) == 0
    for name in ("a/0", "a/1"):
        assert (tmp_path / f"out/instance/{name}.png").samefile(photos / f"instance/{name}.png")


@pytest.mark.parametrize("pattern", ["instance/0.png", "/abs/{name}.png", "../{name}.png", "depth/{name}.exr"])
def test_patterns_that_cannot_be_meant(photos, tmp_path, pattern):
    with pytest.raises(UserError, match=r"--carry .*: (expected a path|no frame has such a file)"):
        plan_input(photos / "rgb", tmp_path / "out", carry=[pattern])
    with pytest.raises(UserError, match="would both be written to"):
        plan_input(photos, tmp_path / "out", reader_settings=["images=rgb/{name}.*"], carry=["rgb/{name}.png"])
