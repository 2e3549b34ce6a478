"""/api/batches: manifests of every form become one batch, once; and what a person decides about it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from tests.integration.apis import LINE, NDJSON, Api, make_service, serving
from tests.integration.commands import fill
from tests.integration.ledgers import all_at_once, count

LINES = b"".join(json.dumps(LINE | {"prompt": f"fox {n}"}).encode() + b"\n" for n in range(3))
SHEET = "SKU;title;model;size;quality\n00417;chair;gpt-image-2;1024x1024;low\n".encode("utf-8-sig")
READ_SHEET = {"map": "id=SKU", "prompt_template": "{title}"}


@pytest.fixture
def api(ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    """On each engine."""
    with serving(make_service(ledger, tmp_path)) as api:
        yield api


@pytest.fixture
def small(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    with serving(make_service(sqlite_ledger, tmp_path)) as api:
        yield api


def send(api: Api, content: bytes = LINES, key: str | None = None, **settings: str) -> dict[str, object]:
    headers = {"Content-Type": NDJSON} | ({"Idempotency-Key": key} if key else {})
    answer = api.post("/api/batches", content=content, params=settings, headers=headers)
    return {"status": answer.status_code, **answer.json()}


def batches(ledger: Ledger) -> int:
    return count(ledger, schema.batches)


def left_behind(api: Api) -> list[Path]:
    return list(api.service.uploads.glob("*"))


def test_a_manifest_sent_as_it_is_becomes_a_batch_and_wakes_workers(small: Api) -> None:
    answer = small.post("/api/batches", content=LINES, headers={"Content-Type": NDJSON})
    told = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/batches/{told['batch']}"
    assert (told["jobs"], told["state"], told["duplicate_of_earlier_submit"]) == (3, "open", False)
    assert small.woken == [(told["batch"], 3)]
    assert left_behind(small) == []


def test_the_same_rows_come_as_a_form_as_json_and_as_lines(small: Api) -> None:
    form = small.post("/api/batches", files={"manifest": ("autumn.csv", SHEET)}, data=READ_SHEET | {"tag": "a=b"})
    assert (form.status_code, form.json()["jobs"]) == (202, 1)
    made = form.json()["batch"]
    assert small.get(f"/api/batches/{made}").json()["name"] == "autumn"
    (job,) = small.get(f"/api/batches/{made}/jobs").json()["jobs"]
    assert (job["custom_id"], job["tags"]) == ("00417", {"a": "b"})
    rows = small.submit({"prompt": "a fox"}, {"prompt": "an owl"}, name="birds", budget_dollars="2.50")
    assert rows.status_code == 202
    stands = small.get(f"/api/batches/{rows.json()['batch']}").json()
    assert (stands["name"], stands["jobs"]["queued"]) == ("birds", 2)
    assert stands["budget_nanodollars"] == 2_500_000_000


def test_settings_of_the_body_win_over_those_of_the_query(small: Api) -> None:
    body = {"rows": [LINE], "settings": {"name": "inner"}}
    made = small.post("/api/batches?name=outer&budget_dollars=3", json=body).json()["batch"]
    stands = small.get(f"/api/batches/{made}").json()
    assert (stands["name"], stands["budget_nanodollars"]) == ("inner", 3_000_000_000)


def test_a_dry_run_tells_the_price_and_records_nothing(small: Api) -> None:
    told = send(small, dry_run="1")
    assert (told["status"], told["ok"], told["accepted"]) == (200, True, 3)
    assert isinstance(told["ceiling_nanodollars"], int)
    assert (batches(small.ledger), small.woken) == (0, [])


@pytest.mark.parametrize(
    ("content", "settings", "status", "code"),
    [
        (b'{"prompt": "", "model": "gpt-image-2"}\n', {}, 422, "manifest_invalid"),
        (b"", {}, 422, "manifest_unreadable"),
        (b"\xff\xfe\x00\x01", {}, 422, "manifest_unreadable"),
        (LINES, {"budget_dollars": "1e9"}, 422, "invalid_request"),
        (LINES, {"budgt_dollars": "5"}, 422, "invalid_request"),
        (LINES, {"max_attempts": "0"}, 422, "invalid_request"),
        (LINES, {"tag": "season"}, 400, "usage"),
        (LINES, {"map": "id"}, 400, "usage"),
    ],
)
def test_what_cannot_be_a_batch_is_refused_with_the_reason(
    small: Api, content: bytes, settings: dict[str, str], status: int, code: str
) -> None:
    told = send(small, content, **settings)
    assert (told["status"], told["code"]) == (status, code), told
    assert told["detail"]
    assert (batches(small.ledger), left_behind(small)) == (0, [])


def test_problems_are_told_with_line_field_and_what_to_do(small: Api) -> None:
    told = send(small, LINES + b'{"prompt": "x", "model": "gpt-image-2", "size": "1x1"}\n')
    check = told["check"]
    assert isinstance(check, dict)
    (problem,) = [one for one in check["problems"] if one["severity"] == "error"]
    assert (problem["line"], problem["field"]) == (4, "size")
    assert problem["next"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 422),
        (b'{"rows": []}', 422),
        (b'{"rows": [1]}', 422),
        (b'{"rows": [{}], "more": 1}', 422),
        (b'{"rows": [{}], "settings": 3}', 422),
        (b'{"rows": [{"prompt": 1, "prompt": 2}]}', 400),
        (b'{"rows": ', 400),
        (b'{"rows": [{"n": NaN}]}', 400),
        (b"[" * 100_000, 400),
        (b'{"rows": [{"n": ' + b"9" * 5_000 + b"}]}", 400),
        (b'{"rows": [{"prompt": "\\ud800"}]}', 400),
    ],
)
def test_c18_json_that_is_not_sound_is_refused_by_name(small: Api, body: bytes, status: int) -> None:
    answer = small.post("/api/batches", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert (batches(small.ledger), left_behind(small)) == (0, [])


def test_the_same_manifest_is_the_same_batch_without_any_key(small: Api) -> None:
    first, second = send(small), send(small)
    assert first["batch"] == second["batch"]
    assert second["duplicate_of_earlier_submit"] is True
    assert send(small, again="1")["batch"] != first["batch"]


def test_a_request_repeated_under_its_key_is_the_same_batch_also_when_it_asks_for_another(small: Api) -> None:
    first, second = (send(small, key="k", again="1") for _ in range(2))
    assert first["batch"] == second["batch"]
    assert batches(small.ledger) == 1
    assert len(small.woken) == 1


@pytest.mark.parametrize(("content", "settings"), [(LINES[:60] + LINES[60:] * 2, {}), (LINES, {"name": "other"})])
def test_a_key_that_was_used_for_another_request_is_refused(
    small: Api, content: bytes, settings: dict[str, str]
) -> None:
    first = send(small, key="k")
    told = send(small, content, key="k", **settings)
    assert (told["status"], told["code"], told["batch"]) == (409, "key_reused", first["batch"])
    assert batches(small.ledger) == 1


def test_a_key_is_its_callers_own(small: Api) -> None:
    first = send(small, key="k", again="1")
    header = small.token("submit") | {"Content-Type": NDJSON, "Idempotency-Key": "k"}
    other = small.post("/api/batches?again=1", content=LINES, headers=header).json()
    assert other["batch"] != first["batch"]


def test_a_key_outlives_the_server(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    service = make_service(sqlite_ledger, tmp_path)
    with serving(service) as api:
        first = send(api, key="k", again="1")
    with serving(service) as api:
        assert send(api, key="k", again="1")["batch"] == first["batch"]
        assert send(api, LINES[:-2], key="k")["status"] == 409


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(small: Api, key: str) -> None:
    headers = {"Content-Type": NDJSON, "Idempotency-Key": key}
    answer = small.post("/api/batches", content=LINES, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_key")


def test_of_many_equal_requests_at_once_one_makes_the_batch_and_all_get_it(api: Api) -> None:
    told = all_at_once([lambda: send(api, key="k", again="1") for _ in range(8)])
    assert {one["status"] for one in told} == {202}
    assert len({one["batch"] for one in told}) == 1
    assert batches(api.ledger) == 1
    assert [one["duplicate_of_earlier_submit"] for one in told].count(False) == 1
    assert len(api.woken) == 1


def test_of_two_different_requests_at_once_under_one_key_one_is_refused(api: Api) -> None:
    bodies = [json.dumps(LINE | {"prompt": f"only {n}"}).encode() + b"\n" for n in range(6)]
    told = all_at_once([lambda body=body: send(api, body, key="k") for body in bodies])
    assert sorted(one["status"] for one in told) == [202, *[409] * 5]
    assert batches(api.ledger) == 1
    assert len({one["batch"] for one in told}) == 1


def test_pause_resume_and_cancel_say_what_they_moved(small: Api) -> None:
    made = send(small)["batch"]
    small.woken.clear()
    assert small.post(f"/api/batches/{made}/pause", json={"reason": "lunch"}).json()["state"] == "paused"
    assert small.get(f"/api/batches/{made}").json()["waiting_for"] == "paused: lunch"
    assert small.post(f"/api/batches/{made}/pause").json()["moved"] is False
    resumed = small.post(f"/api/batches/{made}/resume", json={"budget_dollars": "7"}).json()
    assert resumed == {"batch": made, "moved": True, "state": "open"}
    assert small.woken == [(made, 3)]
    assert small.get(f"/api/batches/{made}").json()["budget_nanodollars"] == 7_000_000_000
    assert small.post(f"/api/batches/{made}/cancel").json() == {"batch": made, "jobs": 3, "state": "cancelled"}


def test_retry_queues_jobs_by_state_and_cause_after_a_dry_run_has_told_the_price(small: Api) -> None:
    batch = fill(small.ledger)
    failures = small.get(f"/api/batches/{batch}/failures").json()["causes"]
    asked = {"states": ["failed", "refused", "held"], "cause": "moderation_blocked", "dry_run": True}
    told = small.post(f"/api/batches/{batch}/retry", json=asked).json()
    assert (told["jobs"], told["worst_case_nanodollars"], told["dry_run"]) == (1, 1_000, True)
    assert small.get(f"/api/batches/{batch}").json()["jobs"]["refused"] == 1
    assert small.post(f"/api/batches/{batch}/retry", json=asked | {"dry_run": False}).json()["jobs"] == 1
    stands = small.get(f"/api/batches/{batch}").json()["jobs"]
    assert (stands["refused"], stands["failed"], stands["held"]) == (0, 2, 1)
    assert sum(cause["jobs"] for cause in failures) == 4
    assert small.woken[-1][0] == batch


@pytest.mark.parametrize("states", [[], ["queued"], ["succeeded"], "failed", ["failed"] * 4])
def test_only_jobs_in_trouble_can_be_sent_again(small: Api, states: object) -> None:
    batch = fill(small.ledger)
    assert small.post(f"/api/batches/{batch}/retry", json={"states": states}).status_code == 422
