"""The books of the far end: every call, what it cost and what it was sent, one JSON object a line.

    call  request_id, attempt_id (X-Client-Request-Id), idempotency_key, arrived_at, model, n, size, quality,
          stream, prompt_sha256, fault, http_status, billed, amount_nanodollars, usage, replay_of,
          images: [sha256, bytes, format, width, height]; written before the first byte of the answer
    end   request_id, attempt_id, ended_at, result: complete, cut (on purpose), disconnected (caller gone)
    file  name, at, http_status, result; for each download from a temporary url

A tester compares them with the ledger. What is not known is null, such as the model of a call without a key
or the status of one that was never answered.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec

from worker.simulator.pictures import Picture
from worker.simulator.values import Arrival, Verdict


class Journal:
    """Append-only. Lines reach the file by one unbuffered write each, so a kill never tears one."""

    def __init__(self, place: Path | Literal["memory"] | None) -> None:
        self._path = place if isinstance(place, Path) else None
        self._lines: list[bytes] | None = [] if place == "memory" else None
        self._fd = None if self._path is None else _open(self._path)

    @property
    def kept(self) -> bool:
        return self._fd is not None or self._lines is not None

    def call(self, arrival: Arrival, verdict: Verdict) -> None:
        """A call that was decided; to be written before any of its answer is sent."""
        if self.kept:
            self._write(_call_line(arrival, verdict))

    def end(self, request_id: str, attempt_id: str | None, result: str) -> None:
        """How its answer ended: complete, cut (on purpose) or disconnected (the caller went away)."""
        if self.kept:
            now = datetime.now(UTC).isoformat()
            self._write(
                {
                    "kind": "end",
                    "request_id": request_id,
                    "attempt_id": attempt_id,
                    "ended_at": now,
                    "result": result,
                }
            )

    def file(self, name: str, http_status: int, result: str) -> None:
        """A download from a temporary url."""
        if self.kept:
            now = datetime.now(UTC).isoformat()
            self._write({"kind": "file", "name": name, "at": now, "http_status": http_status, "result": result})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = msgspec.json.encode(line) + b"\n"
        if self._lines is not None:
            self._lines.append(data)
        if self._fd is not None:
            _write_all(self._fd, data)

    def text(self) -> bytes:
        """All lines so far, those of earlier simulators on the same file included."""
        if self._path is not None:
            return self._path.read_bytes()
        return b"".join(self._lines or ())

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _call_line(arrival: Arrival, verdict: Verdict) -> dict[str, Any]:
    request, reply = verdict.request, verdict.reply
    return {
        "kind": "call",
        "request_id": reply.request_id,
        "attempt_id": arrival.headers.get("X-Client-Request-Id"),
        "idempotency_key": arrival.headers.get("Idempotency-Key"),
        "arrived_at": arrival.at.isoformat(),
        "model": request.model.id if request else None,
        "n": request.n if request else None,
        "size": request.size if request else None,
        "quality": request.quality if request else None,
        "stream": request.stream if request else None,
        "prompt_sha256": sha256(request.prompt.encode()).hexdigest() if request else None,
        "fault": verdict.fault or None,
        "http_status": reply.status,
        "billed": verdict.billed,
        "amount_nanodollars": verdict.amount_nanodollars,
        "usage": verdict.usage,
        "images": [_image(picture) for picture in verdict.pictures],
        "replay_of": verdict.replay_of,
    }


def _image(picture: Picture) -> dict[str, Any]:
    return {
        "sha256": picture.sha256,
        "bytes": len(picture.data),
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
    }
