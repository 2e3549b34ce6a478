"""One pass: counts, groups, sums and samples that fit together."""

import io
import json
from datetime import date
from typing import Any

from jobs.catalogue.prices import PriceBook
from jobs.manifest.options import ManifestOptions
from jobs.manifest.read import read_stream
from jobs.manifest.rows import Problem, Row
from jobs.manifest.scan import KEPT_PROBLEMS, CheckResult, scan
from jobs.money import Estimate, estimate

DAY = date(2026, 11, 22)
BOOK = PriceBook.build()
GOOD = {"prompt": "a chair", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}


def check(*lines: dict[str, Any], ceiling: int | None = None, **options: Any) -> CheckResult:
    content = "\n".join(map(json.dumps, lines)).encode()
    chosen = ManifestOptions(**options)
    return scan(read_stream(io.BytesIO(content), chosen), chosen, BOOK, DAY, ceiling)


def test_a_sound_manifest_is_ok_and_summed_up() -> None:
    result = check(GOOD, {**GOOD, "n": 4}, {**GOOD, "model": "dall-e-2", "quality": "standard"})
    assert result.ok
    assert (result.rows, result.accepted, result.images, result.errors) == (3, 3, 6, 0)
    assert result.models == {"gpt-image-2": 2, "dall-e-2": 1}
    assert result.unpriced == 0
    one, four = estimate(BOOK, DAY, GOOD), estimate(BOOK, DAY, {**GOOD, "n": 4})
    assert result.estimate.ceiling == (one.ceiling or 0) + (four.ceiling or 0) + 20_000_000
    assert result.estimate.expected == (one.expected or 0) + (four.expected or 0) + 20_000_000


def test_problems_are_counted_by_code_and_the_first_are_kept_errors_first() -> None:
    doubtful = {**GOOD, "size": "auto"}
    result = check(doubtful, *[{**GOOD, "n": 0}] * 30, {"prompt": ""})
    assert not result.ok
    assert result.codes["out_of_range"] == 30
    assert next(iter(result.codes)) == "out_of_range"
    assert len(result.problems) == KEPT_PROBLEMS
    assert {problem.severity for problem in result.problems} == {"error"}
    assert [problem.row for problem in result.problems] == list(range(2, 2 + KEPT_PROBLEMS))
    assert (result.rows, result.accepted, result.warnings) == (32, 1, 2)


def test_rows_and_problems_are_handed_on_in_file_order() -> None:
    seen: list[Row | Problem] = []
    options = ManifestOptions()
    lines = [GOOD, {**GOOD, "n": 0}, {**GOOD, "size": "auto"}]
    content = "\n".join(map(json.dumps, lines)).encode()
    entries = read_stream(io.BytesIO(content), options)
    scan(entries, options, BOOK, DAY, on_row=lambda row, _cost: seen.append(row), on_problem=seen.append)
    assert [(type(entry), entry.row) for entry in seen] == [(Row, 1), (Problem, 2), (Problem, 3), (Row, 3)]


def test_a_row_is_handed_on_with_what_its_call_may_cost() -> None:
    costs: list[Estimate] = []
    requests = [GOOD, {**GOOD, "prompt": "a chair of another make"}, {**GOOD, "n": 3}, {**GOOD, "size": "auto"}]
    content = "\n".join(map(json.dumps, requests)).encode()
    entries = read_stream(io.BytesIO(content), ManifestOptions())
    scan(entries, ManifestOptions(), BOOK, DAY, on_row=lambda _row, cost: costs.append(cost))
    assert costs == [estimate(BOOK, DAY, request) for request in requests]
    assert len(set(costs)) == len(requests)


def test_the_samples_are_the_first_finished_requests() -> None:
    result = check(
        {"t": 1}, {"t": 2, "n": 0}, {"t": 3}, {"t": 4}, {"t": 5}, prompt_template="chair {t}", defaults=GOOD
    )
    assert [row.request["prompt"] for row in result.samples] == ["chair 1", "chair 3", "chair 4"]
    assert result.samples[0].request["model"] == "gpt-image-2"


def test_in_strict_mode_warnings_stop_too() -> None:
    doubtful = {**GOOD, "size": "auto"}
    assert check(doubtful).ok
    strict = check(doubtful, strict=True)
    assert not strict.ok
    assert strict.accepted == 0
    assert strict.warnings == 0


def test_a_warning_of_the_reader_is_an_error_in_strict_mode() -> None:
    options = ManifestOptions(strict=True, defaults=GOOD)
    entries = read_stream(io.BytesIO(b"prompt,brand\na,b\n"), options)
    assert scan(entries, options, BOOK, DAY).codes == {"ignored_columns": 1}


def test_a_stated_ceiling_stands_in_for_a_missing_price() -> None:
    result = check({"prompt": "a", "model": "pixie"}, GOOD, ceiling=500)
    assert result.ok
    assert result.unpriced == 1
    priced = estimate(BOOK, DAY, GOOD)
    assert result.estimate == Estimate(priced.low, priced.expected, (priced.ceiling or 0) + 500)


def test_without_a_ceiling_no_price_is_an_error() -> None:
    assert check({"prompt": "a", "model": "pixie"}).codes == {"unknown_model": 1, "no_price": 1}


def test_a_manifest_without_rows_is_an_error() -> None:
    options = ManifestOptions()
    result = scan(read_stream(io.BytesIO(b"prompt,brand\n"), options), options, BOOK, DAY)
    assert result.codes == {"ignored_columns": 1, "no_rows": 1}
    assert not result.ok


def test_c17_a_manifest_names_a_thousand_models_at_most() -> None:
    result = check(*[{**GOOD, "model": f"m{number % 1100}"} for number in range(3000)], ceiling=1)
    assert (result.accepted, len(result.models)) == (2800, 1000)
    assert result.codes["too_many_models"] == 200


def test_c17_a_model_has_a_name_that_the_ledger_can_look_up() -> None:
    assert check({**GOOD, "model": "m" * 201}, ceiling=1).codes == {"long_model": 1}
    assert check({**GOOD, "model": "m" * 200}, ceiling=1).ok
