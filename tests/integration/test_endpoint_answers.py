"""Every answer an endpoint can give to a call, and what it costs."""

import asyncio
import errno
import json
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from jobs import files
from jobs.states import Outcome
from tests.integration.benches import KEY, Bench, call, run, run_with_files, until
from tests.integration.scripted_server import (
    Exchange,
    answers,
    hang,
    response,
    scripted,
)
from tests.integration.test_sse import event
from tests.pictures import USAGE, document, noise, picture, text
from worker.calls import Answer

# Answers that report errors


def test_an_api_error_is_judged_with_its_headers(tmp_path: Path) -> None:
    error = {"error": {"code": "rate_limit_exceeded", "type": "requests", "message": "slow", "param": None}}
    answer, _ = run(tmp_path, answers(429, error, {"Retry-After": "3", "x-request-id": "r2"}))
    assert (answer.outcome, answer.error_kind, answer.retryable) == (Outcome.THROTTLED, "rate_limit_exceeded", True)
    assert (answer.rate.retry_after_s, answer.request_id, answer.http_status) == (3.0, "r2", 429)


def test_c12_an_error_that_echoes_the_key_is_scrubbed(tmp_path: Path) -> None:
    error = {
        "error": {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}"},
        "usage": {"k": KEY},
    }
    answer, _ = run(tmp_path, answers(401, error))
    assert answer.outcome is Outcome.REJECTED
    assert answer.pause is not None
    assert "[secret]" in answer.pause.message


ESCAPED = KEY.replace("sk", "\\u0073k")
HEADERS = {"x-request-id": f"for {KEY}", "location": f"/{KEY}", "x-ratelimit-limit-requests": KEY}
TOLD = f'{{"{ESCAPED}": "{ESCAPED}", "a": ["{KEY}"]}}'
PNG = b64encode(picture()).decode()
ECHOES = {
    "error": (401, f'{{"error": {{"code": "{ESCAPED}", "message": "no {ESCAPED}"}}, "usage": {TOLD}}}'),
    "page": (502, f"<title>Bearer {KEY}</title>"),
    "redirect": (307, ""),
    "facts": (
        200,
        f'{{"data": [{{"b64_json": "{PNG}", "revised_prompt": "{ESCAPED}"}}], "usage": {TOLD}, "x": {TOLD}}}',
    ),
    "image": (200, f'{{"data": [{{"b64_json": "{b64encode(KEY.encode()).decode()}"}}]}}'),
    "url": (200, f'{{"data": [{{"url": "http://{KEY}.test/{KEY}"}}, {{"url": "{KEY}://{KEY}"}}]}}'),
    "no answer": (200, f"{KEY} {KEY}"),
    "cut": (200, f'{{"data": [{{"{KEY}'),
}


@pytest.mark.parametrize("status, body", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_c12_no_answer_brings_the_key_that_it_echoes(tmp_path: Path, status: int, body: str, pieces: int) -> None:
    """In headers, names, values, escapes, image bytes, URLs, and cut in the middle (`run` looks for it)."""

    async def script(exchange: Exchange) -> None:
        whole = response(status, body.encode(), HEADERS)
        step = -(-len(whole) // pieces)
        for start in range(0, len(whole), step):
            await exchange.send(whole[start : start + step])
            await asyncio.sleep(0)

    answer, _ = run(tmp_path, script)
    assert answer.request_id == "for [secret]"


def test_a_proxys_page_leaves_a_doubt(tmp_path: Path) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head></html>"
    answer, _ = run(tmp_path, answers(502, page, {"Content-Type": "text/html"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "http_502")


def test_a_server_error_whose_body_is_cut_leaves_a_doubt(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(500, b'{"error": {"type": "server_error", "message": "x"}}')[:-5])
        exchange.writer.close()

    assert run(tmp_path, cut)[0].outcome is Outcome.UNKNOWN


def test_a_client_error_whose_body_is_cut_is_certain_all_the_same(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(400, b'{"error": {"code": "invalid_value"}}')[:-5])
        exchange.writer.close()

    assert run(tmp_path, cut)[0].outcome is Outcome.REJECTED


def test_c3_redirects_of_calls_are_not_followed(tmp_path: Path) -> None:
    answer, server = run(tmp_path, answers(307, b"", {"Location": "/v1/elsewhere"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.REJECTED, "redirected")
    assert "/v1/elsewhere" in (answer.error_message or "")
    assert len(server.requests) == 1


def test_an_error_under_a_status_of_success_is_judged(tmp_path: Path) -> None:
    error = {"error": {"code": "moderation_blocked", "message": "no"}, "usage": USAGE}
    answer, _ = run(tmp_path, answers(200, error))
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.REFUSED, "moderation_blocked", USAGE)


# Paid answers without what was paid for


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"created": 1, "data": []}, "no_image"),
        ({"created": 1}, "no_image"),
        ({"data": [{}]}, "no_image"),
        ({"data": [{"b64_json": None}]}, "no_image"),
        ({"data": "AAAA"}, "no_image"),
        ({"data": [{"b64_json": "AAA"}]}, "bad_base64"),
        ({"data": [{"b64_json": "PGh0bWw+"}]}, "not_an_image"),
    ],
)
def test_a_whole_answer_without_an_image_is_paid_and_lost(tmp_path: Path, body: dict[str, Any], kind: str) -> None:
    answer, _ = run(tmp_path, answers(200, {**body, "usage": USAGE}))
    assert (answer.outcome, answer.error_kind, answer.retryable) == (Outcome.IMAGE_LOST, kind, False)
    assert answer.usage == USAGE


def test_fewer_images_than_asked_are_kept_and_the_rest_is_lost(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, document(picture(), picture("webp")[:-9])), n=3)
    assert (answer.outcome, answer.error_kind) == (Outcome.IMAGE_LOST, "image_cut")
    assert [image.format for image in answer.images] == ["png"]
    assert "1 of 3" in (answer.error_message or "")


def test_more_images_than_asked_are_kept_and_flagged(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, document(picture(), picture("webp"), picture("gif"))))
    assert answer.outcome is Outcome.SUCCEEDED
    assert [image.index for image in answer.images] == [0, 1, 2]
    assert answer.facts["surplus_images"] == 2


def test_parts_that_no_image_names_are_removed(tmp_path: Path) -> None:
    doubled = text(picture())[:-1] + b', "data": [{"b64_json": null}]}'
    answer, _ = run(tmp_path, answers(200, doubled))
    assert (answer.outcome, answer.images) == (Outcome.IMAGE_LOST, ())


@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"", b"{}{}", b'{"data": [', b"\x00" * 9])
def test_a_success_that_cannot_be_read_leaves_a_doubt(tmp_path: Path, body: bytes) -> None:
    assert run(tmp_path, answers(200, body))[0].outcome is Outcome.UNKNOWN


def test_an_answer_beyond_the_cap_is_refused_by_its_length(tmp_path: Path) -> None:
    async def giant(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{")
        await hang(exchange)

    answer, _ = run(tmp_path, giant)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


def test_an_answer_beyond_the_cap_is_refused_as_it_streams(tmp_path: Path) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"data":[{"b64_json":"')
        while True:
            await exchange.send(b"QUJD" * 16_384)

    answer, _ = run(tmp_path, endless, max_image_bytes=100_000)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "disk_failed")])
def test_a_disk_that_refuses_is_named_and_leaves_a_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "the disk refuses")

    monkeypatch.setattr(files, "write_all", refuse)
    answer, _ = run(tmp_path, answers(200, text(picture())))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, kind)


# Compression nobody asked for


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
def test_a_compressed_answer_is_read(tmp_path: Path, encoding: str, window: int) -> None:
    packer = zlib.compressobj(wbits=window)
    body = packer.compress(text(noise(), picture())) + packer.flush()
    answer, _ = run(tmp_path, answers(200, body, {"Content-Encoding": encoding}), n=2)
    assert answer.outcome is Outcome.SUCCEEDED


def test_a_compressed_error_is_read(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"error": {"code": "moderation_blocked"}}') + packer.flush()
    assert run(tmp_path, answers(400, body, {"Content-Encoding": "gzip"}))[0].outcome is Outcome.REFUSED


def test_a_decompression_bomb_ends_at_the_cap(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"a": "' + b"x" * (200 << 20)) + packer.flush()
    answer, _ = run(tmp_path, answers(200, body, {"Content-Encoding": "gzip"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_too_large")


def test_an_unknown_compression_leaves_a_doubt(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, b"\x1b...", {"Content-Encoding": "br"}))
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "not_an_answer")


# Streams


STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


def test_a_stream_brings_its_image(tmp_path: Path) -> None:
    body = event("partial_image", picture()) + event("completed", noise(), usage=USAGE)
    answer, server = run(tmp_path, answers(200, body, STREAM), stream=True)
    assert answer.outcome is Outcome.SUCCEEDED
    assert answer.usage == USAGE
    assert answer.facts == {"partial_images": 1, "items": 1}
    assert server.requests[0].header("Accept") == "text/event-stream"


def test_a_stream_that_ends_early_leaves_a_doubt(tmp_path: Path) -> None:
    answer, _ = run(tmp_path, answers(200, event("partial_image", picture()), STREAM), stream=True)
    assert (answer.outcome, answer.error_kind) == (Outcome.UNKNOWN, "answer_cut")


def test_a_stream_cut_after_its_last_image_lost_nothing(tmp_path: Path) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(response(200, event("completed", picture(), usage=USAGE) + b" " * 99, STREAM)[:-50])
        exchange.writer.close()

    assert run(tmp_path, cut, stream=True)[0].outcome is Outcome.SUCCEEDED


def test_an_error_inside_a_stream_is_judged(tmp_path: Path) -> None:
    body = b'event: error\ndata: {"error": {"code": "moderation_blocked", "message": "no"}}\n\n'
    assert run(tmp_path, answers(200, body, STREAM), stream=True)[0].outcome is Outcome.REFUSED


def test_a_plain_answer_to_a_stream_request_is_read(tmp_path: Path) -> None:
    assert run(tmp_path, answers(200, text(picture())), stream=True)[0].outcome is Outcome.SUCCEEDED


# Answers by URL


def test_images_by_url_are_fetched_within_the_call(tmp_path: Path) -> None:
    answer, server = run_with_files(
        tmp_path, {"/f/a.png": picture(), "/f/b": picture("webp")}, ["/f/a.png", "/f/b"]
    )
    assert answer.outcome is Outcome.SUCCEEDED
    assert [(image.index, image.format) for image in answer.images] == [(0, "png"), (1, "webp")]
    assert [request.header("Authorization") for request in server.requests[1:]] == [None, None]


def test_an_expired_url_is_a_lost_image_and_no_second_call(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {}, ["/f/gone.png"])
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.IMAGE_LOST, "image_url_failed", USAGE)
    assert [request.target for request in server.requests] == ["/v1/images/generations", *["/f/gone.png"] * 3]


def test_an_answer_of_urls_without_end_is_bounded(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {"/f/a.gif": picture("gif")}, ["/f/a.gif"] * 500)
    assert answer.outcome is Outcome.IMAGE_LOST
    assert len(answer.images) == len(server.requests) - 1 == 64


def test_the_endpoints_own_host_is_not_allowed_by_itself(tmp_path: Path) -> None:
    answer, server = run_with_files(tmp_path, {"/f/a.png": picture()}, ["/f/a.png"], allowed=False)
    assert (answer.outcome, answer.error_kind) == (Outcome.IMAGE_LOST, "blocked_url")
    assert len(server.requests) == 1


def test_a_call_cancelled_during_the_download_is_paid_and_lost(tmp_path: Path) -> None:
    async def main() -> Answer:
        async def script(exchange: Exchange) -> None:
            if exchange.target.startswith("/f/"):
                await hang(exchange)
            body = {"data": [{"url": f"http://127.0.0.1:{server.port}/f/slow"}], "usage": USAGE}
            await exchange.send(response(200, json.dumps(body).encode()))

        async with scripted(script) as server:
            options = {"allow_private_hosts": [f"127.0.0.1:{server.port}"]}
            async with Bench(tmp_path, server.base_url, **options) as bench:
                task = asyncio.create_task(bench.endpoint.call(call()))
                await until(lambda: len(server.requests) == 2)
                task.cancel()
                return await task

    answer = asyncio.run(main())
    assert (answer.outcome, answer.error_kind, answer.usage) == (Outcome.IMAGE_LOST, "image_url_failed", USAGE)
