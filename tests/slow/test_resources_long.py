"""Some thousand jobs in one worker: memory is back at its baseline too."""

from tests.acceptance.mill import Mill
from tests.acceptance.resources import run_and_compare


def test_a_worker_holds_no_more_after_six_thousand_jobs_than_after_two_thousand(grown_mill: Mill) -> None:
    run_and_compare(grown_mill, warm_up=2_000, jobs=4_000, memory=True)
