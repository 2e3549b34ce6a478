"""Who gets in, for what, and from where: every route with every scope, and what browsers could be made to do."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from jobs.api import rest
from jobs.api.live import Publisher
from jobs.api.throttle import Throttle
from jobs.ledger import schema, tokens
from jobs.ledger.acts import list_acts
from jobs.ledger.engine import Ledger
from jobs.ledger.tokens import TokenScope
from tests.integration.apis import OPERATOR, Api, make_service, serving
from tests.integration.commands import fill
from tests.integration.ledgers import change

BATCH = "b_7Q2M0001"
ADMIN, FINANCE, READ, REVIEW, SUBMIT = sorted(TokenScope)
EVERYBODY = {ADMIN, FINANCE, READ, REVIEW, SUBMIT}
ALLOWED: dict[tuple[str, str], set[TokenScope]] = {
    ("POST", "/batches"): {SUBMIT, ADMIN},
    ("POST", "/batches/{batch}/pause"): {SUBMIT, REVIEW, ADMIN},
    ("POST", "/batches/{batch}/retry"): {SUBMIT, REVIEW, ADMIN},
    ("POST", "/batches/{batch}/resume"): {SUBMIT, ADMIN},
    ("POST", "/batches/{batch}/cancel"): {SUBMIT, ADMIN},
    ("POST", "/batches/{batch}/resolve"): {FINANCE, ADMIN},
    ("POST", "/attempts/resolve"): {FINANCE, ADMIN},
    ("PUT", "/budgets"): {FINANCE, ADMIN},
    ("POST", "/endpoints/resume"): {ADMIN},
}
"""Who may, of all that change something; everybody with a token may look."""
BODIES: dict[str, Any] = {
    "/batches": {"rows": [{"prompt": "a fox"}]},
    "/batches/{batch}/retry": {"states": ["failed"], "dry_run": True},
    "/batches/{batch}/resolve": {"billed": True, "evidence": "invoice", "dry_run": True},
    "/attempts/resolve": {"billed": True, "evidence": "invoice", "dry_run": True, "attempts": ["a_none"]},
    "/budgets": {"scope": "day", "cap_dollars": "5"},
}
PATHS = rest.make_app(Publisher()).openapi()["paths"]
ROUTES = [(method.upper(), path) for path, found in PATHS.items() for method in found]
GUARDED = [(method, path) for method, path in ROUTES if path != "/health"]
STREAMS = {"/events", "/batches/{batch}/events"}


@pytest.fixture
def public(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    fill(sqlite_ledger, id=BATCH)
    with serving(make_service(sqlite_ledger, tmp_path, public=True)) as api:
        yield api


@pytest.fixture
def local(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    fill(sqlite_ledger, id=BATCH)
    with serving(make_service(sqlite_ledger, tmp_path)) as api:
        yield api


def call(api: Api, method: str, path: str, batch: str = BATCH, **options: Any) -> httpx.Response:
    """One request; of an endless answer only its beginning."""
    there = "/api" + path.format(batch=batch, row=1, attempt="a_none", index=0)
    body = {"json": BODIES[path]} if path in BODIES else {}
    with api.client.stream(method, there, **body, **options) as response:
        if not (path in STREAMS and response.status_code == 200):
            response.read()
    return response


def everything(ledger: Ledger) -> dict[str, list[Any]]:
    """Every row of every table."""
    with ledger.read() as tx:
        return {
            name: sorted(map(repr, tx.execute(select(table)))) for name, table in schema.metadata.tables.items()
        }


def test_c15_each_route_lets_in_exactly_the_scopes_that_it_is_for(public: Api) -> None:
    headers = {scope: public.token(scope) for scope in TokenScope}
    for method, path in GUARDED:
        allowed = ALLOWED.get((method, path), EVERYBODY if method == "GET" else set())
        for scope in TokenScope:
            status = call(public, method, path, headers=headers[scope]).status_code
            assert (status != 403) == (scope in allowed), (method, path, scope, status)
            assert status != 401


def test_c15_every_route_that_changes_something_is_in_the_table_of_scopes() -> None:
    assert {route for route in ROUTES if route[0] != "GET"} == set(ALLOWED)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer imill_"},
        {"Authorization": "Bearer imill_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "imagemill_session=imills_x"},
    ],
)
def test_c15_without_a_valid_token_every_route_answers_the_same_whatever_there_is(
    public: Api, wrong: dict[str, str]
) -> None:
    public.service.throttle._most_wrong = 10**6
    for method, path in GUARDED:
        there = call(public, method, path, headers=wrong)
        elsewhere = call(public, method, path, batch="b_NOTTHERE", headers=wrong)
        assert (there.status_code, elsewhere.status_code) == (401, 401), (method, path)
        assert there.content == elsewhere.content
        assert there.headers["WWW-Authenticate"].startswith("Bearer")
        assert there.headers["Content-Type"] == "application/problem+json"
    assert public.get("/api/nowhere", headers=wrong).status_code == 401


def test_c15_the_word_bearer_is_taken_in_any_case_and_a_token_in_the_query_is_not(public: Api) -> None:
    header = public.token("read")["Authorization"]
    value = header.removeprefix("Bearer ")
    assert public.get("/api/status", headers={"Authorization": f"bearer {value}"}).status_code == 200
    for name in ("token", "access_token", "api_key"):
        assert public.get("/api/status", params={name: value}).status_code == 401


def test_c15_a_revoked_or_expired_token_is_a_wrong_one(public: Api) -> None:
    gone, old = public.token("admin"), public.token("admin", lifetime_s=3600)
    assert public.get("/api/status", headers=gone).status_code == 200
    assert public.get("/api/status", headers=old).status_code == 200
    name = next(one.name for one in public.tokens() if one.expires_at is None)
    public.ledger.write(tokens.revoke, name, by=OPERATOR)
    table = schema.tokens
    change(public.ledger, table, table.c.expires_at.is_not(None), expires_at=1)
    answers = [public.get("/api/status", headers=header) for header in (gone, old)]
    assert [answer.json()["code"] for answer in answers] == ["token_invalid", "token_invalid"]


def test_c15_of_a_token_the_ledger_holds_only_the_hash(public: Api) -> None:
    value = public.token("admin")["Authorization"].removeprefix("Bearer ")
    secret = value.split("_", 2)[2]
    assert not [rows for rows in everything(public.ledger).values() if any(secret in row for row in rows)]


def test_c15_many_wrong_tokens_have_to_wait_and_a_known_one_does_not(public: Api) -> None:
    known = public.token("read")
    assert public.get("/api/status", headers=known).status_code == 200
    answers = [public.get("/api/status", headers={"Authorization": f"Bearer imill_{n}"}) for n in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0
    fresh = public.token("read")
    assert public.get("/api/status", headers=fresh).status_code == 429
    assert public.get("/api/status", headers=known).status_code == 200


def test_c15_who_calls_from_this_machine_needs_no_token_unless_a_proxy_stands_between(local: Api) -> None:
    assert local.get("/api/status").status_code == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert local.get("/api/status", headers={header: "127.0.0.1"}).status_code == 401
    assert local.get("/api/status", headers={"Authorization": "Bearer imill_wrong"}).status_code == 401


def test_c15_each_act_over_http_is_on_record_under_the_name_of_its_token(public: Api) -> None:
    header = public.token("admin")
    (name,) = [one.name for one in public.tokens()]
    row = {"prompt": "a fox", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
    made = public.post("/api/batches", json={"rows": [row]}, headers=header).json()["batch"]
    for path in (f"/api/batches/{made}/pause", f"/api/batches/{made}/resume", f"/api/batches/{made}/cancel"):
        assert public.post(path, headers=header).status_code == 200
    retried = {"states": ["failed"]}
    assert public.post(f"/api/batches/{BATCH}/retry", json=retried, headers=header).json()["jobs"] == 2
    resolved = {"billed": True, "evidence": "invoice 12"}
    assert public.post(f"/api/batches/{BATCH}/resolve", json=resolved, headers=header).json()["attempts"] == 1
    cap = {"scope": "day", "cap_dollars": "5"}
    assert public.client.put("/api/budgets", json=cap, headers=header).status_code == 200
    with public.ledger.read() as tx:
        found = [(act["verb"], act["who"]) for act in list_acts(tx)]
    verbs = ["budget set", "resolve", "retry", "cancel", "resume", "pause", "submit"]
    assert found[:-1] == [(verb, name) for verb in verbs]
    assert found[-1] == ("token create", OPERATOR)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]"])
def test_c16_a_name_that_the_server_was_not_told_of_is_refused(local: Api, host: str) -> None:
    for path in ("/api/health", "/api/status", "/", "/v1/models", "/login"):
        answer = local.get(path, headers={"Host": host})
        assert answer.status_code in (400, 403)


def test_c16_the_names_of_loopback_and_those_allowed_are_answered(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    hosts = frozenset({"localhost", "127.0.0.1", "::1", "images.example.com"})
    with serving(make_service(sqlite_ledger, tmp_path, hosts=hosts)) as api:
        for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:9", "[::1]:8080", "images.example.com"):
            assert api.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "browser",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_c16_what_another_sites_page_sends_changes_nothing(local: Api, browser: dict[str, str]) -> None:
    before = everything(local.ledger)
    for method, path in ROUTES:
        if method != "GET":
            answer = call(local, method, path, headers=browser)
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), path
    plain = local.post(
        "/api/batches", content=b'{"prompt": "x"}', headers={**browser, "Content-Type": "text/plain"}
    )
    assert plain.status_code == 403
    assert everything(local.ledger) == before


def test_c16_our_own_page_and_programs_get_in(local: Api) -> None:
    own = {"Origin": local.url, "Sec-Fetch-Site": "same-origin"}
    assert local.post(f"/api/batches/{BATCH}/pause", headers=own).status_code == 200
    assert local.post(f"/api/batches/{BATCH}/resume").status_code == 200


def test_c16_no_get_changes_anything(local: Api) -> None:
    before = everything(local.ledger)
    for method, path in ROUTES:
        if method == "GET":
            call(local, method, path)
    assert everything(local.ledger) == before


def test_c16_every_answer_keeps_browsers_to_our_own_pages(local: Api) -> None:
    for path in ("/api/health", "/api/nowhere", "/api/a%0Ab", "/nowhere", "/v1/nowhere", "/api/openapi.json"):
        headers = local.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("injection", ["' or 1=1 --", "failed'; drop table jobs;--", "%", "_", "\\", "é\u202e"])
def test_c19_what_a_query_asks_for_is_a_value_and_never_a_part_of_a_statement(local: Api, injection: str) -> None:
    for path, names in (
        (f"/api/batches/{BATCH}/jobs", ("model", "cause")),
        (f"/api/batches/{BATCH}/attempts", ("model", "cause")),
    ):
        for name in names:
            answer = local.get(path, params={name: injection}).json()
            assert [found for found in answer.values() if found] == []
    assert local.get("/api/acts", params={"batch": injection}).json() == {"acts": [], "next": None}
    report = local.get("/api/report", params={"by": f"tag:{injection}"})
    assert [group["key"] for group in report.json()["groups"]] == ["untagged"]
    for path in ("/api/batches", "/api/acts", f"/api/batches/{BATCH}/jobs"):
        assert local.get(path, params={"after": injection}).status_code == 422
    with local.ledger.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 7


def test_a_problem_says_what_happened_and_what_to_do_next(local: Api) -> None:
    answer = local.get("/api/batches/b_NOTTHERE")
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert {"type", "title", "status", "detail", "code", "next"} <= told.keys()
    assert (told["status"], told["code"]) == (404, "no_such_batch")
    assert re.search("/api/batches", told["next"])


def test_a_throttle_forgets_after_its_window() -> None:
    clock = [0.0]
    throttle = Throttle(2, lambda: clock[0])
    for _ in range(2):
        throttle.was_wrong("here", "x")
    assert throttle.wait_s("here", "y") == 61
    assert throttle.wait_s("there", "y") == 0
    clock[0] = 61.0
    assert throttle.wait_s("here", "y") == 0
