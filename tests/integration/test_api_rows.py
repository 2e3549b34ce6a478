"""/api: rows by the page and all at once, with the fields of the commands; images; money; events."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import pause_endpoint
from tests.integration.apis import NDJSON, Api, make_service, serving
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import ENDPOINT, admit_one, book, change, open_batch, succeeded

LISTS = ("jobs", "attempts", "images")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Commands on the same ledger and the same image store as the server's."""
    monkeypatch.setenv("IMAGEMILL_STORAGE_URL", str(tmp_path / "data" / "images"))
    commands = Commands(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("IMAGEMILL_STORAGE_URL", str(tmp_path / "data" / "images"))
    return commands


@pytest.fixture
def api(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    with serving(make_service(sqlite_ledger, tmp_path)) as api:
        yield api


def pages(api: Api, path: str, name: str, limit: int) -> list[Any]:
    """Every row of a list, page by page, by its `next` links."""
    rows: list[Any] = []
    following: str | None = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while following:
        answer = api.get(following)
        told = answer.json()
        assert len(told[name]) <= limit
        assert answer.links.get("next", {}).get("url") == told["next"]
        rows += told[name]
        following = told["next"]
    return rows


def lines(answer: httpx.Response) -> list[Any]:
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.text.splitlines()]


def without_links(rows: list[Any]) -> list[Any]:
    return [{name: value for name, value in row.items() if not name.endswith("url")} for row in rows]


@pytest.mark.parametrize("name", LISTS)
def test_rows_are_the_same_page_by_page_as_lines_and_on_the_command_line(
    api: Api, home: Commands, name: str
) -> None:
    batch = fill(api.ledger)
    path = f"/api/batches/{batch}/{name}"
    whole = api.get(path).json()
    assert whole["next"] is None
    assert pages(api, path, name, 2) == whole[name]
    assert lines(api.get(path, headers={"Accept": NDJSON})) == whole[name]
    assert without_links(whole[name]) == home(name, batch, "--jsonl").rows()
    assert whole[name]


def test_batches_that_began_at_the_same_moment_are_each_listed_once(api: Api) -> None:
    made = {open_batch(api.ledger) for _ in range(7)}
    change(api.ledger, schema.batches, created_at=1_000)
    newest = open_batch(api.ledger)
    found = [line["batch"] for line in pages(api, "/api/batches", "batches", 3)]
    assert found[0] == newest
    assert (len(found), set(found)) == (8, made | {newest})


def test_a_list_as_lines_stops_at_its_limit_and_goes_on_behind_a_row(api: Api) -> None:
    batch = open_batch(api.ledger, 30)
    path = f"/api/batches/{batch}/jobs"
    found = lines(api.get(f"{path}?limit=4&after=10", headers={"Accept": NDJSON}))
    assert [job["row"] for job in found] == [11, 12, 13, 14]


def test_all_rows_come_as_lines_over_many_pieces(api: Api) -> None:
    batch = open_batch(api.ledger, 4_500)
    found = lines(api.get(f"/api/batches/{batch}/jobs", headers={"Accept": NDJSON}))
    assert [job["row"] for job in found] == list(range(1, 4_501))


def test_rows_are_chosen_by_state_model_and_cause(api: Api) -> None:
    batch = fill(api.ledger)

    def found(name: str, **chosen: str) -> list[int]:
        return [row["row"] for row in api.get(f"/api/batches/{batch}/{name}", params=chosen).json()[name]]

    assert found("jobs", state="succeeded") == [1, 2]
    assert found("jobs", cause="moderation_blocked") == [4]
    assert found("jobs", model="no-such-model") == []
    assert found("attempts", outcome="unknown") == [6]
    assert found("attempts", outcome="open") == []


@pytest.mark.parametrize("query", ["state=nonsense", "limit=0", "limit=x", "after=x", "after=1.2", "after=٣"])
def test_a_query_that_means_nothing_is_refused(api: Api, query: str) -> None:
    batch = fill(api.ledger)
    assert api.get(f"/api/batches/{batch}/jobs?{query}").status_code == 422


def test_one_job_is_found_by_its_row(api: Api) -> None:
    batch = fill(api.ledger)
    assert api.get(f"/api/batches/{batch}/jobs/3").json()["custom_id"] == "row-3"
    for row, status in ((8, 404), (0, 422)):
        assert api.get(f"/api/batches/{batch}/jobs/{row}").status_code == status


def test_nothing_of_a_batch_that_is_not_there_is_found(api: Api) -> None:
    fill(api.ledger, id="b_7Q2M0001")
    for name in ("", "/jobs", "/jobs/1", "/attempts", "/images", "/failures", "/events"):
        for batch in ("b_NOTTHERE", "b_7Q2M", "last"):
            assert api.get(f"/api/batches/{batch}{name}").status_code == 404


def test_standing_report_failures_budgets_and_acts_are_those_of_the_commands(api: Api, home: Commands) -> None:
    batch = fill(api.ledger)
    api.client.put("/api/budgets", json={"scope": "tag", "key": "season=autumn", "cap_dollars": "3"})
    pairs = (
        (f"/api/batches/{batch}", ("status", batch, "--json")),
        (f"/api/batches/{batch}/failures", ("failures", batch, "--json")),
        ("/api/report", ("report", "--json")),
        (f"/api/report?batch={batch}&by=tag:season", ("report", batch, "--by", "tag:season", "--json")),
        ("/api/report?by=meter&from=2020-01-01", ("report", "--by", "meter", "--from", "2020-01-01", "--json")),
        ("/api/budgets", ("budget", "list", "--json")),
    )
    moving = ("waiting_for", "oldest_unknown_s", "rate_per_s", "mean_rate_per_s", "eta_s")
    for path, words in pairs:
        answer, command = api.get(path).json(), home(*words).json()
        for name in moving:
            answer.pop(name, None), command.pop(name, None)
        assert answer == command, path
    assert api.get("/api/acts").json()["acts"] == home("acts", "--jsonl").rows()
    status = home("status", "--json").json()
    whole = api.get("/api/status").json()
    assert {name: status[name] for name in whole if name not in moving} == {
        name: whole[name] for name in whole if name not in moving
    }
    assert api.get("/api/metrics").text.splitlines()[0] == home("metrics").out.splitlines()[0]


@pytest.mark.parametrize(
    "query", ["by=colour", "by=tag:", "by=day%0A", "from=yesterday", "from=2026-13-01", "to=0"]
)
def test_a_report_that_cannot_be_made_is_refused(api: Api, query: str) -> None:
    assert api.get(f"/api/report?{query}").status_code == 422


def test_budgets_are_set_and_lifted(api: Api) -> None:
    batch = fill(api.ledger)
    caps: list[dict[str, Any]] = [
        {"scope": "overall", "cap_dollars": "100"},
        {"scope": "day", "cap_dollars": "0.000000001"},
        {"scope": "tag", "key": "season=autumn", "cap_dollars": "3"},
        {"scope": "batch", "key": batch, "cap_dollars": "4.5"},
    ]
    for cap in caps:
        (found,) = api.client.put("/api/budgets", json=cap).json()["budgets"]
        assert found["scope"] == cap["scope"]
    listed = api.get("/api/budgets").json()["budgets"]
    assert [one["cap_nanodollars"] for one in listed] == [100 * 10**9, 1, 3 * 10**9, 4_500_000_000]
    for cap in caps:
        assert api.client.put("/api/budgets", json=cap | {"cap_dollars": None}).json() == {"budgets": []}
    assert api.get("/api/budgets").json() == {"budgets": []}


@pytest.mark.parametrize(
    ("cap", "status"),
    [
        ({"scope": "week", "cap_dollars": "1"}, 422),
        ({"scope": "day", "key": "2026-11-22", "cap_dollars": "1"}, 422),
        ({"scope": "day"}, 422),
        ({"scope": "day", "cap_dollars": 1}, 422),
        ({"scope": "day", "cap_dollars": "-1"}, 422),
        ({"scope": "tag", "key": "season", "cap_dollars": "1"}, 422),
        ({"scope": "batch", "key": "b_NOTTHERE", "cap_dollars": "1"}, 404),
    ],
)
def test_a_budget_that_means_nothing_is_refused(api: Api, cap: dict[str, Any], status: int) -> None:
    assert api.client.put("/api/budgets", json=cap).status_code == status
    assert api.get("/api/budgets").json() == {"budgets": []}


def test_doubts_are_resolved_by_name_wholly_or_not_at_all(api: Api) -> None:
    batch = fill(api.ledger)
    attempts = {one["outcome"]: one["id"] for one in api.get(f"/api/batches/{batch}/attempts").json()["attempts"]}
    told = {"billed": True, "amount_dollars": "0.0000009", "evidence": "usage page"}
    both = told | {"attempts": [attempts["unknown"], attempts["succeeded"]]}
    refused = api.post("/api/attempts/resolve", json=both)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_resolvable")
    one = told | {"attempts": [attempts["unknown"]]}
    dry = api.post("/api/attempts/resolve", json=one | {"dry_run": True}).json()
    assert (dry["attempts"], dry["billed_nanodollars"], dry["dry_run"]) == (1, 900, True)
    assert api.get(f"/api/batches/{batch}").json()["jobs"]["held"] == 1
    done = api.post("/api/attempts/resolve", json=one | {"retry": True}).json()
    assert (done["billed_nanodollars"], done["jobs_queued"]) == (900, 1)
    assert api.woken == [(batch, 1)]
    assert api.get("/api/acts").json()["acts"][0]["evidence"] == "usage page"


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"billed": False, "evidence": "invoice"}, 409),
        ({"billed": False, "evidence": "  "}, 422),
        ({"billed": False, "amount_dollars": "1", "evidence": "invoice"}, 422),
        ({"evidence": "invoice"}, 422),
        ({"billed": True}, 422),
    ],
)
def test_a_resolution_that_cannot_be_is_refused(api: Api, told: dict[str, Any], status: int) -> None:
    """A call can be freed only when no process could send it any more."""
    batch = fill(api.ledger)
    assert api.post(f"/api/batches/{batch}/resolve", json=told).status_code == status
    assert api.get(f"/api/batches/{batch}").json()["jobs"]["held"] == 1


def test_an_attempt_that_is_not_there_cannot_be_resolved(api: Api) -> None:
    told = {"billed": True, "evidence": "invoice", "attempts": ["a_NOTTHERE"]}
    assert api.post("/api/attempts/resolve", json=told).status_code == 404


def test_an_endpoint_that_account_trouble_stopped_goes_on(api: Api) -> None:
    api.ledger.write(pause_endpoint, ENDPOINT, None, "invalid_api_key", "wrong key")
    assert api.post("/api/endpoints/resume").json() == {"endpoint_pauses_lifted": 1}
    assert api.post("/api/endpoints/resume").json() == {"endpoint_pauses_lifted": 0}


def store_image(api: Api, data: bytes, kind: str = "png", width: int = 640, height: int = 480) -> dict[str, Any]:
    """The one image of a new batch; its row says what the bytes are."""
    batch = open_batch(api.ledger)
    attempt = admit_one(api.ledger, batch).attempt_id
    book(api.ledger, succeeded(attempt))
    digest = hashlib.sha256(data).hexdigest()
    facts = {"sha256": digest, "format": kind, "width": width, "height": height, "bytes": len(data)}
    change(api.ledger, schema.images, schema.images.c.attempt_id == attempt, **facts)
    path = api.service.store.path_of(f"x/{attempt}_0.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    (image,) = api.get(f"/api/batches/{batch}/images").json()["images"]
    found: dict[str, Any] = image
    return found


def picture(width: int = 640, height: int = 480) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(sink, "PNG")
    return sink.getvalue()


def test_an_image_comes_as_its_bytes_and_is_kept_by_the_browser(api: Api) -> None:
    data = picture()
    image = store_image(api, data)
    answer = api.get(image["url"])
    assert (answer.content, answer.headers["Content-Type"]) == (data, "image/png")
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert answer.headers["ETag"] == f'"{image["sha256"]}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    known = api.get(image["url"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    part = api.get(image["url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, data[:4])


def test_a_thumbnail_is_small_and_made_once(api: Api) -> None:
    image = store_image(api, picture())
    answer = api.get(image["thumbnail_url"])
    assert answer.headers["Content-Type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as made:
        assert made.size == (320, 240)
    for path in api.service.store.root.rglob("*.png"):
        path.write_bytes(b"broken")
    assert api.get(image["thumbnail_url"]).content == answer.content


@pytest.mark.parametrize("data", [b"no picture", picture()[:200], b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_c6_of_what_is_no_sound_picture_there_is_no_thumbnail(api: Api, data: bytes) -> None:
    image = store_image(api, data)
    assert api.get(image["thumbnail_url"]).status_code == 404


@pytest.mark.parametrize("kind", ["svg", "html", "unknown"])
def test_c7_what_may_be_a_program_is_only_handed_out_as_a_file(api: Api, kind: str) -> None:
    image = store_image(api, b"<svg onload='alert(1)'/>", kind)
    headers = api.get(image["url"]).headers
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_image_whose_file_is_gone_says_so(api: Api) -> None:
    image = store_image(api, picture())
    for path in api.service.store.root.rglob("*.png"):
        path.unlink()
    assert api.get(image["url"]).json()["code"] == "image_gone"
    assert api.get("/api/images/a_none/0").json()["code"] == "no_such_image"


def events(answer: httpx.Response) -> Iterator[tuple[str, Any, str | None]]:
    """(event, data, id), as they come; comments are passed over."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "event" in found:
            yield found["event"], json.loads(found["data"]), found.get("id")
            found = {}


def test_events_tell_each_change_and_end_with_the_batch(api: Api) -> None:
    batch = open_batch(api.ledger, 2)
    with api.client.stream("GET", f"/api/batches/{batch}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = events(answer)
        name, first, number = next(told)
        assert (name, first["jobs"]["queued"]) == ("standing", 2)
        book(api.ledger, succeeded(admit_one(api.ledger, batch).attempt_id))
        name, second, later = next(told)
        assert second["jobs"]["succeeded"] == 1
        assert int(later or 0) > int(number or 0)
        api.post(f"/api/batches/{batch}/cancel")
        rest = list(told)
    assert rest[-2][1]["state"] == "cancelled"
    assert rest[-1][0] == "end"


def test_all_batches_together_are_followed_as_well(api: Api) -> None:
    with api.client.stream("GET", "/api/events") as answer:
        told = events(answer)
        assert next(told)[1]["jobs"]["queued"] == 0
        open_batch(api.ledger, 3)
        assert next(told)[1]["jobs"]["queued"] == 3
