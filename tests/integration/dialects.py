"""The official SDK, unchanged, against our own server, over a ledger on which a test's own executor works."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import openai
from openai import OpenAI
from openai.types import Batch, FileObject

from jobs.ledger.engine import Ledger
from tests.integration.apis import Api, make_service, serving
from tests.integration.mills import Mill
from worker.simulator import Simulator

ENDPOINT: Literal["/v1/images/generations"] = "/v1/images/generations"
BODY = {"model": "gpt-image-1", "quality": "low", "size": "1024x1024"}
DAY_S = 24 * 3600


@dataclass
class Dialect:
    """A server, a client of it, and the workers behind it."""

    api: Api
    client: OpenAI
    mill: Mill

    def upload(self, lines: bytes | str, name: str = "prompts.jsonl") -> FileObject:
        content = lines.encode() if isinstance(lines, str) else lines
        return self.client.files.create(file=(name, content), purpose="batch")

    def create(self, *prompts: str, **options: Any) -> Batch:
        return self.create_of(self.upload(batch_lines(*prompts)), **options)

    def create_of(self, file: FileObject, **options: Any) -> Batch:
        return self.client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", **options
        )

    def over(self, network: httpx2.HTTPTransport) -> OpenAI:
        """The same client with the SDK's own retries, over another network."""
        return self.client.with_options(max_retries=2, http_client=httpx2.Client(transport=network))

    def run(self, batch: Batch) -> Batch:
        """Work until nothing is left to do, and look again."""
        self.mill.run(batch.id)
        return self.client.batches.retrieve(batch.id)

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id is not None
        return [json.loads(line) for line in self.client.files.content(file_id).text.splitlines()]


@contextmanager
def dialect_over(ledger: Ledger, simulator: Simulator, folder: Path, **changes: Any) -> Iterator[Dialect]:
    with serving(make_service(ledger, folder, **changes)) as api, client_of(api, "submit") as client:
        yield Dialect(api, client, Mill(ledger, simulator, folder))


def client_of(api: Api, *scopes: str) -> OpenAI:
    key = api.token(*scopes)["Authorization"].removeprefix("Bearer ")
    return OpenAI(api_key=key, base_url=f"{api.url}/v1", max_retries=0, timeout=30)


class LosesAnswers(httpx2.HTTPTransport):
    """A network that loses the first answers on their way back. The requests are kept."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._left = answers
        self.sent: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        self.sent.append(request)
        if self._left:
            self._left -= 1
            answer.read()
            raise httpx2.ReadError("the link was cut", request=request)
        return answer


def batch_lines(*prompts: str, **fields: Any) -> str:
    """OpenAI Batch lines, one for each prompt, of the cheapest kind."""
    return "".join(
        json.dumps(
            {
                "custom_id": f"row-{number}",
                "method": "POST",
                "url": ENDPOINT,
                "body": BODY | {"prompt": prompt} | fields,
            }
        )
        + "\n"
        for number, prompt in enumerate(prompts, 1)
    )


def error_of(caught: openai.APIStatusError) -> dict[str, Any]:
    """The error object as it came."""
    told: dict[str, Any] = caught.response.json()["error"]
    return told
