"""Bodies over HTTP: streamed to the disk, capped in bytes and time, refused early where that can be known."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.api import guard
from jobs.api.uploads import sweep_uploads
from jobs.ledger.engine import Ledger
from tests.integration.apis import LINE, NDJSON, Api, make_service, serving

CAP = 200_000
HEAD = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n{more}\r\n\r\n"


@pytest.fixture
def api(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Api]:
    with serving(make_service(sqlite_ledger, tmp_path, most_upload_bytes=CAP)) as api:
        yield api


def connect(api: Api) -> socket.socket:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def begin(api: Api, more: str, path: str = "/api/batches") -> socket.socket:
    """A request's head, and nothing of its body."""
    link = connect(api)
    link.sendall(HEAD.format(path=path, more=more).encode())
    return link


def answer(link: socket.socket) -> tuple[int, dict[str, object]]:
    with link:
        response = http.client.HTTPResponse(link)
        response.begin()
        return response.status, json.loads(response.read())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_c17_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_sent(api: Api) -> None:
    status, told = answer(begin(api, f"Content-Length: {CAP + 1}"))
    assert (status, told["code"]) == (413, "too_large")


def test_c17_a_body_that_does_not_say_how_large_it_is_is_stopped_at_the_cap(api: Api) -> None:
    link = begin(api, "Transfer-Encoding: chunked")
    for _ in range(CAP // 50_000 + 1):
        link.sendall(chunk(b"x" * 50_000))
    status, told = answer(link)
    assert (status, told["code"]) == (413, "too_large")
    assert list(api.service.uploads.glob("*")) == []


def test_c17_other_bodies_have_a_cap_of_a_mebibyte(api: Api) -> None:
    path = "/api/batches/b_NOTTHERE/retry"
    assert answer(begin(api, f"Content-Length: {1024 * 1024 + 1}", path))[0] == 413


@pytest.mark.parametrize("more", ["Content-Encoding: gzip\r\nContent-Length: 20", "Content-Encoding: br"])
def test_c17_a_compressed_body_is_refused(api: Api, more: str) -> None:
    assert answer(begin(api, more))[0] == 415


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "0x10", "5, 6", "99999999999999999999999"])
def test_c17_a_length_that_is_none_or_has_no_end_is_refused(api: Api, length: str) -> None:
    link = begin(api, f"Content-Length: {length}")
    with link:
        response = http.client.HTTPResponse(link)
        response.begin()
        assert response.status in (400, 413)


def test_c17_a_body_that_drips_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_SILENT_S", 0.2)
    link = begin(api, "Content-Length: 1000")
    link.sendall(b"x")
    status, told = answer(link)
    assert (status, told["code"]) == (408, "too_slow")


def test_c17_a_body_that_never_ends_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_UPLOAD_WITHIN_S", 0.5)
    link = begin(api, "Transfer-Encoding: chunked")
    until = time.monotonic() + 20
    link.settimeout(0.05)
    while time.monotonic() < until:
        link.sendall(chunk(b" "))
        try:
            if link.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    link.settimeout(20)
    status, told = answer(link)
    assert (status, told["code"]) == (408, "too_slow")


def test_a_body_that_is_cut_leaves_no_file_and_no_batch(api: Api) -> None:
    link = begin(api, "Content-Length: 1000")
    link.sendall(json.dumps(LINE).encode())
    link.close()
    deadline = time.monotonic() + 20
    assert api.submit(LINE).status_code == 202
    while list(api.service.uploads.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(api.service.uploads.glob("*")) == []
    assert len(api.get("/api/batches").json()["batches"]) == 1


@pytest.mark.parametrize(
    ("boundary", "body", "code"),
    [
        ("x", b"no form at all", "bad_form"),
        ("x", b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n--x--\r\n', "no_file"),
        (
            "x",
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n1\r\n'
            b'--x\r\nContent-Disposition: form-data; name="b"; filename="b"\r\n\r\n2\r\n--x--\r\n',
            "bad_form",
        ),
        ("", b"--\r\n", "no_file"),
    ],
)
def test_a_form_that_holds_no_one_manifest_is_refused(api: Api, boundary: str, body: bytes, code: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    told = api.post("/api/batches", content=body, headers=headers)
    assert (told.status_code, told.json()["code"]) == (400, code)


def test_a_form_with_too_many_or_too_long_fields_is_refused(api: Api) -> None:
    many = {f"field{n}": "x" for n in range(200)}
    files = {"manifest": ("a.jsonl", json.dumps(LINE).encode())}
    assert api.post("/api/batches", data=many, files=files).status_code == 413
    assert api.post("/api/batches", data={"name": "x" * 70_000}, files=files).status_code == 413


@pytest.mark.parametrize(
    ("told", "name"),
    [("../../etc/passwd.csv", "passwd"), ("C:\\x\\autumn.csv", "autumn"), ("..", "api"), ("\u202egnp.csv", "gnp")],
)
def test_c9_a_clients_file_name_is_only_a_word_for_people(api: Api, told: str, name: str) -> None:
    files = {"manifest": (told, json.dumps(LINE).encode())}
    made = api.post("/api/batches", files=files).json()["batch"]
    assert api.get(f"/api/batches/{made}").json()["name"] == name


def test_a_large_manifest_passes_whole_however_it_is_cut(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    lines = [json.dumps(LINE | {"prompt": f"fox {n} " + "x" * 500}).encode() + b"\n" for n in range(4_000)]
    with serving(make_service(sqlite_ledger, tmp_path)) as api:
        raw = api.post("/api/batches", content=iter(lines), headers={"Content-Type": NDJSON})
        form = api.post("/api/batches", files={"manifest": ("m.jsonl", b"".join(lines))})
    assert (raw.status_code, raw.json()["jobs"]) == (202, 4_000)
    assert form.json()["batch"] == raw.json()["batch"]


def test_what_a_killed_server_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "1.upload").touch()
    (tmp_path / "kept").touch()
    sweep_uploads(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
