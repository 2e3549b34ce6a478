"""The programs that a throughput benchmark compares, each run in a process of its own.

    imagemill   admit, call, decode, spool, store, settle: everything, on a fresh embedded ledger
    bare        the same HTTP client in a loop that reads each answer and records nothing
    sdk         the official openai SDK behind a semaphore; images are decoded by nobody

Prints one JSON object: seconds, cpu_s and rss_mb of this process.
"""

import argparse
import asyncio
import json
import os
import resource
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

PROMPT = "studio photo of a cup, number {}"
MODEL, QUALITY, SIZE = "gpt-image-1", "low", "1024x1024"


async def _in_flight(count: int, most: int, one: Callable[[int], Awaitable[object]]) -> None:
    """`count` calls, `most` at a time, by as many workers: no semaphore queue to measure."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(worker() for _ in range(most)))


async def bare(url: str, jobs: int, in_flight: int) -> None:
    import aiohttp
    import httpx
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async with httpx.AsyncClient(transport=AiohttpTransport(client=session), timeout=120) as client:

        async def one(number: int) -> None:
            body = {"model": MODEL, "prompt": PROMPT.format(number), "size": SIZE, "quality": QUALITY}
            headers = {"Authorization": "Bearer bench", "Accept-Encoding": "identity"}
            answer = await client.post(f"{url}/images/generations", json=body, headers=headers)
            assert answer.status_code == 200, answer.text[:200]

        await _in_flight(jobs, in_flight, one)


async def sdk(url: str, jobs: int, in_flight: int) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="bench", max_retries=0, timeout=120) as client:

        async def one(number: int) -> None:
            answer = await client.images.generate(
                model=MODEL, prompt=PROMPT.format(number), size=SIZE, quality=QUALITY
            )
            assert answer.data

        await _in_flight(jobs, in_flight, one)


def prepare_imagemill(url: str, jobs: int, in_flight: int, folder: Path) -> Callable[[], None]:
    """A recorded batch, ready to run: submitting is not what is measured here."""
    from jobs import events
    from jobs.catalogue.prices import PriceBook
    from jobs.ledger.engine import Ledger
    from jobs.ledger.migrate import upgrade
    from jobs.manifest import ManifestOptions
    from jobs.settings import load_settings
    from jobs.submit import Policy, submit
    from worker.embedded import run_batch

    events.configure("error")
    os.environ["IMAGEMILL_API_KEY"] = "bench"
    settings = load_settings(data_dir=folder, endpoint_url=url, in_flight=in_flight)
    manifest = folder / "manifest.jsonl"
    rows = ({"prompt": PROMPT.format(n), "model": MODEL, "size": SIZE, "quality": QUALITY} for n in range(jobs))
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ledger = Ledger(os.environ.get("BENCH_DATABASE_URL") or settings.ledger_url)
    upgrade(ledger)
    book = PriceBook.load(None)
    batch = submit(ledger, manifest, ManifestOptions(), Policy(again=True), book).batch_id
    assert batch is not None

    def run() -> None:
        ended = run_batch(ledger, settings, book, batch, on_standing=lambda standing: None, stop=threading.Event())
        assert ended.jobs["succeeded"] == jobs, ended.jobs

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["imagemill", "bare", "sdk"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="empty; ledger, spool and images go there")
    chosen = parser.parse_args()
    loops = {"bare": bare, "sdk": sdk}
    if chosen.name == "imagemill":
        run = prepare_imagemill(chosen.url, chosen.jobs, chosen.in_flight, chosen.folder)
    else:
        loop = loops[chosen.name]

        def run() -> None:
            asyncio.run(loop(chosen.url, chosen.jobs, chosen.in_flight))

    started_s, cpu_s = time.monotonic(), time.process_time()
    run()
    figures = {"seconds": time.monotonic() - started_s, "cpu_s": time.process_time() - cpu_s}
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures | {"rss_mb": rss_mb}))


if __name__ == "__main__":
    main()
