"""Links that break between worker, database and broker: no call unwritten, no answer lost, none made twice.

The longer ones are in tests/slow.
"""

import itertools
from collections.abc import Callable

from tests.acceptance.links import all_called_once, hurried, port_of, waiting_tickets
from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from tests.faults.proxy import Proxy
from tests.services import RedisServer

IN_FLIGHT = 8


def test_s8_commits_cut_before_and_after_they_happen_lose_nothing_and_settle_nothing_twice(
    new_mill: Callable[..., Mill], ledger_url: str, redis_url: str
) -> None:
    """Whoever waits for the reply cannot tell which of the two it was."""
    mill = new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)
    with Proxy(port_of(ledger_url)) as link:
        worker = mill.start_worker(faults=hurried(), database_url=link.through(ledger_url))
        link.change(pattern=b"COMMIT", one_in=2)
        mill.submit(plain_rows(30))
        ways = itertools.cycle(["request", "reply"])

        def enough() -> bool:
            link.change(lose=next(ways))
            return link.lost >= 12

        wait_until(enough, 90, mill.tails)
        link.heal()
        all_called_once(mill, 30, worker)
    assert mill.outcomes().keys() <= {"succeeded", "not_sent"}


def test_s10_a_worker_cut_from_the_broker_works_on_and_is_woken_again_after_it(
    new_mill: Callable[..., Mill], ledger_url: str, redis_server: RedisServer, redis_url: str
) -> None:
    """Packets vanish: nothing tells either side that the other is gone."""
    with Proxy(port_of(redis_url)) as link:
        mill = new_mill(database_url=ledger_url, broker_url=link.through(redis_url), in_flight=IN_FLIGHT)
        worker = mill.start_worker()
        link.change(drop=True)
        said = mill.run("submit", mill.write(plain_rows(20)), within_s=20)
        assert "workers find the batch by themselves" in said.err
        mill.wait_done(20, 60)
        link.heal()
        mill.submit(plain_rows(12), "--again")
        wait_until(lambda: waiting_tickets(redis_server) == 0, 120, mill.tails)
        all_called_once(mill, 32, worker)
