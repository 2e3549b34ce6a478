"""`scripts/audit` against a vulnerability service of our own: a hole fails it, and so does nothing else."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def service(*bad: str) -> Iterator[str]:
    """Answers as osv.dev does, with a hole in each release of the packages named."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hole = {"id": "GHSA-0000", "aliases": [], "summary": "a hole", "affected": []}
            body = json.dumps({"vulns": [hole]} if asked["package"]["name"] in bad else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/audit"],
        cwd=CHECKOUT,
        env=os.environ | {"OSV_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_c22_a_known_hole_in_a_pinned_package_fails_the_audit() -> None:
    with service("jinja2", "celery") as url:
        done = audit(url)
    assert done.returncode == 1, done.stderr
    assert "celery" in done.stdout


def test_c22_an_audit_that_could_not_be_done_says_so_and_stops_nothing() -> None:
    with service() as url:  # answers, and knows of no hole at all
        done = audit(url)
    assert (done.returncode, done.stdout) == (0, "")
    assert "NOT DONE" in done.stderr
