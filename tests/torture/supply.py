"""Manifests of many kinds, drawn from the seed, and what was promised for each when it was submitted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.acceptance.rows import B64, DALLE2, DALLE3, FLARE, GPT1, GPT2, MINI

REQUESTS: tuple[tuple[dict[str, Any], float], ...] = (
    (GPT1, 30),
    (GPT2, 15),
    (MINI, 15),
    (FLARE, 8),
    (GPT1 | {"n": 2, "output_format": "jpeg"}, 8),
    (GPT2 | {"stream": True, "partial_images": 1}, 6),
    (DALLE3, 8),
    (DALLE2 | B64 | {"n": 4}, 5),
    (DALLE2, 5),
)
"""What rows ask for, by weight: by base64, by URL and as streams, one image and several."""


@dataclass(slots=True)
class Lot:
    """A manifest that was handed in, with the terms under which it was."""

    path: Path
    rows: int
    budget_usd: str | None
    retry_unknown: int
    batch: str | None = None
    """Known once a submission was answered."""
    retries: int = 0
    """How often a person had jobs of it sent again."""
    problems: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        """The same words each time: a submission that was killed is simply repeated."""
        budget = ["--budget", self.budget_usd] if self.budget_usd else []
        policy = ["--retry-unknown", str(self.retry_unknown), "--max-attempts", "50"]
        return ["submit", str(self.path), "--json", *policy, *budget]

    def answered(self, told: dict[str, Any]) -> None:
        """What a submission said; every one of the same manifest must name the same batch, with all its rows."""
        if told["jobs"] != self.rows:
            self.problems.append(f"{self.path.name}: {told['jobs']} jobs of {self.rows} rows")
        if self.batch not in (None, told["batch"]):
            self.problems.append(f"{self.path.name} is {self.batch} and {told['batch']}")
        self.batch = told["batch"]


class Supply:
    """Writes the manifests of a run."""

    def __init__(self, folder: Path, random: Random, rows: tuple[int, int]) -> None:
        self._folder = folder
        self._random = random
        self._rows = rows
        self.lots: list[Lot] = []
        folder.mkdir()

    @property
    def accepted(self) -> list[Lot]:
        """Those whose submission was answered."""
        return [lot for lot in self.lots if lot.batch]

    def next_lot(self) -> Lot:
        """A new manifest. One in five has a budget that stops it half way."""
        number, rows = len(self.lots), self._random.randint(*self._rows)
        path = self._folder / f"lot-{number:04d}.jsonl"
        requests, weights = zip(*REQUESTS, strict=True)
        chosen = self._random.choices(requests, weights, k=rows)
        lines = (
            json.dumps(request | {"id": f"{number}-{row}", "prompt": f"a boat of lot {number}, row {row}"}) + "\n"
            for row, request in enumerate(chosen, 1)
        )
        path.write_text("".join(lines))
        budget = f"{rows * 0.012:.2f}" if self._random.random() < 0.2 else None
        self.lots.append(Lot(path, rows, budget, self._random.choice((0, 2))))
        return self.lots[-1]
