"""What other files and other variants lend an experiment's file, and every slip in one line."""

import tomllib
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.experiment.config_file import read_config_file


@pytest.fixture
def files(tmp_path):
    """A function: texts by name -> the path of the first."""

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path / f"{next(iter(texts))}.toml"

    return write


def test_lists_of_tables_are_joined_and_tables_merged(files):
    path = files(
        mine='include = ["first.toml", "second.toml"]\nname = "mine"\n[segmenter]\nsteps = 3\n[[source]]\nname = "c"\n',
        first='name = "first"\n[segmenter]\nsteps = 1\nbatch = 4\nscale = [1, 2]\n[[source]]\nname = "a"\n',
        second="[segmenter]\nscale = [3, 4]\n[[source]]\nname = 'b'\n",
    )
    assert read_config_file(path) == {
        "name": "mine",
        "segmenter": {"steps": 3, "batch": 4, "scale": [3, 4]},
        "source": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    }


def test_what_is_replaced_is_neither_joined_nor_merged(files):
    path = files(
        mine="""
        include = ["first.toml", "second.toml"]
        replace = ["source", "segmenter.adaptation"]
        variant = []
        [segmenter]
        adaptation = { method = "minent" }
        [[source]]
        name = "c"
        [[target]]
        name = "e"
        """,
        first='[segmenter]\nsteps = 1\nadaptation = { method = "dacs", sigma = 1 }\n[[source]]\nname = "a"\n',
        second='[[source]]\nname = "b"\n[[target]]\nname = "d"\n[[variant]]\nname = "other"\n',
    )
    assert read_config_file(path) == {
        "segmenter": {"steps": 1, "adaptation": {"method": "minent"}},
        "source": [{"name": "c"}],
        "target": [{"name": "d"}, {"name": "e"}],
        "variant": [],
    }


def test_what_an_included_file_replaces_is_of_the_files_that_it_includes_itself(files):
    path = files(
        a='include = ["b.toml"]\n[[source]]\nname = "of a"',
        b='include = ["c.toml"]\nreplace = ["source"]\n[[source]]\nname = "of b"',
        c='[[source]]\nname = "of c"',
    )
    assert read_config_file(path) == {"source": [{"name": "of b"}, {"name": "of a"}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('replace = "source"', r"a\.toml: replace: expected a list of lists and tables by their keys, such as"),
        ('replace = ["sorce"]\n[[source]]\nname = "a"', r"replace names 'sorce', which this file does not set itself"),
        ('replace = ["x"]\nx = 1', r"a\.toml: replace names 'x', which no included file sets; leave it out$"),
        ('replace = ["source.name"]\nsource = [{ name = "a" }]', r"names 'source\.name', which this file does not set"),
    ],
)
def test_a_replacement_of_nothing_is_refused(files, text, message):
    with pytest.raises(UserError, match=message):
        read_config_file(files(a=f'include = ["b.toml"]\n{text}', b='[[source]]\nname = "b"'))


def test_a_bundled_config_is_found_from_every_folder(tmp_path, monkeypatch):
    """By the path that documents give it, unless there is a file of that path."""
    bundled = Path("pipelines/configs/carla_to_camvid.toml")
    monkeypatch.chdir(tmp_path)
    assert read_config_file(bundled)["name"] == "carla_to_camvid"
    bundled.parent.mkdir(parents=True)
    bundled.write_text('name = "mine"')
    assert read_config_file(bundled) == {"name": "mine"}
    with pytest.raises(UserError, match=r"config pipelines/configs/nope\.toml: cannot read: .*; bundled ones are in"):
        read_config_file(Path("pipelines/configs/nope.toml"))


def test_an_included_file_includes_by_its_own_folder(files, tmp_path):
    path = files(mine='include = ["parts/one.toml"]\n')
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/one.toml").write_text('include = ["two.toml"]\nname = "one"\n')
    (tmp_path / "parts/two.toml").write_text('name = "two"\ndata = "there"\n')
    assert read_config_file(path) == {"name": "one", "data": "there"}


def test_a_file_of_the_home_folder_is_included_by_its_sign(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    mine = files(mine='include = ["~/parts/first.toml"]')
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/first.toml").write_text('name = "first"')
    assert read_config_file(mine) == {"name": "first"}
    with pytest.raises(UserError, match="include: ~nobody-of-this-name/a: there is no such home"):
        read_config_file(files(mine='include = ["~nobody-of-this-name/a"]'))


def test_one_file_may_be_included_on_two_ways(files):
    path = files(a='include = ["b.toml", "c.toml"]', b='include = ["d.toml"]', c='include = ["d.toml"]', d="x = 1")
    assert read_config_file(path) == {"x": 1}


def test_a_file_that_includes_itself_is_refused(files):
    path = files(a='include = ["b.toml"]', b='include = ["../%s/a.toml"]')
    path.with_name("b.toml").write_text(f'include = ["../{path.parent.name}/a.toml"]')
    with pytest.raises(UserError, match=r"b\.toml: include: \.\./.*/a\.toml includes this file in its turn; leave one"):
        read_config_file(path)


@pytest.mark.parametrize("value", ['"parts.toml"', "[1]", "3", "{ a = 1 }"])
def test_an_include_that_is_no_list_of_files_is_refused(files, value):
    with pytest.raises(UserError, match=r"a\.toml: include: expected a list of files, such as"):
        read_config_file(files(a=f"include = {value}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"a\.toml: include: .*b\.toml: cannot read: No such file or directory; check its path$"),
        ("x = ", r"a\.toml: include: .*b\.toml: not valid TOML: "),
    ],
)
def test_an_included_file_that_cannot_be_read_is_named_with_the_one_that_includes_it(files, text, message):
    path = files(a='include = ["b.toml"]', **({"b": text} if text else {}))
    with pytest.raises(UserError, match=message):
        read_config_file(path)


def variants_of(files, text):
    return {one["name"]: one.get("settings", {}) for one in read_config_file(files(a=text))["variant"]}


def test_a_variant_like_another_begins_with_its_settings(files):
    found = variants_of(
        files,
        """
        [[variant]]
        name = "longer"
        settings = { "segmenter.steps" = 200, "segmenter.initial" = "source_only" }
        [[variant]]
        name = "fda"
        like = "longer"
        settings = { "segmenter.adaptation" = { method = "fda" } }
        [[variant]]
        name = "slow"
        like = "fda"
        settings = { "segmenter.steps" = 400 }
        """,
    )
    assert found["fda"] == {
        "segmenter.steps": 200,
        "segmenter.initial": "source_only",
        "segmenter.adaptation": {"method": "fda"},
    }
    assert found["slow"] == found["fda"] | {"segmenter.steps": 400}
    assert found["longer"] == {"segmenter.steps": 200, "segmenter.initial": "source_only"}, "it stays as it was"


def test_a_key_takes_all_that_was_said_within_it_along_and_no_other(files):
    """Else the other's deeper key, put later, would change the new table."""
    found = variants_of(
        files,
        """
        [[variant]]
        name = "one"
        settings = { "segmenter.adaptation" = { method = "mic" }, "segmenter.adaptation.block" = 32, "segmenter.a" = 1 }
        [[variant]]
        name = "two"
        like = "one"
        settings = { "segmenter.adaptation" = { method = "fda" } }
        [[variant]]
        name = "three"
        like = "one"
        settings = { "segmenter.adaptation.block" = 64 }
        """,
    )
    assert found["two"] == {"segmenter.a": 1, "segmenter.adaptation": {"method": "fda"}}
    assert list(found["three"].items()) == [
        ("segmenter.adaptation", {"method": "mic"}),
        ("segmenter.a", 1),
        ("segmenter.adaptation.block", 64),
    ]


def test_a_variant_may_be_like_one_of_an_included_file(files):
    path = files(
        a='include = ["b.toml"]\n[[variant]]\nname = "mine"\nlike = "longer"\n',
        b='[[variant]]\nname = "longer"\nsettings = { "segmenter.steps" = 200 }\n',
    )
    assert [one["settings"] for one in read_config_file(path)["variant"]] == [{"segmenter.steps": 200}] * 2


@pytest.mark.parametrize("like", ['"later"', '"none"', "3", '"itself"'])
def test_a_variant_like_none_before_it_is_refused(files, like):
    text = f"""
        [[variant]]
        name = "first"
        [[variant]]
        name = "itself"
        like = {like}
        [[variant]]
        name = "later"
        """
    message = r"a\.toml: variant itself: like names .*, which is no variant before it; before it there are: first$"
    with pytest.raises(UserError, match=message):
        read_config_file(files(a=text))


def test_of_a_variant_without_a_name_nothing_else_is_said(files):
    text = '[[variant]]\nnme = "longer"\n[[variant]]\nname = "fda"\nlike = "longer"\n'
    assert read_config_file(files(a=text))["variant"] == [{"nme": "longer"}, {"name": "fda"}]


@pytest.mark.parametrize("text", ["variant = 3", "variant = []", "[[variant]]\nsettings = 3\n"])
def test_what_is_no_variant_is_left_to_the_check_of_settings(files, text):
    assert read_config_file(files(a=text)) == tomllib.loads(text)
