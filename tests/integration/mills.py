"""A whole embedded imagemill in a test's own folder, against a simulator in a thread."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.catalogue.prices import PriceBook
from jobs.ledger.engine import Ledger
from jobs.ledger.figures import Standing
from jobs.manifest import ManifestOptions
from jobs.settings import Settings, load_settings
from jobs.submit import Policy, submit
from worker.embedded import run_batch
from worker.executor import Executor
from worker.simulator import Simulator, SimulatorConfig

BOOK = PriceBook.load(None)
QUICK = SimulatorConfig(latency_s=0.0, pictures="prerendered", image_bytes=3_000)
PATIENCE_S = 60.0


@dataclass
class Mill:
    """One ledger, one folder, one endpoint."""

    ledger: Ledger
    simulator: Simulator
    folder: Path

    def settings(self, **changes: Any) -> Settings:
        values = {
            "data_dir": self.folder / "data",
            "endpoint_url": self.simulator.url,
            "api_key": "sk-test",
            "in_flight": 4,
        }
        return load_settings(**{**values, **changes})

    def submit(self, *prompts: str, policy: Policy | None = None, **fields: Any) -> str:
        """A batch of one row for each prompt, all of the cheapest kind."""
        path = self.folder / f"manifest-{time.monotonic_ns()}.jsonl"
        row = {"model": "gpt-image-1", "quality": "low", "size": "1024x1024"} | fields
        lines = [row | {"custom_id": f"row-{number}", "prompt": prompt} for number, prompt in enumerate(prompts, 1)]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        batch_id = submit(self.ledger, path, ManifestOptions(), policy or Policy(), BOOK, who="ana").batch_id
        assert batch_id is not None
        return batch_id

    def run(self, batch_id: str, stop: threading.Event | None = None, **changes: Any) -> Standing:
        """Run the batch until it ends or waits for a person; it must within PATIENCE_S."""
        stop = stop or threading.Event()
        watch = threading.Timer(PATIENCE_S, stop.set)
        watch.start()
        try:
            return run_batch(
                self.ledger, self.settings(**changes), BOOK, batch_id, on_standing=lambda _: None, stop=stop
            )
        finally:
            watch.cancel()

    def executor(self, **changes: Any) -> Executor:
        return Executor(self.ledger, self.settings(**changes), BOOK)

    def images(self) -> list[Path]:
        return sorted(path for path in (self.folder / "data" / "images").rglob("*") if path.is_file())

    def spooled(self) -> list[Path]:
        root = self.folder / "data" / "spool"
        return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []


def billed(calls: Sequence[dict[str, Any]]) -> int:
    """Nano-dollars that the simulator's books say."""
    return sum(call["amount_nanodollars"] for call in calls if call["billed"])


def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds; it must within PATIENCE_S."""
    ends_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to that"
        time.sleep(0.01)
