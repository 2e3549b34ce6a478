"""How people keep to a rate limit without imagemill: one process of several, run by bench_limits.py.

    python -m benchmarks.limit_peers bucket --url URL --seconds S --in-flight N --per-minute P
    python -m benchmarks.limit_peers retry --url URL --seconds S --in-flight N

`bucket` sends evenly, P calls a minute, its process's part of the limit, and again after the advice of a 429.
`retry` is the official SDK with N calls under way, which waits as a 429 advises, or doubles its waits, and retries.
"""

import argparse
import asyncio
import time

from openai import AsyncOpenAI, RateLimitError

RETRIES = 1_000
TIMEOUT_S = 120.0


class Tokens:
    """One every `each_s` seconds."""

    def __init__(self, each_s: float) -> None:
        self._each_s = each_s
        self._next_s = time.monotonic()

    async def take(self) -> None:
        moment_s = max(self._next_s, time.monotonic())
        self._next_s = moment_s + self._each_s
        await asyncio.sleep(moment_s - time.monotonic())


async def _ask(client: AsyncOpenAI, number: int) -> None:
    prompt = f"studio photo of a cup, number {number}"
    await client.images.generate(model="gpt-image-1", prompt=prompt, size="1024x1024", quality="low")


async def _paced(client: AsyncOpenAI, tokens: Tokens, number: int) -> None:
    while True:
        await tokens.take()
        try:
            return await _ask(client, number)
        except RateLimitError as error:
            await asyncio.sleep(float(error.response.headers.get("retry-after-ms", 1000)) / 1000)


async def main(chosen: argparse.Namespace) -> None:
    ends_s = time.monotonic() + chosen.seconds
    tokens = Tokens(60 / chosen.per_minute)
    retries = RETRIES if chosen.kind == "retry" else 0
    client = AsyncOpenAI(base_url=chosen.url, api_key="bench", max_retries=retries, timeout=TIMEOUT_S)

    async def loop(first: int) -> None:
        number = first
        while time.monotonic() < ends_s:
            await (_ask(client, number) if chosen.kind == "retry" else _paced(client, tokens, number))
            number += chosen.in_flight

    tasks = [asyncio.create_task(loop(number)) for number in range(chosen.in_flight)]
    await asyncio.wait(tasks, timeout=chosen.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["bucket", "retry"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--per-minute", type=float, default=60.0)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(_arguments()))
