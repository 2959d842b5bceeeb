import os

import pytest

from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.plan import (
    PlannedFrame,
    plan_listing,
    plan_sets,
    refuse_touching_inputs,
)
from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.errors import NoInputsError, UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def plan_folder(source, output, suffix=None, images="{name}.*"):
    return plan_input(source, output, reader_settings=[f"images={images}"], suffix=suffix)[0]


def outputs(frames):
    return [str(frame.output_image) for frame in frames]


def test_a_tree_is_mirrored_name_for_name(tmp_path):
    odd = ["-rf.png", "a b.png", "ä/ö ü.JPG", "seq1/frame.png", "seq2/frame.png", "v1.2/x.y.webp", "new\nline.png"]
    touch(tmp_path / "in", *odd, ".hidden.png", ".cache/x.png", "notes.txt", "seq1/.DS_Store")
    frames = plan_folder(tmp_path / "in", tmp_path / "out")
    assert sorted(outputs(frames)) == sorted(odd)
    assert {str(frame.source) for frame in frames} == set(odd)
    assert {frame.name for frame in frames} == {name.rsplit(".", 1)[0] for name in odd}
    assert not (tmp_path / "out").exists()


def test_the_suffix_and_the_pattern_are_settings(tmp_path):
    touch(tmp_path / "in", "rgb/0.png", "rgb/1.png", "semantic/0.png")
    frames = plan_folder(tmp_path / "in", tmp_path / "out", images="rgb/{name}.png", suffix=".jpg")
    assert outputs(frames) == ["rgb/0.jpg", "rgb/1.jpg"]
    with pytest.raises(UserError, match=r"'\.gif': translated images are written as one of \.png, \.jpg"):
        plan_folder(tmp_path / "in", tmp_path / "out", suffix=".gif")
    with pytest.raises(UserError, match=r"must hold \{name\} once"):
        plan_folder(tmp_path / "in", tmp_path / "out", images="*.png")


def test_images_of_one_stem_keep_their_formats_and_names(tmp_path):
    touch(tmp_path / "in", "a.png", "a.jpg", "s1/0.png", "s2/0.png")
    frames = plan_folder(tmp_path / "in", tmp_path / "out")
    assert {frame.name: str(frame.output_image) for frame in frames} == {
        "a.jpg": "a.jpg", "a.png": "a.png", "s1/0": "s1/0.png", "s2/0": "s2/0.png",
    }  # fmt: skip
    (tmp_path / "in/list.txt").write_text("a.png\ns1/0.png\na.jpg\n")
    listed = plan_listing(tmp_path / "in/list.txt")
    assert [frame.name for frame in listed] == ["a.png", "s1/0", "a.jpg"]
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would both .* rename one, or make two runs of them with"):
        plan_folder(tmp_path / "in", tmp_path / "out", suffix=".png")


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.jpg"),
        ("s/a.jpg", "s/a.jpeg"),
        ("frame.png", "Frame.png"),
        ("S/a.png", "s/a.png"),
        ("\u00e9.png", "e\u0301.png"),
        ("stra\u00dfe.png", "strasse.png"),
        ("a.jpg", "a.png/0.jpg"),
    ],
)
def test_two_files_for_one_name_are_refused_up_front(tmp_path, names):
    touch(tmp_path / "in", *names)
    with pytest.raises(UserError, match=r"two files for the frame|would (both )?be written to") as caught:
        plan_folder(tmp_path / "in", tmp_path / "out", suffix=".png")
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("name", ["manifest.jsonl/a.png", "Failures.jsonl/a.png", "translation.json/deep/a.png"])
def test_names_of_the_output_s_own_record_are_refused_up_front(tmp_path, name):
    """Else all would be translated, and then the record could not be written."""
    touch(tmp_path / "in", name, "b.png")
    with pytest.raises(UserError, match=r"is where the output's own record goes; rename it"):
        plan_folder(tmp_path / "in", tmp_path / "out")
    touch(tmp_path / "fine", f"deep/{name}")
    assert outputs(plan_folder(tmp_path / "fine", tmp_path / "out")) == [f"deep/{name}"]


def test_input_and_output_must_not_overlap(tmp_path):
    touch(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in ("in", "in/translated", "link", "link/deep/er", "in/../in", "."):
        with pytest.raises(UserError, match=r"same folder|within each other"):
            plan_folder(tmp_path / "in", tmp_path / output)


@pytest.mark.parametrize("output", ["elsewhere/deep/out", "elsewhere"])
def test_a_link_inside_the_input_must_not_lead_to_the_output(tmp_path, output):
    """What a first run writes, a second one would take for input; both are refused, and in the same words."""
    touch(tmp_path / "in", "a.png")
    touch(tmp_path / "elsewhere", "deep/b.png")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(UserError, match=r"in/linked(/deep)? and output .*(same folder|within each other)"):
            plan_folder(tmp_path / "in", tmp_path / output)
        touch(tmp_path / output, "a.png", "linked/deep/b.png")
    frames = plan_folder(tmp_path / "in", tmp_path / "beside")
    assert {"a.png", "linked/deep/b.png"} < set(outputs(frames))


def test_nothing_to_translate(tmp_path):
    touch(tmp_path / "in", "readme.txt", ".a.png")
    with pytest.raises(NoInputsError, match="no image"):
        plan_folder(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        plan_input(tmp_path / "nowhere", tmp_path / "out")


def frame_set(root, name="carla"):
    touch(root, "rgb/0.jpg", "rgb/1.png", "semantic/0.png")
    labelled = Frame("0", root / "rgb/0.jpg", root / "semantic/0.png", cityscapes())
    return FrameSet(name, root, [labelled, Frame("1", root / "rgb/1.png")], [])


def test_each_set_gets_a_folder_and_keeps_its_paths(tmp_path):
    sets = [frame_set(tmp_path / "a"), frame_set(tmp_path / "b", "gta5")]
    frames = plan_sets(sets, tmp_path / "out")
    assert outputs(frames) == ["carla/rgb/0.png", "carla/rgb/1.png", "gta5/rgb/0.png", "gta5/rgb/1.png"]
    assert str(frames[0].output_label) == "carla/semantic/0.png"
    assert frames[0].label_encoding == cityscapes().to_json()
    assert (frames[0].name, str(frames[0].source)) == ("carla/0", "rgb/0.jpg")
    assert frames[1].label is None and frames[1].output_label is None


def test_sets_need_names_that_can_be_folders(tmp_path):
    with pytest.raises(UserError, match="two have one name"):
        plan_sets([frame_set(tmp_path / "a"), frame_set(tmp_path / "b")], tmp_path / "out")
    for name in ("", "a/b", "..", ".hidden"):
        with pytest.raises(UserError, match="a folder gets its name"):
            plan_sets([frame_set(tmp_path / "a", name)], tmp_path / "out")


def test_images_outside_the_folder_of_their_set_have_no_place(tmp_path):
    touch(tmp_path, "photos/a.png", "pseudo/a.png")
    elsewhere = FrameSet("pseudo", tmp_path / "pseudo", [Frame("a", tmp_path / "photos/a.png")], [])
    with pytest.raises(UserError, match=r"'pseudo': .*photos/a\.png is outside its folder .*pseudo, so"):
        plan_sets([elsewhere], tmp_path / "out")


def test_a_label_map_and_an_image_must_not_share_a_name(tmp_path):
    touch(tmp_path / "in", "a.jpg", "a.png")
    frames = [Frame("a", tmp_path / "in/a.jpg", tmp_path / "in/a.png", cityscapes())]
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would both be written to set/a\.png"):
        plan_sets([FrameSet("set", tmp_path / "in", frames, [])], tmp_path / "out")


def test_a_link_inside_the_output_does_not_lead_onto_the_input(tmp_path):
    touch(tmp_path / "in", "seq/a.png")
    frames = plan_folder(tmp_path / "in", tmp_path / "out")
    refuse_touching_inputs(frames, tmp_path / "out")
    (tmp_path / "out").mkdir()
    os.symlink(tmp_path / "in/seq", tmp_path / "out/seq")
    with pytest.raises(UserError, match=r"out/seq/a\.png: would be written to .*in/seq, over other data"):
        refuse_touching_inputs(frames, tmp_path / "out")


def test_a_label_map_comes_with_its_encoding(tmp_path):
    planned = plan_sets([frame_set(tmp_path / "a")], tmp_path / "out")[0]
    with pytest.raises(ValueError, match="go together"):
        PlannedFrame(planned.name, planned.image, planned.source, planned.output_image, label=planned.label)
