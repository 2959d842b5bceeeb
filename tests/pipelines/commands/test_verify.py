"""`sim2real verify` as people type it: what is damaged, on one line, with the exit code of its kind."""


def test_what_is_whole(commands, tiny_run):
    done = commands("verify", tiny_run / "seed-0/translator", tiny_run / "seed-0/translated")
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all(
        line.endswith(("files, ok", "1 file, ok")) for line in lines
    )  # a run, its two checkpoints, a set


def test_the_first_bad_file_is_named(commands, copied_run):
    label = copied_run / "seed-0/translated/game/semantic/000002.png"
    label.chmod(0o644)
    label.write_bytes(label.read_bytes() + b"x")
    done = commands("verify", copied_run)
    assert done.code == 3
    assert done.stderr == (
        f"error: {label} has changed since it was written; the command that made it makes it again\n"
    )
    assert f"  {label} has changed" in done.stdout
    state = copied_run / "seed-0/oracle/checkpoints/step-00000002/state.json"
    state.unlink()
    done = commands("verify", copied_run)
    assert done.code == 5
    assert done.stderr.startswith(f"error: {state} is missing; ") and done.stderr.endswith(
        "; and 1 more, listed above\n"
    )


def test_nothing_to_verify(commands, tmp_path):
    assert commands("verify", tmp_path).code == 4
    done = commands("verify", tmp_path / "nowhere")
    assert done.code == 2 and "nowhere does not exist" in done.stderr
    assert commands("verify").code == 2
