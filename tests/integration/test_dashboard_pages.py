"""imagemill's pages over a real socket, as a browser without scripts sees them."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.figures import standing
from jobs.report.standing import standing_json
from tests.integration.apis import OPERATOR, Api, make_service, serving
from tests.integration.ledgers import (
    admit_one,
    book,
    change,
    errored,
    make_due,
    new_job,
    open_batch,
    rejected,
    states,
    succeeded,
    unknown,
)
from tests.integration.pages import Page, visit

CANARY = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>\u202e{{7*7}}"
PAGES = ("/", "/costs", "/budgets", "/doubts", "/workers", "/acts", "/submit", "/login")
ROWS = "".join(
    f'{{"custom_id": "r{row}", "model": "gpt-image-1", "size": "1024x1024", "quality": "low", "prompt": "a fox"}}\n'
    for row in range(3)
)


@pytest.fixture
def api(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    with serving(make_service(sqlite_ledger, tmp_path)) as running:
        yield running


@pytest.fixture
def public(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    with serving(make_service(sqlite_ledger, tmp_path, public=True)) as running:
        yield running


def worked(ledger: Ledger, **changes: str) -> str:
    """A batch with a job of every fate: succeeded, failed twice, held, queued."""
    text = changes.get("text", "fox")
    rows = [new_job(row, custom_id=f"{text}{row}", tags={text: text}) for row in range(1, 6)]
    batch_id = open_batch(ledger, rows, budget=100_000, name=changes.get("name", "autumn"))
    for end in (succeeded, rejected, rejected, unknown):
        book(ledger, end(admit_one(ledger, batch_id).attempt_id))
    return batch_id


def test_an_empty_ledger_has_pages_that_say_how_to_begin(api: Api) -> None:
    for path in PAGES:
        assert visit(api, path).answer.status_code == 200, path
    assert "imagemill submit products.csv" in visit(api, "/").text
    assert "No call is in doubt" in visit(api, "/doubts").text


def test_the_figures_of_a_page_are_those_of_status(api: Api) -> None:
    batch_id = worked(api.ledger)
    with api.ledger.read() as tx:
        told = standing_json(standing(tx, batch_id))
    page = visit(api, f"/batches/{batch_id}")
    money = [told[f"{name}_nanodollars"] for name in ("confirmed", "possible", "reserved")]
    assert page.amounts == money == [600, 1000, 0]
    for state, number in told["jobs"].items():
        assert (f"{number} {state}" in page.text) is bool(number), state


def test_no_get_of_any_link_changes_a_row(api: Api, sqlite_url: str) -> None:
    batch_id = worked(api.ledger)
    visit(api, f"/batches/{batch_id}").send("again", "failed:invalid_value")  # a selection has a page as well
    before = dump(sqlite_url)
    seen = crawl(api, "/")
    assert {urlsplit(path).path for path in seen} >= {"/", "/costs.csv", f"/batches/{batch_id}/jobs/1"}
    assert dump(sqlite_url) == before


def test_no_page_names_another_place_or_carries_a_script_or_style_of_its_own(api: Api) -> None:
    worked(api.ledger)
    for path in crawl(api, "/"):
        page = visit(api, path)
        if not page.answer.headers["content-type"].startswith("text/html"):
            continue
        assert "default-src 'none'; script-src 'self'" in page.answer.headers["content-security-policy"]
        for tag, told in page.tags:
            assert tag not in ("style", "iframe", "object", "embed", "base"), path
            assert "style" not in told and not any(name.startswith("on") for name in told), (path, tag, told)
            assert tag != "script" or told["src"].startswith("/static/"), path
            assert not told.get("href", "").startswith(("http:", "https:", "javascript:")), path


def test_text_of_strangers_is_shown_as_text(api: Api) -> None:
    rows = [new_job(row, custom_id=f"{CANARY}{row}", model=CANARY, tags={CANARY: CANARY}) for row in range(1, 4)]
    batch_id = open_batch(api.ledger, rows, name=CANARY)
    for end in (rejected, unknown, succeeded):
        attempt = admit_one(api.ledger, batch_id).attempt_id
        book(api.ledger, end(attempt))
    change(api.ledger, _table("attempts"), error_kind=CANARY, error_message=CANARY, request_id=CANARY)
    change(api.ledger, _table("jobs"), error_kind=CANARY, error_message=CANARY)
    paths = crawl(api, "/")
    for path in [*paths, f"/batches/{quote(CANARY, safe='')}", f"/costs?by={quote(CANARY)}"]:
        answer = api.get(path)
        if answer.headers["content-type"].startswith("text/html"):
            assert "<img src=x" not in answer.text and "<script>alert" not in answer.text, path
            assert "\u202e" not in answer.text and "49}" not in answer.text, path


def test_a_cause_is_retried_as_the_very_set_that_was_seen(api: Api) -> None:
    batch_id = worked(api.ledger)
    asked = visit(api, f"/batches/{batch_id}").send("again", "failed:invalid_value")
    assert "Retry 2 jobs, at most $0.000002" in asked.text and "fox2" in asked.text
    done = asked.send(asked.path)
    assert "2 jobs queued again" in done.text
    assert states(api.ledger, batch_id) == {"succeeded": 1, "held": 1, "queued": 3}
    assert api.woken == [(batch_id, 2)]
    act = visit(api, "/acts").text
    assert OPERATOR in act and "worst case $0.000002" in act and "moved 2" in act


def test_a_set_that_changed_is_not_sent(api: Api) -> None:
    batch_id = worked(api.ledger)
    asked = visit(api, f"/batches/{batch_id}").send("again", "failed:invalid_value")
    visit(api, f"/batches/{batch_id}").send("again", "failed:invalid_value").send(_last_selection(api))
    refused = asked.send(asked.path)
    assert refused.answer.status_code == 409 and "changed since you saw them" in refused.text
    assert states(api.ledger, batch_id)["queued"] == 3


def test_a_set_is_sent_once(api: Api) -> None:
    batch_id = worked(api.ledger)
    asked = visit(api, f"/batches/{batch_id}").send("again", "failed:invalid_value")
    asked.send(asked.path)
    again = asked.send(asked.path)
    assert again.answer.status_code == 409 and "already" in again.text


def test_held_jobs_are_named_as_maybe_paid_before_they_are_sent(api: Api) -> None:
    batch_id = worked(api.ledger)
    asked = visit(api, f"/batches/{batch_id}").send("again", "held:read_timeout")
    assert "1 job may have been paid for already" in asked.text
    asked.send(asked.path)
    assert "held" not in states(api.ledger, batch_id)


def test_a_batch_is_paused_resumed_and_cancelled_by_buttons(api: Api) -> None:
    batch_id = worked(api.ledger)
    page = visit(api, f"/batches/{batch_id}").send("act", "/pause")
    assert "paused" in page.text
    page = page.send("act", "/resume")
    assert _state(api, batch_id) == "open" and api.woken == [(batch_id, 1)]
    asked = visit(api, f"/batches/{batch_id}/cancel")
    assert "Cancel 1 queued job" in asked.text and _state(api, batch_id) == "open"
    asked.send(f"/batches/{batch_id}/cancel")
    assert _state(api, batch_id) == "cancelled"


def test_a_form_of_another_page_is_refused(api: Api) -> None:
    batch_id = worked(api.ledger)
    token = visit(api, f"/batches/{batch_id}").forms["act"].fields["form_token"]
    path = f"/batches/{batch_id}/pause"
    assert api.post(path, data={"form_token": "guessed"}).status_code == 403
    assert api.post(path).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert api.post(path, data={"form_token": token}, headers=headers).status_code == 403, headers
    assert _state(api, batch_id) == "open"
    assert api.post(path, data={"form_token": token}).status_code == 303


def test_a_stranger_signs_in_with_a_token_and_out_again(public: Api) -> None:
    asked = visit(public, "/costs?by=model")
    assert "Sign in" in asked.text and asked.forms["/login"].fields["then"] == ["/costs?by=model"]
    token = public.token("admin")["Authorization"].removeprefix("Bearer ")
    wrong = asked.send("/login", token="imill_wrong")
    assert wrong.answer.status_code == 401 and "not valid" in wrong.text
    page = asked.send("/login", token=token)
    assert page.path == "/costs?by=model"
    cookie = page.answer.history[0].headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and token.lower() not in cookie
    out = page.send("/logout")
    assert "Sign in" in out.text and "Sign in" in visit(public, "/").text


def test_signing_in_leads_nowhere_else(public: Api) -> None:
    token = public.token("read")["Authorization"].removeprefix("Bearer ")
    for place in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = public.post("/login", data={"token": token, "then": place})
        assert answer.headers["location"] == "/", place


def test_who_may_only_read_sees_no_button_and_cannot_act(public: Api) -> None:
    batch_id = worked(public.ledger)
    reader = public.token("read")
    page = visit(public, f"/batches/{batch_id}", headers=reader)
    assert page.forms["act"].buttons == [] and page.forms["again"].buttons == []
    for path in (f"/batches/{batch_id}/pause", f"/batches/{batch_id}/selections", "/budgets", "/workers/resume"):
        assert public.post(path, headers=reader, data={"scope": "day"}).status_code == 403, path
    assert public.get("/submit", headers=reader).status_code == 403


def test_who_judges_results_sends_failed_jobs_again_but_no_held_ones(public: Api) -> None:
    batch_id = worked(public.ledger)
    judge = public.token("review")
    path = f"/batches/{batch_id}/selections"
    assert public.post(path, headers=judge, data={"chosen": "failed"}).status_code == 303
    assert public.post(path, headers=judge, data={"chosen": "held"}).status_code == 403


def test_a_doubt_is_resolved_with_its_evidence_after_a_second_look(api: Api) -> None:
    batch_id = worked(api.ledger)
    page = visit(api, "/doubts")
    seen = page.send("/doubts", verdict="billed", evidence="invoice, line 12")
    assert "$0.000001 becomes confirmed" in seen.text and states(api.ledger, batch_id)["held"] == 1
    done = seen.send("/doubts")
    assert "1 call resolved" in done.text and "No call is in doubt" in done.text
    assert states(api.ledger, batch_id)["failed"] == 3
    assert "invoice, line 12" in visit(api, "/acts").text


def test_a_doubt_needs_a_verdict_and_evidence_and_time(api: Api) -> None:
    worked(api.ledger)
    page = visit(api, "/doubts")
    assert page.send("/doubts", verdict="billed").answer.status_code == 400
    assert page.send("/doubts", evidence="invoice").answer.status_code == 400
    early = page.send("/doubts", verdict="not_billed", evidence="invoice")
    assert early.answer.status_code == 409 and "may still be sent" in early.text


def test_a_cap_is_set_and_taken_away(api: Api) -> None:
    page = visit(api, "/budgets").send("/budgets", scope="day", usd="80")
    assert "$80.00" in page.text
    page = page.send("/budgets", scope="tag", key="team=catalogue", usd="12.50")
    assert "tag team=catalogue" in page.text and "$12.50" in page.text
    page = page.send("/budgets", scope="tag", key="team=catalogue", usd="")
    assert "tag team=catalogue" not in page.text
    assert page.send("/budgets", scope="tag", key="team", usd="1").answer.status_code == 400
    assert page.send("/budgets", scope="batch", key="b_NONE", usd="1").answer.status_code == 404


def test_a_manifest_is_checked_and_priced_before_anything_is_recorded(api: Api) -> None:
    checked = upload(api, ROWS, budget_dollars="5", name="foxes")
    assert "Submit 3 jobs" in checked.text and "budget $5.00" in checked.text
    assert "No batch yet" in visit(api, "/").text
    batch = checked.send(urlsplit(checked.path).path)
    assert batch.path.startswith("/batches/b_") and "foxes" in batch.text
    (woken,) = api.woken
    assert woken[1] == 3
    assert visit(api, checked.path).answer.status_code == 404


def test_a_manifest_with_errors_can_be_submitted_only_without_those_rows(api: Api) -> None:
    broken = ROWS + '{"custom_id": "bad", "model": "gpt-image-1", "size": "7x7", "prompt": "a fox"}\n'
    checked = upload(api, broken)
    assert "Nothing can be submitted" in checked.text and "size" in checked.text
    checked = upload(api, broken, skip_invalid="true")
    assert "1 row with errors will be left out" in checked.text and "Submit 3 jobs" in checked.text


def test_a_checked_manifest_is_its_senders_own(public: Api) -> None:
    ana, ben = public.token("submit"), public.token("submit")
    answer = public.post("/submit", headers=ana, files={"manifest": ("foxes.jsonl", ROWS)})
    path = answer.headers["location"]
    assert public.get(path, headers=ana).status_code == 200
    assert public.get(path, headers=ben).status_code == 404
    assert public.post(path, headers=ben).status_code == 404


def test_galleries_and_lists_show_every_row_once_page_by_page(api: Api) -> None:
    batch_id = open_batch(api.ledger, 130)
    for _ in range(130):
        book(api.ledger, succeeded(admit_one(api.ledger, batch_id).attempt_id))
    for path, mark in ((f"/batches/{batch_id}/images", "/images/a_"), (f"/batches/{batch_id}/jobs", "/jobs/")):
        found = list(_pages(api, path, mark))
        assert len(found) == len(set(found)) == 130, path


def test_batches_are_shown_newest_first_page_by_page(api: Api) -> None:
    made = [open_batch(api.ledger) for _ in range(45)]
    found = [link for link in _pages(api, "/", "/batches/") if link.count("/") == 2]
    assert sorted(found) == sorted(f"/batches/{batch_id}" for batch_id in made)


def test_a_job_shows_its_calls_down_to_the_price_line(api: Api) -> None:
    batch_id = open_batch(api.ledger)
    book(api.ledger, errored(admit_one(api.ledger, batch_id).attempt_id))
    make_due(api.ledger, batch_id)
    attempt_id = admit_one(api.ledger, batch_id).attempt_id
    book(api.ledger, succeeded(attempt_id))
    text = visit(api, f"/batches/{batch_id}/jobs/1").text
    assert "2 calls" in text and "server_error" in text and attempt_id in text
    assert "1 image" in text and "$0.0000006 each" in text and "Charged $0.0000006" in text


def test_costs_come_as_chart_table_and_csv_with_equal_numbers(api: Api) -> None:
    worked(api.ledger)
    for by in ("day", "model", "batch", "outcome", "meter", "tag:fox"):
        page = visit(api, f"/costs?by={quote(by)}")
        assert "$0.0000006" in page.text, by
    text = api.get("/costs.csv?by=model").text
    assert "gpt-image-1,4,1,,0.0000006,600" in text
    assert api.get("/costs?by=nonsense").status_code == 400
    assert api.get("/costs?from=tomorrow").status_code == 400


def test_a_stream_brings_the_fragment_whole_and_with_an_id(api: Api) -> None:
    batch_id = worked(api.ledger)
    with api.client.stream("GET", f"/live/batches/{batch_id}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = iter(answer.iter_lines())
        event = []
        while (line := next(lines)) != "":
            event.append(line)
    assert event[0].startswith("id: ") and all(line.startswith("data: ") for line in event[1:])
    assert "4</b> of 5 jobs ended" in "".join(event)


def test_what_is_not_there_is_a_page_that_says_so(api: Api) -> None:
    for path in ("/batches/b_NONE", "/batches/b_NONE/jobs/1", "/images/a_NONE/0", "/selections/s_NONE", "/nowhere"):
        page = visit(api, path)
        assert page.answer.status_code == 404, path
        assert page.answer.headers["content-type"].startswith("text/html"), path


def upload(api: Api, manifest: str, **fields: str) -> Page:
    token = visit(api, "/submit").forms["/submit"].fields["form_token"][0]
    files = {"manifest": ("foxes.jsonl", manifest)}
    answer = api.post("/submit", data={"form_token": token, **fields}, files=files, follow_redirects=True)
    return Page(api, answer)


def crawl(api: Api, start: str) -> set[str]:
    """Every path that links lead to from here."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop().partition("#")[0]
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        answer = api.get(path, follow_redirects=True)
        assert answer.status_code in (200, 404), path  # 404: pictures that this ledger only tells of
        if answer.headers["content-type"].startswith("text/html"):
            waiting += Page(api, answer).links
    return seen


def dump(sqlite_url: str) -> list[str]:
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def _pages(api: Api, path: str, mark: str) -> Iterator[str]:
    """Links with the mark, over all pages behind `rel=next`."""
    while path:
        page = visit(api, path)
        yield from dict.fromkeys(link for link in page.links if mark in link and "thumbnails" not in link)
        path = next((told["href"] for tag, told in page.tags if told.get("rel") == "next"), "")


def _last_selection(api: Api) -> str:
    table = _table("selections")
    with api.ledger.read() as tx:
        ids = tx.execute(table.select().order_by(table.c.created_at.desc())).scalars().all()
    return f"/selections/{ids[0]}"


def _state(api: Api, batch_id: str) -> str:
    with api.ledger.read() as tx:
        return str(standing(tx, batch_id).state)


def _table(name: str):  # type: ignore[no-untyped-def]
    from jobs.ledger.schema import metadata

    return metadata.tables[name]
