"""Tokens, sessions and keys in the ledger, on both engines."""

import pytest

from jobs.errors import Conflict, UsageError
from jobs.ledger import schema, tokens
from jobs.ledger.engine import Ledger
from jobs.ledger.idempotency import Bound, Key, bind_key, find_key
from jobs.ledger.tokens import Token, TokenScope
from tests.integration.ledgers import all_at_once, change, count, open_batch


def make(
    ledger: Ledger, name: str = "shop", *scopes: TokenScope, lifetime_s: int | None = None
) -> tuple[Token, str]:
    return ledger.write(tokens.create, name, scopes or [TokenScope.READ], lifetime_s, by="ana")


def find(ledger: Ledger, text: str) -> Token | None:
    with ledger.read() as tx:
        return tokens.find(tx, text)


def session(ledger: Ledger, text: str) -> Token | None:
    with ledger.read() as tx:
        return tokens.find_session(tx, text)


def test_a_token_is_found_by_its_whole_text_only(ledger: Ledger) -> None:
    made, text = make(ledger, "shop", TokenScope.SUBMIT, TokenScope.READ)
    assert find(ledger, text) == made
    assert made.scopes == {TokenScope.SUBMIT, TokenScope.READ}
    others = [text[:-1], f"{text}x", text.lower(), text.removeprefix("imill_"), f"imill_{made.id}_", made.id]
    flipped = text[:-1] + ("A" if text[-1] != "A" else "B")
    for other in [*others, flipped, "", "imill_", "imill__", "\udcff", "imill_%_x", f" {text}"]:
        assert find(ledger, other) is None, other


def test_two_tokens_share_nothing(ledger: Ledger) -> None:
    (one, first), (two, second) = make(ledger, "one"), make(ledger, "two")
    assert one.id != two.id
    assert find(ledger, f"imill_{one.id}_{second.rpartition('_')[2]}") is None
    assert find(ledger, first) != find(ledger, second)


@pytest.mark.parametrize("scope", TokenScope)
def test_a_scope_includes_reading_and_admin_includes_all(scope: TokenScope) -> None:
    held = {one for one in TokenScope if tokens.allows({scope}, one)}
    assert held == (set(TokenScope) if scope is TokenScope.ADMIN else {TokenScope.READ, scope})
    assert not tokens.allows(set(), scope)


def test_a_token_ends_at_its_time_by_the_databases_clock(ledger: Ledger) -> None:
    _, text = make(ledger, lifetime_s=3600)
    assert find(ledger, text)
    change(ledger, schema.tokens, expires_at=schema.tokens.c.expires_at - 3_600_001)
    assert find(ledger, text) is None


def test_a_token_that_is_revoked_takes_its_sessions_with_it_and_no_others(ledger: Ledger) -> None:
    (one, first), (two, _) = make(ledger, "one"), make(ledger, "two")
    mine, theirs = (ledger.write(tokens.open_session, token) for token in (one, two))
    assert session(ledger, mine) == one
    assert ledger.write(tokens.revoke, "one", by="ana")
    assert not ledger.write(tokens.revoke, "one", by="ana")
    assert (find(ledger, first), session(ledger, mine)) == (None, None)
    assert session(ledger, theirs) == two
    assert count(ledger, schema.acts, schema.acts.c.verb == "token revoke") == 1


def test_a_session_ends_by_its_time_by_logging_out_and_with_its_tokens_time(ledger: Ledger) -> None:
    token, _ = make(ledger, lifetime_s=3600)
    one, two, three = (ledger.write(tokens.open_session, token) for _ in range(3))
    ledger.write(tokens.end_session, one)
    assert (session(ledger, one), session(ledger, two)) == (None, token)
    table = schema.sessions
    change(ledger, table, table.c.sha256 == tokens.digest(two), expires_at=1)
    assert (session(ledger, two), session(ledger, three)) == (None, token)
    ledger.write(tokens.open_session, token)
    assert count(ledger, table) == 2, "a session that is over is cleared away"
    change(ledger, schema.tokens, expires_at=1)
    assert session(ledger, three) is None


def test_a_session_is_no_token_and_a_token_no_session(ledger: Ledger) -> None:
    token, text = make(ledger)
    value = ledger.write(tokens.open_session, token)
    assert find(ledger, value) is None
    assert session(ledger, text) is None


def test_of_equal_names_at_once_one_is_given(ledger: Ledger) -> None:
    def attempt() -> bool:
        try:
            make(ledger, "shop")
        except (Conflict, UsageError):
            return False
        return True

    assert all_at_once([attempt] * 6).count(True) == 1
    assert count(ledger, schema.tokens) == 1


def test_a_key_is_bound_once(ledger: Ledger) -> None:
    one, two = open_batch(ledger), open_batch(ledger)
    key = Key("ana", "k", "f1")
    ledger.write(bind_key, one, key)
    with pytest.raises(Conflict):
        ledger.write(bind_key, two, Key("ana", "k", "f2"))
    ledger.write(bind_key, two, Key("ben", "k", "f2"))
    with ledger.read() as tx:
        assert find_key(tx, key) == Bound("f1", one)
        assert find_key(tx, Key("ben", "k", "")) == Bound("f2", two)
        assert find_key(tx, Key("ana", "other", "")) is None
