"""The OpenAPI document is true: schemathesis reads it, calls every operation with what it allows and what it does
not, and finds no answer that the document does not tell of."""

import subprocess
import sys
from pathlib import Path

from jobs.api.throttle import Throttle
from jobs.ledger.engine import Ledger
from jobs.ledger.listing import Filter, list_attempts
from tests.integration.apis import make_service, serving
from tests.integration.commands import fill

BATCH = "b_7Q2M0001"
WITHIN_S = 500
CONFIG = """
[parameters]
"path.batch" = "{batch}"
"path.attempt" = "{attempt}"
"path.index" = 0
"path.row" = 1

# What a manifest may hold is more than a schema can say: rows that fit it may still have problems, which 422 names.
[[operations]]
include-name = "POST /batches"
checks.positive_data_acceptance.enabled = false
"""


def test_schemathesis_finds_no_failure(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    fill(sqlite_ledger, id=BATCH)
    with sqlite_ledger.read() as tx:
        attempt = next(iter(list_attempts(tx, BATCH, Filter())))["id"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(batch=BATCH, attempt=attempt))
    service = make_service(sqlite_ledger, tmp_path, public=True, throttle=Throttle(10**9))
    with serving(service) as api:
        token = api.token("admin")["Authorization"]
        command = [str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run"]
        command += [f"{api.url}/api/openapi.json", "--header", f"Authorization: {token}"]
        # One worker: Python 3.11 parses for one thread at a time only (python/cpython#106905).
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "1", "--workers", "1"]
        command += ["--exclude-path-regex", "events", "--continue-on-failure", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "Tested: 24" in done.stdout
