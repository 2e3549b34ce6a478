"""One line of JSON, read strictly: a golden corpus of what passes and what does not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest.strictjson import BadLine, parse_line

REFUSED = [
    (b"", "bad_json"),
    (b"{", "bad_json"),
    (b"}", "bad_json"),
    (b"{}{}", "bad_json"),
    (b'{"a": 1,}', "bad_json"),
    (b"{'a': 1}", "bad_json"),
    (b'{"a" 1}', "bad_json"),
    (b'{"a": 01}', "bad_json"),
    (b'{"a": 1.}', "bad_json"),
    (b'{"a": .5}', "bad_json"),
    (b'{"a": +1}', "bad_json"),
    (b'{"a": 0x10}', "bad_json"),
    (b'{"a": "\n"}', "bad_json"),
    (b'{"a": "\t"}', "bad_json"),
    (b'{"a": "\x00"}', "bad_json"),
    (b'{"a": "\\x41"}', "bad_json"),
    (b'{"a": "\\u12"}', "bad_json"),
    (b'{"a": "open}', "bad_json"),
    (b'{"a": undefined}', "bad_json"),
    (b'{"a": True}', "bad_json"),
    (b"// remark", "bad_json"),
    (b'{"a": 1} // remark', "bad_json"),
    (b"\xef\xbb\xbf{}", "bad_json"),
    (b'{"a": "\xff"}', "bad_utf8"),
    (b'{"a": "\xc3"}', "bad_utf8"),
    (b'{"a": "\xc0\xaf"}', "bad_utf8"),
    (b'{"a": "\xed\xa0\x80"}', "bad_utf8"),
    ('{"a": 1}'.encode("utf-16"), "bad_utf8"),
    (b'{"a": 1, "a": 2}', "duplicate_key"),
    (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
    (b'{"a": {"b": 1, "b": 1}}', "duplicate_key"),
    (b'{"a": NaN}', "not_finite"),
    (b'{"a": Infinity}', "not_finite"),
    (b'{"a": -Infinity}', "not_finite"),
    (b'{"a": 1e999}', "not_finite"),
    (b'{"a": -1e999}', "not_finite"),
    (b'{"a": 1234567890123456789}', "long_integer"),
    (b'{"a": -1234567890123456789}', "long_integer"),
    (b'{"a": ' + b"9" * 5000 + b"}", "long_integer"),
    (b'{"a": "\\ud800"}', "lone_surrogate"),
    (b'{"a": "\\udc00\\ud800"}', "lone_surrogate"),
    (b'{"\\uDFFF": 1}', "lone_surrogate"),
    (b'{"a": "\\u0000"}', "nul"),
    (b'{"a": "\\\\\\u0000"}', "nul"),
    (b"[" * 21 + b"]" * 21, "too_deep"),
    (b'{"a":' * 21 + b"1" + b"}" * 21, "too_deep"),
    (b"[" * 100_000, "too_deep"),
    (b'{"a":' * 100_000, "too_deep"),
    (b'{"a": [' * 11 + b"]}" * 11, "too_deep"),
    (b'{"": 1, "": 2}', "duplicate_key"),
    (b'{"a": [NaN]}', "not_finite"),
    (b"-NaN", "bad_json"),
    (b'{"a": 1e400, "b": 1}', "not_finite"),
    (b'{"a": ' + b"1" * 400 + b".0}", "not_finite"),
    (b'{"a": 00}', "bad_json"),
    (b'{"a": 1_000}', "bad_json"),
    (b'{"a": "\x1b[2J"}', "bad_json"),
    (b'{"a": "\xf4\x90\x80\x80"}', "bad_utf8"),
    (b'{"a": "\xf0\x9f\x98"}', "bad_utf8"),
    (b'{"a": "\\ud83d"}', "lone_surrogate"),
    (b'{"a": "\\ud83d\\\\ude00"}', "lone_surrogate"),
    ("{\u00a0}".encode(), "bad_json"),
    ('{"a"\u2028: 1}'.encode(), "bad_json"),
]
ACCEPTED = [
    (b"{}", {}),
    (b" {} \r\n", {}),
    (b'{"a": null}', {"a": None}),
    (b'{"a": 123456789012345678}', {"a": 123456789012345678}),
    (b'{"a": -123456789012345678}', {"a": -123456789012345678}),
    (b'{"a": 1e3}', {"a": 1000.0}),
    ('{"a": "红苹果"}'.encode(), {"a": "红苹果"}),
    (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    ('{"a": "x\u2028y\u0085z"}'.encode(), {"a": "x\u2028y\u0085z"}),
    (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
    (b'{"a": "\\\\ud800"}', {"a": "\\ud800"}),
    (b"[" * 20 + b"]" * 20, json.loads("[" * 20 + "]" * 20)),
    (b'{"a": "' + b"[{" * 50 + b'"}', {"a": "[{" * 50}),
    (b'{"a": "\\"[[[[[[[[[[[[[[[[[[[[[["}', {"a": '"' + "[" * 22}),
    (b"[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]", [[]] * 22),
    (b'{"a": "\\u2028\\u0085"}', {"a": "\u2028\u0085"}),
    ('{"a": "\u202e\ufeff\u200b"}'.encode(), {"a": "\u202e\ufeff\u200b"}),
    (b'{"__proto__": {"a": 1}, "a": 1, "A": 1}', {"__proto__": {"a": 1}, "a": 1, "A": 1}),
    (b"3", 3),
    (b'"text"', "text"),
]


@pytest.mark.parametrize(("line", "code"), REFUSED)
def test_c18_a_line_that_is_not_sound_is_refused_by_name(line: bytes, code: str) -> None:
    with pytest.raises(BadLine) as caught:
        parse_line(line)
    assert caught.value.complaint.code == code
    assert caught.value.complaint.next


@pytest.mark.parametrize(("line", "value"), ACCEPTED)
def test_c18_a_sound_line_is_read_whole(line: bytes, value: object) -> None:
    assert parse_line(line) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bad_line(line: bytes) -> None:
    try:
        parse_line(line)
    except BadLine as bad:
        assert bad.complaint.severity == "error"


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON_VALUES, st.booleans())
def test_what_python_writes_is_read_back(value: object, ascii_only: bool) -> None:
    assert parse_line(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    "line",
    [b'{"a": "' + b'\\"' * 500_000, b'"' * 1_000_000, b'[{"' * 300_000, b'{"' + b"\\" * 900_000 + b"\\u0000" * 9],
)
def test_a_hostile_line_of_a_megabyte_is_refused_in_one_pass(line: bytes) -> None:
    with pytest.raises(BadLine):
        parse_line(line)


def test_the_key_that_stands_twice_is_named_among_many() -> None:
    keys = [f"k{number}" for number in range(50_000)]
    line = "{" + ",".join(f'"{key}":0' for key in [*keys, "k49999"]) + "}"
    with pytest.raises(BadLine) as caught:
        parse_line(line.encode())
    assert caught.value.complaint.field == "k49999"
