"""The crash-point sweep: stopped at each of sixteen boundaries in every way, nothing is lost or paid twice.

On the embedded default and on the grown-up pair; the others run with `sh scripts/torture --full`.
"""

from collections.abc import Iterator

import pytest

from tests.crash.boundaries import BOUNDARIES
from tests.crash.case import Case
from tests.crash.fixtures import crash_lab
from tests.crash.pairs import EMBEDDED, GROWN_UP, Lab
from tests.crash.sweep import Sweep

__all__ = ["crash_lab"]

CASES = [
    Case(boundary, way, pair) for pair in (EMBEDDED, GROWN_UP) for boundary in BOUNDARIES for way in boundary.ways
]


@pytest.fixture(scope="module")
def sweep(crash_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    """All cases that were selected for this run."""
    asked = [
        item.callspec.params["case"]
        for item in request.session.items
        if "sweep" in getattr(item, "fixturenames", ())
    ]
    with Sweep(crash_lab, asked) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_stops_it_there_everything_ends_as_it_must(sweep: Sweep, case: Case) -> None:
    assert sweep.complaints(case) == []
