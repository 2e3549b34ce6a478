"""What the scenarios of broken links and stopped machines share: a tenth of every time, and looks from outside."""

from typing import Any

from sqlalchemy import make_url

from tests.acceptance.mill import Mill
from tests.acceptance.processes import Process
from tests.acceptance.waiting import wait_until
from tests.faults.launch import tenfold_clock
from tests.services import RedisServer

QUEUE = "imagemill"


def hurried(**more: Any) -> dict[str, Any]:
    """Faults under which every wait of a worker is a tenth of what it is, and more of them."""
    waits = {
        "jobs.ledger.engine:_CONNECT_WITHIN_S": 2,
        "jobs.ledger.engine:_LINK_LOST_AFTER_S": 2,
        "jobs.ledger.engine:_IDLE_IN_TRANSACTION_S": 2,
        "jobs.ledger.recovery:_REPLY_MAY_TAKE_MS": 6_000,
        "worker.network:SEND_WITHIN_S": 2.0,
    }
    return {"constants": tenfold_clock() | waits} | more


def port_of(url: str) -> int:
    port = make_url(url).port
    assert port is not None
    return port


def calls_begun(mill: Mill, number: int) -> None:
    wait_until(lambda: mill.calls_in_flight() == number, 30, mill.tails)


def nobody_was_swept(mill: Mill) -> None:
    """No worker was declared dead, and none believed it."""
    said = "".join(log.read_text(errors="replace") for log in mill.logs)
    assert "sweep_closed" not in said, mill.tails()
    assert "worker_fenced" not in said, mill.tails()


def all_called_once(mill: Mill, jobs: int, *workers: Process) -> None:
    """Every job succeeded by one call, nothing is in doubt or left over, the workers end well."""
    mill.wait_done(jobs, 60)
    wait_until(lambda: mill.states() == {"succeeded": jobs}, 60, mill.tails)
    assert [worker.stop() for worker in workers] == [0] * len(workers)
    assert len(mill.simulator.calls()) == jobs
    assert mill.spooled() == []
    mill.check()


def waiting_tickets(redis_server: RedisServer) -> int:
    with redis_server.client() as client:
        return int(client.llen(QUEUE))
