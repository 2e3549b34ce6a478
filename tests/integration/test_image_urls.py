"""Answers that bring URLs: what is behind them may be gone, late or half; the paid call is never made again."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import job_row
from tests.integration.mills import QUICK, Mill, billed
from worker.simulator import start_in_thread

CHEAP = {"model": "dall-e-2", "size": "256x256", "quality": "standard"}
BEHIND_THE_URL = {
    "url": "succeeded",
    "expired-url": "image_lost",
    "lost-url": "image_lost",
    "file-fail 1": "succeeded",
    "file-fail 9": "image_lost",
    "file-cut 1": "succeeded",
    "file-cut 9": "image_lost",
}
"""What the endpoint does, and how the attempt ends."""
DOWNLOADS = {200: 3 + 1 + 3, 500: 1 + 3, 403: 3, 404: 3}
"""By status: three tries for each image that stays away. Files that are cut begin with 200 as well."""


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


def test_s29_an_image_that_cannot_be_fetched_is_lost_and_paid_for_and_never_called_for_again(mill: Mill) -> None:
    batch = mill.submit(*[f"a fox [[sim: {fault}]]" for fault in BEHIND_THE_URL], **CHEAP)
    here = f"127.0.0.1:{mill.simulator.port}"
    stands = mill.run(batch, in_flight=len(BEHIND_THE_URL), allow_private_hosts=here)
    calls = mill.simulator.calls()
    assert len(calls) == len(BEHIND_THE_URL)
    assert stands.attempts == Counter(BEHIND_THE_URL.values())
    assert (stands.confirmed_nano, stands.possible_nano) == (billed(calls), 0)
    for row, outcome in enumerate(BEHIND_THE_URL.values(), 1):
        job = job_row(mill.ledger, batch, row)
        assert job.state == ("succeeded" if outcome == "succeeded" else "failed")
        assert job.charged_nano == 16_000_000
    fetched = Counter(line["http_status"] for line in mill.simulator.lines("file"))
    assert fetched == DOWNLOADS
    assert_each_file_is_what_was_sent(mill)


def assert_each_file_is_what_was_sent(mill: Mill) -> None:
    sent = {image["sha256"] for call in mill.simulator.calls() for image in call["images"]}
    with mill.ledger.read() as tx:
        kept = set(tx.execute(select(schema.images.c.sha256)).scalars())
    assert {sha256(path.read_bytes()).hexdigest() for path in mill.images()} == kept <= sent
    assert len(mill.images()) == 3
    assert mill.spooled() == []
