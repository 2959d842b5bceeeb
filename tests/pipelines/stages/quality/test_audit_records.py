"""What an audit has counted comes back from disk as it was, whoever counted it; whatever cannot be read is left out."""

import pytest
import torch

from pipelines.engine.processes import ALONE, Processes
from pipelines.stages.quality.audit_records import (
    RECORDS,
    Record,
    join_records,
    known_records,
    records_of,
    write_records,
)


def record(frame, translated=None):
    return Record(frame, {"image_sha256": "1" * 64, "label_encoding": None}, "e" * 64, True, 0.25, translated, None)


def same(first, second):
    one, other = (vars(of) | {"translated": None} for of in (first, second))
    counts = first.translated, second.translated
    return one == other and (counts == (None, None) or torch.equal(*counts))


@pytest.fixture
def counted():
    counts = torch.zeros(19, 20, dtype=torch.int64)
    counts[10, 8], counts[0, 19] = 2**40, 3
    return [record("a", counts), record("b/c")]


def test_records_come_back(counted, tmp_path):
    write_records(tmp_path / records_of(ALONE), counted)
    known = known_records(tmp_path)
    assert list(known) == ["a", "b/c"]
    assert all(same(known[one.frame], one) for one in counted)


def test_those_of_several_processes_become_one_file(counted, tmp_path):
    parts = [Processes(rank, world_size=2) for rank in (0, 1)]
    assert [records_of(part) for part in parts] == ["audit.1-of-2.jsonl", "audit.2-of-2.jsonl"]
    for part, one in zip(parts, counted, strict=True):
        write_records(tmp_path / records_of(part), [one])
    join_records(tmp_path, counted, parts[1])  # which does not lead
    assert len(list(tmp_path.iterdir())) == 2 and len(known_records(tmp_path)) == 2
    join_records(tmp_path, counted, parts[0])
    assert [path.name for path in tmp_path.iterdir()] == [RECORDS] and len(known_records(tmp_path)) == 2


@pytest.mark.parametrize("damage", [b"\xff", b"[]\n", b'{"frame": "a"}\n', b"{\n"])
def test_a_damaged_file_holds_nothing(counted, tmp_path, damage):
    write_records(tmp_path / RECORDS, counted)
    path = tmp_path / RECORDS
    path.write_bytes(path.read_bytes() + damage)
    assert known_records(tmp_path) == {}
