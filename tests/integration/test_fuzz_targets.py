"""The fuzzers' targets, driven from their seeds a little in every run; `python -m tests.fuzz` goes deeper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import decoder, manifest

FOUND = [
    b'\xfcprompt,model,svg\na,own,"{""model"": NaN}"\n',  # was sent as null
    b'\xfcprompt,model,svg\na,own,"{""model"": 1e999}"\n',
]
"""What fuzzing found once."""

WORDS = [b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800", b"\\u0000", b"\r", b"\n", b";", b"=", b"\0", b"1e999"]
EDITS = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 20), st.one_of(st.sampled_from(WORDS), st.binary(max_size=8))),
    max_size=6,
)


def edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """The seed with pieces of it replaced."""
    data = bytearray(seed)
    for place, length, piece in edits:
        start = place % (len(data) + 1)
        data[start : start + length] = piece
    return bytes(data)


@given(st.sampled_from(manifest.SEEDS), EDITS)
def test_c18_no_file_raises_or_brings_a_row_that_cannot_be_kept(
    seed: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    manifest.target(edited(seed, edits))


@pytest.mark.parametrize("data", FOUND)
def test_c18_what_fuzzing_found_stays_found(data: bytes) -> None:
    manifest.target(data)


@given(st.sampled_from(decoder.SEEDS), EDITS)
def test_c23_an_answer_is_decoded_or_refused_however_it_is_cut(
    seed: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    decoder.target(edited(seed, edits))
