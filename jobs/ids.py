"""Names for batches, attempts, workers, tokens and selections.

Crockford base32: no I, L, O, U; safe in file names and URLs.
"""

import secrets

import uuid_utils

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_batch_id() -> str:
    """`b_` and 40 random bits: short enough to type; the ledger's key catches the one-in-a-billion twin."""
    return "b_" + _base32(secrets.randbits(40), 8)


def new_attempt_id() -> str:
    """`a_` and a UUIDv7: grows with time, so that rows land at the end of the index."""
    return "a_" + _base32(uuid_utils.uuid7().int, 26)


def new_worker_id() -> str:
    """`w_` and 60 random bits."""
    return "w_" + _base32(secrets.randbits(60), 12)


def new_token_id() -> str:
    """60 random bits: the part of a token that may be shown."""
    return _base32(secrets.randbits(60), 12)


def new_selection_id() -> str:
    """`s_` and 60 random bits."""
    return "s_" + _base32(secrets.randbits(60), 12)


def _base32(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 32)
        text = _ALPHABET[digit] + text
    return text
