"""After a run a worker holds what it held before: no file, thread or connection more."""

from tests.acceptance.mill import Mill
from tests.acceptance.resources import run_and_compare


def test_a_worker_gives_back_what_a_run_took(grown_mill: Mill) -> None:
    run_and_compare(grown_mill, warm_up=40, jobs=300, memory=False)
