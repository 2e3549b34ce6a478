"""Tokens of the HTTP API and sessions of the dashboard: made, found, revoked. Kept is only their SHA-256.

A token is `imill_<id>_<256 random bits>`. The id finds the row, a comparison in constant time decides. A session is
a token's stand-in for a browser, dies with it, and has no scopes of its own.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from jobs.errors import UsageError
from jobs.ids import new_token_id
from jobs.ledger import clock
from jobs.ledger.acts import Act, record
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import sessions, tokens

PREFIX = "imill_"
SESSION_PREFIX = "imills_"
_SECRET_BYTES = 32
_SESSION_MS = 12 * 3600 * 1000


class TokenScope(StrEnum):
    """What a token allows. Each includes `read`; `admin` includes all."""

    READ = "read"
    """See everything."""
    SUBMIT = "submit"
    """Spend within the budgets: submit, retry, pause, resume, cancel."""
    REVIEW = "review"
    """Judge results: retry and pause."""
    FINANCE = "finance"
    """Set budgets, resolve doubts."""
    ADMIN = "admin"
    """All of these, and lift a pause of the endpoint."""


@dataclass(frozen=True, slots=True)
class Token:
    """A row as people see it. Moments in milliseconds since 1970 UTC."""

    id: str
    name: str
    scopes: frozenset[TokenScope]
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def allows(self, scope: TokenScope) -> bool:
        return allows(self.scopes, scope)


def allows(scopes: Iterable[TokenScope], scope: TokenScope) -> bool:
    """Whether holding `scopes` is holding `scope`."""
    held = frozenset(scopes)
    return bool(held) and (scope is TokenScope.READ or scope in held or TokenScope.ADMIN in held)


def create(
    tx: Connection, name: str, scopes: Iterable[TokenScope], lifetime_s: int | None = None, *, by: str
) -> tuple[Token, str]:
    """A new token, as an act of `by`, and its text, which is shown once. Raises UsageError for a name that was
    given before."""
    if tx.execute(select(tokens.c.id).where(tokens.c.name == name)).first():
        raise UsageError(
            f"there is a token {name!r} already, or was: names stay in the record of acts; take another"
        )
    now = clock.now(tx)
    token_id = new_token_id()
    text = f"{PREFIX}{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = {
        "id": token_id,
        "name": name,
        "sha256": digest(text),
        "scopes": " ".join(sorted(set(scopes))),
        "created_at": now,
        "expires_at": None if lifetime_s is None else now + lifetime_s * 1000,
    }
    tx.execute(insert(tokens).values(**row))
    record(tx, Act(by, "token create", what={"name": name, "scopes": row["scopes"]}))
    return _token(tx.execute(select(tokens).where(tokens.c.id == token_id)).one()), text


def find(tx: Connection, text: str) -> Token | None:
    """The live token that `text` is; None for one that is wrong, expired or revoked."""
    token_id = text.removeprefix(PREFIX).partition("_")[0] if text.startswith(PREFIX) else ""
    row = tx.execute(select(tokens).where(tokens.c.id == token_id, *_live(tx))).first()
    known = row.sha256 if row else digest("")
    same = secrets.compare_digest(digest(text), known)
    return _token(row) if row and same else None


def revoke(tx: Connection, name: str, *, by: str) -> bool:
    """End the token of this name, and its sessions, as an act of `by`; False when none that is alive has it."""
    alive = (tokens.c.name == name, tokens.c.revoked_at.is_(None))
    ended = tx.execute(update(tokens).where(*alive).values(revoked_at=clock.now(tx))).rowcount == 1
    if ended:
        theirs = select(tokens.c.id).where(tokens.c.name == name)
        tx.execute(delete(sessions).where(sessions.c.token_id.in_(theirs)))
        record(tx, Act(by, "token revoke", what={"name": name}))
    return ended


def list_tokens(tx: Connection) -> list[Token]:
    """All there are and were, the newest first."""
    return [_token(row) for row in tx.execute(select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.id))]


def is_live(tx: Connection) -> bool:
    """Whether any token is alive."""
    return tx.execute(select(tokens.c.id).where(*_live(tx)).limit(1)).first() is not None


def open_session(tx: Connection, token: Token) -> str:
    """The value of a session cookie for this token, good for 12 hours or as long as the token."""
    now = clock.now(tx)
    tx.execute(delete(sessions).where(sessions.c.expires_at <= now))
    text = SESSION_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    tx.execute(insert(sessions).values(sha256=digest(text), token_id=token.id, expires_at=now + _SESSION_MS))
    return text


def find_session(tx: Connection, text: str) -> Token | None:
    """The live token behind a session."""
    joined = select(tokens).join(sessions, sessions.c.token_id == tokens.c.id)
    mine = (sessions.c.sha256 == digest(text), sessions.c.expires_at > clock.now(tx))
    row = tx.execute(joined.where(*mine, *_live(tx))).first()
    return _token(row) if row else None


def end_session(tx: Connection, text: str) -> None:
    tx.execute(delete(sessions).where(sessions.c.sha256 == digest(text)))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _live(tx: Connection) -> tuple[ColumnElement[bool], ...]:
    return tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > clock.now(tx))


def _token(row: AnyRow) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        scopes=frozenset(map(TokenScope, row.scopes.split())),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
