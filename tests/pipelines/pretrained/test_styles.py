"""Published generators that take styles: their clusters read without harm, and the whole way to photos of label maps.

What the photos should be is computed without our networks and layouts (`published.py` and a few lines of numpy).
"""

import os
import pickle
import pickletools

import numpy as np
import pytest
import torch

from pipelines.data.images import encode_png, read_image, write_image
from pipelines.errors import CheckpointError
from pipelines.pretrained import published_translators as authors
from pipelines.pretrained import unpickle
from pipelines.pretrained.imports import TranslatorImport
from pipelines.pretrained.published_translators import import_published
from pipelines.pretrained.read_published import read_published
from pipelines.pretrained.styles import CLUSTERS, clusters_of, settings_with_clusters
from pipelines.pretrained.unpickle import Refused, clusters_in, load, load_array, look_through, tensors_in
from tests.pipelines import published
from tests.pipelines.published import drawn

NAME = "features_clustered_010.npy"
PYTHON_2 = (  # what numpy 1.13 under Python 2.7 pickles for {7: array([[0.25, -0.5, 1.0]])}, in protocol 2
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01)cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89"
    b"]}K\x07cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x01K\x03\x86cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    b"U\x18" + np.array([0.25, -0.5, 1.0]).tobytes() + b"tbsatb."
)


def centres(most=10, seed=3):
    """Centres of seven classes, one of the first, two of the second and so on, as scikit-learn's k-means finds them."""
    random = np.random.default_rng(seed)
    return {label: random.uniform(-1, 1, (min(most, n + 1), 3)) for n, label in enumerate((0, 4, 7, 23, 26, 24, 33))}


def saved(path, content):
    np.save(path, content)
    return path


def pickled(path, content):
    """A file of numpy.save for one object, with another pickle in it."""
    np.save(path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1] + content)
    return path


def read(path):
    """All that the process does, in this one."""
    with open(path, "rb") as stream:
        look_through(stream)
        return clusters_in(load_array(stream))


def assert_refused(path, message):
    with pytest.raises(Refused, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_clusters_are_read_as_they_were_saved(tmp_path, kind, order):
    tables = {label: np.array(table, kind, order=order) for label, table in centres().items()}
    found = read(saved(tmp_path / NAME, tables))[unpickle.CLUSTERS]
    assert list(found) == [str(label) for label in tables]
    for label, table in tables.items():
        assert found[str(label)].dtype == torch.float32
        np.testing.assert_array_equal(found[str(label)].numpy(), table.astype(np.float32))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_of_numpy_is_read(tmp_path, protocol):
    content = np.empty((), object)
    content[()] = centres()
    found = read(pickled(tmp_path / NAME, pickle.dumps(content, protocol)))[CLUSTERS]
    np.testing.assert_array_equal(found["33"].numpy(), centres()[33].astype(np.float32))


def test_what_python_2_wrote_is_read(tmp_path):
    path = pickled(tmp_path / NAME, PYTHON_2)
    assert np.load(path, allow_pickle=True, encoding="latin1").item()[7].tolist() == [[0.25, -0.5, 1.0]]
    assert read(path)[CLUSTERS]["7"].tolist() == [[0.25, -0.5, 1.0]]


def test_the_process_hands_them_over(tmp_path):
    found = clusters_of(tmp_path / NAME, read_published(saved(tmp_path / NAME, centres())))
    assert list(found) == [0, 4, 7, 23, 24, 26, 33] and found[24].shape == (6, 3)


# --- what runs code, or is something else -----------------------------------------------------------------------------


class Payload:
    """Unpickled without restriction, it leaves a file behind."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_no_code_runs(tmp_path):
    for content in ({7: Payload(tmp_path / "canary")}, Payload(tmp_path / "canary")):
        path = saved(tmp_path / NAME, content)
        np.load(path, allow_pickle=True)  # else the rest would prove nothing
        (tmp_path / "canary").rmdir()
        assert_refused(path, r"holds more than arrays \(posix\.mkdir\), which could run code and is not read")
        assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "name",
    ["builtins\neval", "numpy\nload", "numpy.core.multiarray\nscalar", "os\nsystem", "torch\nload", "a" * 99 + "\nb"],
)
def test_nothing_but_stand_ins_is_found(tmp_path, name):
    assert_refused(pickled(tmp_path / NAME, b"\x80\x02c" + name.encode() + b"\n."), "holds more than arrays")


def states():
    """Pickles of an object array whose states are not what numpy writes: each opcode of a real one put wrong."""
    content = np.empty((), object)
    content[()] = {7: np.zeros((2, 3))}
    whole = pickle.dumps(content, 2)
    places = [place for _, _, place in pickletools.genops(whole)][1:]
    for place in places:
        for other in (b"N", b"}", b"K\x07", b"0"):
            yield whole[:place] + other + whole[place + 1 :]


def test_damaged_states_are_refused_or_harmless(tmp_path):
    refused = 0
    for content in states():
        path = pickled(tmp_path / NAME, content)
        try:
            tables = read(path)[CLUSTERS]
        except Refused as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert all(table.shape == (2, 3) for table in tables.values())
    assert refused > 150


@pytest.mark.parametrize("part", [0.1, 0.4, 0.6, 0.9, 0.99])
def test_what_is_cut_short_is_refused(tmp_path, part):
    path = saved(tmp_path / NAME, centres())
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert_refused(path, "cut short or damaged|is an array of numpy.save, expected a dictionary")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 3)), "is an array of numpy.save, expected a dictionary of arrays"),
        (np.array([{7: np.zeros((2, 3))}, None]), "is an array of numpy.save, expected a dictionary"),
        ([1, 2], "is an array of numpy.save"),
        (None, "holds no dictionary of arrays"),
        ({}, "holds no tensors"),
        ({"car": np.zeros((2, 3))}, "holds clusters of 'car'; expected numbers of classes"),
        ({-1: np.zeros((2, 3))}, "holds clusters of '-1'"),
        ({255: np.zeros((2, 3))}, "holds clusters of '255'"),
        ({True: np.zeros((2, 3))}, "holds clusters of 'True'"),
        ({7: [[1.0, 2.0, 3.0]]}, "no table of floating-point numbers for class 7"),
        ({7: np.zeros(3)}, "no table of floating-point numbers for class 7"),
        ({7: np.zeros((2, 3), int)}, "no table of floating-point numbers for class 7"),
        ({7: np.zeros((2, 3), complex)}, "no table of floating-point numbers for class 7"),
        ({7: np.array([[None]])}, "no table of floating-point numbers for class 7"),
        ({7: np.full((2, 3), np.nan)}, "values that are no numbers"),
        ({7: np.full((2, 3), 1e300)}, "values that are no numbers"),
    ],
)
def test_what_holds_no_clusters_is_refused(tmp_path, content, message):
    assert_refused(saved(tmp_path / NAME, content), message)


def test_a_long_pickle_is_refused(tmp_path):
    assert_refused(pickled(tmp_path / NAME, b"\x80\x02" + b"(" * 2_000_000 + b"."), "more instructions than any")


# --- what fits --------------------------------------------------------------------------------------------------------


SETTINGS = {"method": "pix2pixhd", "labels": 35, "style_features": 3}


@pytest.mark.parametrize(
    ("settings", "tables", "message"),
    [
        (SETTINGS | {"style_features": 0}, {7: torch.zeros(2, 3)}, "takes no styles .*leave --clusters out"),
        ({"method": "published"}, {7: torch.zeros(2, 3)}, "takes no styles .*leave --clusters out"),
        (SETTINGS, {7: torch.zeros(2, 4)}, "class 7 has 4 numbers per cluster, .* takes 3; .*not features.npy"),
        (SETTINGS, {35: torch.zeros(2, 3)}, "holds clusters of class 35; the generator knows 0 to 34"),
    ],
)
def test_clusters_that_do_not_fit_are_refused(tmp_path, settings, tables, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        settings_with_clusters(settings, tables, tmp_path / NAME)
    assert str(caught.value).startswith(f"{tmp_path / NAME}: ")


def test_files_without_clusters_are_refused(tmp_path):
    for networks in (
        {"": {"a": torch.zeros(2, 3)}},
        {CLUSTERS: {"a": torch.zeros(2, 3)}},
        {CLUSTERS: {"1": torch.zeros(2)}},
    ):
        with pytest.raises(CheckpointError, match="holds no clusters of styles; expected pix2pixHD's features_clust"):
            clusters_of(tmp_path / NAME, networks)
    with pytest.raises(CheckpointError, match="holds clusters of no class"):
        clusters_of(tmp_path / NAME, {CLUSTERS: {"7": torch.zeros(0, 3)}})


# --- the whole way, as people type it ---------------------------------------------------------------------------------


def label_ids():
    """A street with two cars that touch, and things that are none of the 19 classes: static, and the own bonnet."""
    ids = np.full((40, 70), 23, np.uint8)
    ids[20:], ids[15:30, 5:50], ids[:5, :5], ids[36:] = 7, 26, 4, 1
    return ids


def instance_ids():
    ids = label_ids().astype(np.uint16)
    ids[15:30, 5:25], ids[15:30, 25:50] = 26000, 26001
    return ids


@pytest.fixture
def street(tmp_path):
    """A function: with instance maps or not -> a folder in the layout of Cityscapes."""

    def draw(instances):
        root = tmp_path / ("street" if instances else "bare")
        write_image(root / "leftImg8bit/train/a/a_0_leftImg8bit.png", np.zeros((40, 70, 3), np.uint8))
        write_image(root / "gtFine/train/a/a_0_gtFine_labelIds.png", label_ids())
        if instances:
            (root / "gtFine/train/a/a_0_gtFine_instanceIds.png").write_bytes(encode_png(instance_ids()))
        return root

    return draw


@pytest.fixture
def generator(tmp_path):
    """latest_net_G.pth of 39 channels, and its tensors."""
    state = drawn(published.pix2pixhd_global(4, 39))
    torch.save(state, tmp_path / "latest_net_G.pth")
    return tmp_path / "latest_net_G.pth", state


def of_authors(state, ids, things, looks):
    """What the authors' test.py makes: labels one-hot, edges of instances, a look for each class; uint8 (H, W, 3)."""
    edges = np.zeros(things.shape, bool)
    across, down = things[:, 1:] != things[:, :-1], things[1:] != things[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    styles = np.zeros((*ids.shape, 3))
    for label, table in looks.items():
        styles[ids == label] = table[0]
    layout = np.concatenate([np.eye(35)[ids], edges[..., None], styles], 2)
    layout = torch.from_numpy(layout).float().permute(2, 0, 1)[None]
    image = published.of_resnet(state, layout, 9, 4)[0].permute(1, 2, 0)
    return ((image + 1) * 127.5).round().numpy()


def padded(ids):
    """To sides that divide by 16, mirrored at the right and bottom, as frames of any size are."""
    return np.pad(ids, ((0, -ids.shape[0] % 16), (0, -ids.shape[1] % 16)), mode="reflect")


@pytest.mark.parametrize(("instances", "styled"), [(True, True), (False, True), (True, False)])
def test_the_photos_are_those_of_the_authors(generator, street, tmp_path, commands, instances, styled):
    """One look of each class, so there is nothing to draw; without clusters all are zeros, and the import says so."""
    file, state = generator
    looks = {label: table[:1] for label, table in centres().items()} if styled else {}
    arguments = ["checkpoint", "import", file, "--output", tmp_path / "run"]
    done = commands(*arguments, *(["--clusters", saved(tmp_path / NAME, looks)] if styled else []))
    assert done.code == 0, done.stderr
    said = f"styles: clusters of 7 classes, up to 1 looks each ({tmp_path / NAME})"
    assert (said if styled else "styles: no --clusters given; all things get the style of zeros") in done.stdout
    source, output = street(instances), tmp_path / "out"
    arguments = ["--checkpoint", tmp_path / "run", "--input", source, "--reader", "cityscapes", "--output", output]
    done = commands("translate", "run", *arguments, "--threads", 1)
    assert done.code == 0, done.stderr
    things = instance_ids() if instances else label_ids()
    wanted = of_authors(state, padded(label_ids()), padded(things), looks)[:40, :70]
    photo = read_image(output / "leftImg8bit/train/a/a_0_leftImg8bit.png").astype(int)
    assert photo.shape == (40, 70, 3) and photo.std() > 5 and np.abs(photo - wanted).max() <= 1


@pytest.fixture
def here(monkeypatch):
    """Unpickle in this process: the other one takes seconds to start, and is at work in the tests above."""

    def read_here(path):
        with open(path, "rb") as stream:
            look_through(stream)
            if path.suffix == ".npy":
                return clusters_in(load_array(stream))
            networks = tensors_in(load(stream))
        return {name: {key: one.detach() for key, one in state.items()} for name, state in networks.items()}

    monkeypatch.setattr(authors, "read_published", read_here)


def test_style_seeds_choose_among_the_clusters(here, generator, street, tmp_path, commands):
    """As with a translator that was trained here."""
    import_published(generator[0], tmp_path / "run", TranslatorImport(clusters=saved(tmp_path / NAME, centres())))
    photos = []
    for number, seed in enumerate((0, 0, 1)):
        arguments = ["--checkpoint", tmp_path / "run", "--input", street(True), "--output", tmp_path / f"out{number}"]
        done = commands("translate", "run", *arguments, "--reader", "cityscapes", "--style-seed", seed, "--threads", 1)
        assert done.code == 0, done.stderr
        photos.append(read_image(tmp_path / f"out{number}/leftImg8bit/train/a/a_0_leftImg8bit.png"))
    assert np.array_equal(photos[0], photos[1]) and not np.array_equal(photos[0], photos[2])


def test_without_clusters_a_style_seed_is_refused(here, generator, street, tmp_path, commands):
    import_published(generator[0], tmp_path / "run")
    arguments = ["--checkpoint", tmp_path / "run", "--input", street(True), "--output", tmp_path / "out"]
    done = commands("translate", "run", *arguments, "--reader", "cityscapes", "--style-seed", 1)
    assert done.code == 2 and done.stderr.count("\n") == 1
    assert "checkpoint has none to choose from; import it with --clusters" in done.stderr


def test_the_authors_folders_without_images(here, generator, tmp_path, commands):
    """test_label and test_inst, as they come with the authors' code: the label maps stand for the images too."""
    file, state = generator
    write_image(tmp_path / "in/test_label/a_gtFine_labelIds.png", label_ids())
    (tmp_path / "in/test_inst").mkdir()
    (tmp_path / "in/test_inst/a_gtFine_instanceIds.png").write_bytes(encode_png(instance_ids()))
    import_published(file, tmp_path / "run")
    pattern = "test_label/{name}_gtFine_labelIds.png"
    done = commands(
        "translate", "run", "--checkpoint", tmp_path / "run", "--input", tmp_path / "in", "--output", tmp_path / "out",
        "--reader", "cityscapes", "--frames", f"images={pattern}", "--frames", f"labels={pattern}", "--format", "webp",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    wanted = of_authors(state, padded(label_ids()), padded(instance_ids()), {})[:40, :70]
    photo = read_image(tmp_path / "out/test_label/a_gtFine_labelIds.webp").astype(int)
    assert np.abs(photo - wanted).max() <= 1


def test_the_encoder_comes_along(here, generator, tmp_path):
    """It serves training on; the looks of translation are the clusters'."""
    torch.save(drawn(published.pix2pixhd_encoder()), tmp_path / "latest_net_E.pth")
    imported = import_published(generator[0], tmp_path / "run", TranslatorImport(encoder=tmp_path / "latest_net_E.pth"))
    assert "encoder: pix2pixHD's encoder of instances; 20 tensors loaded, 0 missing" in imported.lines[1]
    assert any(line.startswith("styles: no --clusters given") for line in imported.lines)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("x.npy", lambda path: saved(path, {7: Payload("/nowhere/at/all")}), "holds more than arrays"),
        ("features.npy", lambda path: saved(path, {7: np.zeros((9, 4))}), "not features.npy"),
    ],
)
def test_a_bad_file_of_clusters_is_one_line_and_exit_code_5(generator, tmp_path, commands, name, make, message):
    make(tmp_path / name)
    done = commands("checkpoint", "import", generator[0], "--clusters", tmp_path / name, "--output", tmp_path / "run")
    assert done.code == 5 and message in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_clusters_for_another_network_are_refused(here, tmp_path):
    torch.save(drawn(published.resnet(blocks=6)), tmp_path / "G.pth")
    file = saved(tmp_path / NAME, centres())
    with pytest.raises(CheckpointError, match=r"takes no styles .*leave --clusters out"):
        import_published(tmp_path / "G.pth", tmp_path / "run", TranslatorImport(clusters=file))
    with pytest.raises(CheckpointError, match="no architecture that is known here"):
        import_published(file, tmp_path / "run")
    assert not (tmp_path / "run").exists()
