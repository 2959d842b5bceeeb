"""`sim2real doctor` as people type it."""


def test_every_line_is_printed_and_nothing_is_left_behind(commands, tmp_path):
    done = commands("doctor", "--place", tmp_path, "--device", "cpu")
    assert done.code == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert (
        names[:7] == ["system", "packages", "processor", "device", "memory", "codecs", "disk"] and names[-1] == "speed"
    )
    assert f"{tmp_path}: " in done.stdout and list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there(commands):
    done = commands("doctor", "--device", "cuda:97")
    assert done.code == 2 and "--device cuda:97 cannot be used here" in done.stderr and done.stdout == ""
