"""Files that are nearly right: hypothesis damages good ones as disks, editors and people do."""

import re

from hypothesis import strategies as st

PIECES = (b'"', b"{", b"}", b"[", b"]", b",", b"=", b"\n", b"\0", b"\xff", b"null", b"true", b"NaN", b"1e999", b"-1",
          b"\\ud800", b"[" * 3000, b"9" * 5000)  # fmt: skip
VALUE = re.compile(rb"""(?<=[:=] )("[^"]*"|[\d.]+|null|true|false|\[[^\]]*\])""")
VALUES = (b"null", b"1", b'"x"', b"[]", b"{}", b"-1", b"1e400", b"true", b'"\\u0000"', b"[1, 2]", b'{"a": 1}', b'""')


@st.composite
def damaged(draw, good):
    """The bytes of a good file after one to three accidents."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        match draw(st.sampled_from(["flip", "cut", "end", "insert", "repeat", "value"])):
            case "flip" if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
            case "cut":
                data = data[:at] + data[to:]
            case "end":
                data = data[:at]
            case "insert":
                data = data[:at] + draw(st.sampled_from(PIECES)) + data[at:]
            case "repeat":
                data = data[:to] + data[at:]
            case "value" if found := list(VALUE.finditer(data)):
                value = found[at % len(found)]
                data = data[: value.start()] + draw(st.sampled_from(VALUES)) + data[value.end() :]
    return data
