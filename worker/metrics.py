"""What a worker process tells Prometheus about its own doings; the home of its library on this side.

Counters only grow, and only by what this process booked: SQL is the book, these are for graphs and alarms. Labels
are bounded: never a batch, a row, a worker or a user. The gauges over the whole ledger are `jobs/report/gauges.py`.
"""

import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Histogram, Info, disable_created_metrics, start_http_server

from jobs.errors import UsageError
from jobs.events import tell
from jobs.ledger.admission import Admission
from jobs.ledger.endings import Booked, Ending
from jobs.ledger.engine import Ledger
from jobs.ledger.overview import Transaction

P = ParamSpec("P")
T = TypeVar("T")

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own gap

ATTEMPTS = Counter(
    "imagemill_attempts_total",
    "Calls by how they ended. A doubt that is resolved later counts as both.",
    ("provider", "model", "outcome"),
)
DURATION = Histogram(
    "imagemill_attempt_duration_seconds",
    "From the first byte sent to the end of the answer, downloads included.",
    ("provider", "model"),
    buckets=(1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600),
)
IMAGES = Counter("imagemill_images_stored_total", "Image files stored and booked.", ("model", "format"))
IMAGE_BYTES = Counter("imagemill_image_bytes_total", "Their size.", ("model", "format"))
TOKENS = Counter("imagemill_usage_tokens_total", "Tokens charged, by meter.", ("model", "meter"))
SPEND = Counter("imagemill_spend_dollars_total", "Charged, in dollars.", ("provider", "model"))
ADMISSION_WAIT = Histogram(
    "imagemill_admission_wait_seconds",
    "How long a batch with due jobs had nothing admitted, and for which reason.",
    ("reason",),
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)
LEASE_EXPIRED = Counter("imagemill_lease_expired_total", "Workers that this one's sweep found dead.")
TRANSACTION = Histogram(
    "imagemill_ledger_transaction_seconds",
    "Writing transactions, waiting for locks and commit included.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
Info("imagemill_build", "The version at work.").info({"version": version("imagemill")})

_MOST_MODELS = 100
_MOST_BATCHES = 1_000
_WAITS = {
    "rate_limit": "rate",
    "budget": "budget",
    "shared_budget": "budget",
    "batch_paused": "paused",
    "endpoint_paused": "paused",
    "model_paused": "paused",
}
_models: set[str] = set()


def count_booked(booked: Iterable[Booked], endings: Iterable[Ending] = ()) -> None:
    """Count attempts that a committed transaction booked; `endings` says what came with their answers."""
    came = {ending.attempt_id: ending for ending in endings}
    for one in booked:
        provider, model = _provider(one.endpoint), _model(one.model)
        ATTEMPTS.labels(provider, model, one.outcome.value).inc()
        if one.charged_nano > 0:
            SPEND.labels(provider, model).inc(one.charged_nano / 1e9)
        if ending := came.get(one.attempt_id):
            _count_answer(provider, model, ending)


def _count_answer(provider: str, model: str, ending: Ending) -> None:
    if ending.duration_ms:
        DURATION.labels(provider, model).observe(ending.duration_ms / 1000)
    for image in ending.images:
        IMAGES.labels(model, image.format).inc()
        IMAGE_BYTES.labels(model, image.format).inc(image.bytes)
    for charge in ending.cost.charges if ending.cost else ():
        if charge.unit == "token":
            TOKENS.labels(model, charge.meter.value).inc(charge.quantity)


@lru_cache(maxsize=64)
def _provider(endpoint: str) -> str:
    """The host that was called."""
    return urlsplit(endpoint).netloc or "none"


def _model(name: str) -> str:
    """Names come from manifests: more than a hundred of them share one label."""
    if name not in _models:
        if len(_models) >= _MOST_MODELS:
            return "other"
        _models.add(name)
    return name


class AdmissionWaits:
    """How long each batch waits for admission, and why. For one thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._begun: dict[str, tuple[str, float]] = {}

    def asked(self, batch_id: str, admission: Admission) -> None:
        """A batch was asked for work: a wait begins, goes on, or has ended."""
        waits = admission.wait if not admission.admitted else None
        reason = _WAITS.get(waits.reason) if waits else None
        begun = self._begun.get(batch_id)
        if begun and begun[0] != reason:
            ADMISSION_WAIT.labels(begun[0]).observe(self._clock_s() - begun[1])
            del self._begun[batch_id]
        if reason and batch_id not in self._begun and len(self._begun) < _MOST_BATCHES:
            self._begun[batch_id] = (reason, self._clock_s())


class TimedLedger(Ledger):
    """A ledger whose writing transactions are timed."""

    def write(self, act: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        with TRANSACTION.time():
            return super().write(act, *args, **kwargs)


def serve(host: str, port: int | None) -> Callable[[], None]:
    """Serve the metrics at http://host:port/metrics, where a port is given; 0: any that is free. Returns what ends
    it. Raises UsageError when the place is taken."""
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at {host}:{port}: {error.strerror or error}; each worker of a machine needs "
            "a port of its own (IMAGEMILL_METRICS_PORT), 0 takes any that is free and logs it"
        ) from error
    tell("metrics_served", url=f"http://{host}:{server.server_port}/metrics")
    return partial(_stop, server, thread)


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
