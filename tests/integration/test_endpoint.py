"""One call against a scripted server: what is sent, what it brings, and the settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.states import Outcome
from tests.integration.benches import BODY, KEY, Bench, call, run
from tests.integration.scripted_server import (
    Exchange,
    answers,
    response,
    scripted,
)
from tests.pictures import USAGE, document, noise, picture, text
from worker.endpoint import Endpoint
from worker.spool import Spool


def test_a_call_brings_its_image(tmp_path: Path) -> None:
    script = answers(200, document(picture(), size="20x10"), {"x-request-id": "req_1"})
    answer, server = run(tmp_path, script)
    assert answer.outcome is Outcome.SUCCEEDED
    assert (answer.http_status, answer.request_id, answer.usage) == (200, "req_1", USAGE)
    assert answer.facts == {"created": 1589478378, "size": "20x10", "items": 1}
    assert [(image.index, image.format, image.width, image.height) for image in answer.images] == [
        (0, "png", 20, 10)
    ]
    assert answer.seconds > 0
    assert len(server.requests) == 1


def test_the_request_is_what_was_asked_for_to_the_byte(tmp_path: Path) -> None:
    _, server = run(tmp_path, answers(200, document(picture())))
    (request,) = server.requests
    assert request.head.startswith(b"POST /v1/images/generations HTTP/1.1\r\n")
    assert request.body == BODY
    sent = {name: request.header(name) for name in ("Authorization", "Content-Type", "Accept-Encoding", "Cookie")}
    assert sent == {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Cookie": None,
    }
    assert request.header("X-Client-Request-Id") == "attempt-1"
    assert request.header("Idempotency-Key") == "job-key-1"


def test_large_answers_are_streamed_to_parts(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, text(noise(), noise(500))), n=2)
    assert answer.outcome is Outcome.SUCCEEDED
    assert [image.bytes for image in answer.images] == [len(noise()), len(noise(500))]


def test_connections_are_kept_for_the_next_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted(answers(200, text(picture()))) as server, Bench(tmp_path, server.base_url) as bench:
            for _ in range(3):
                assert (await bench.endpoint.call(call())).outcome is Outcome.SUCCEEDED
            assert (len(server.requests), server.connections) == (3, 1)
            for path in bench.spool.folder.glob("*.part"):
                path.unlink()

    asyncio.run(main())


def test_hundreds_of_calls_are_in_flight_at_once(tmp_path: Path) -> None:
    everybody = 300

    async def main() -> None:
        arrived = asyncio.Event()

        async def together(exchange: Exchange) -> None:
            if len(server.requests) >= everybody:
                arrived.set()
            await arrived.wait()
            await exchange.send(response(429, b"{}"))

        async with scripted(together) as server, Bench(tmp_path, server.base_url) as bench, asyncio.timeout(60):
            got = await asyncio.gather(*(bench.endpoint.call(call()) for _ in range(everybody)))
            assert {answer.outcome for answer in got} == {Outcome.THROTTLED}

    asyncio.run(main())


# Settings that cannot work


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("", KEY),
        ("api.example.com/v1", KEY),
        ("ftp://api.example.com/v1", KEY),
        ("https://user:pass@api.example.com/v1", KEY),
        ("https://api.example.com/v1?x=1", KEY),
        ("https://api.example.com:port/v1", KEY),
        ("https://api.example.com/v1", "sk with blanks"),
        ("https://api.example.com/v1", "schlüssel"),
        ("https://api.example.com/v1", "a\r\nX-Evil: 1"),
    ],
)
def test_a_base_url_or_key_that_cannot_work_is_refused_at_once(tmp_path: Path, base_url: str, key: str) -> None:
    spool = Spool(tmp_path, "w1")
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError) as error:
        Endpoint(base_url, key, spool=spool, disk=pool)
    assert key not in str(error.value)
    spool.close()


def test_a_proxy_is_used_where_one_is_set(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted(answers(200, text(picture()))) as proxy:
            options = {"proxy": f"http://127.0.0.1:{proxy.port}"}
            async with Bench(tmp_path, "http://api.example.com/v1", **options) as bench:
                assert (await bench.endpoint.call(call())).outcome is Outcome.SUCCEEDED
                assert proxy.requests[0].target == "http://api.example.com/v1/images/generations"

    asyncio.run(main())


def test_proxy_variables_of_the_environment_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert run(tmp_path, answers(200, text(picture())))[0].outcome is Outcome.SUCCEEDED
