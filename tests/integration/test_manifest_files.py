"""Manifests and price files on disk: the examples, files that cannot be read, problems.csv, and a large file."""

import csv
import hashlib
import json
import tracemalloc
from datetime import date
from pathlib import Path

import pytest

from jobs.catalogue.prices import Meter, PriceBook
from jobs.errors import ManifestError, UsageError
from jobs.manifest import (
    CheckResult,
    ManifestOptions,
    Problem,
    check_manifest,
    manifest_digest,
    open_problems,
    read_rows,
    write_problems,
)

DAY = date(2026, 11, 22)
BOOK = PriceBook.load()
EXAMPLES = Path(__file__).parents[2] / "examples"


def check(name: str, options: ManifestOptions | None = None) -> CheckResult:
    return check_manifest(EXAMPLES / name, options or ManifestOptions(), BOOK, DAY)


@pytest.mark.parametrize(("name", "rows", "images"), [("prompts.jsonl", 8, 13), ("batch.jsonl", 5, 5)])
def test_the_examples_are_sound(name: str, rows: int, images: int) -> None:
    result = check(name)
    assert (result.rows, result.accepted, result.images) == (rows, rows, images)
    assert result.problems == ()
    assert result.unpriced == 0


def test_the_product_sheet_is_sound_once_its_columns_are_named() -> None:
    options = ManifestOptions(
        map={"id": "Artikelnummer"},
        prompt_template="studio photo of {Titel}, {Farbe}, plain background",
        tag_columns=("Raum", "Marke", "Saison"),
        defaults={"model": "gpt-image-2", "size": "1024x1024", "quality": "low"},
    )
    result = check("products.csv", options)
    assert result.problems == ()
    assert result.accepted == 12
    assert result.samples[0].custom_id == "00417"
    assert result.samples[0].tags == {"Raum": "Esszimmer", "Marke": "Nordholz", "Saison": "Herbst 2026"}
    prompt = "studio photo of Stuhl „Lärche“, Eiche natur, plain background"
    assert result.samples[0].request["prompt"] == prompt


def test_the_product_sheet_without_a_map_says_what_is_missing() -> None:
    with pytest.raises(ManifestError, match="--map prompt=COLUMN; columns are: Artikelnummer, Titel"):
        check("products.csv")


def test_a_path_that_cannot_be_read_is_a_manifest_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(ManifestError, match="cannot be read"):
            list(read_rows(path, ManifestOptions()))
        with pytest.raises(ManifestError, match="cannot be read"):
            manifest_digest(path)


def test_the_digest_tells_which_file_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"prompt": "a"}\n')
    assert manifest_digest(path) == (hashlib.sha256(b'{"prompt": "a"}\n').hexdigest(), 16)


def test_all_problems_reach_the_file_while_the_pass_runs(tmp_path: Path) -> None:
    manifest = tmp_path / "bad.csv"
    manifest.write_text("id,prompt,n\n" + "".join(f"={row},a,0\n" for row in range(50)))
    with open_problems(tmp_path / "problems.csv") as write:
        options = ManifestOptions(defaults={"model": "dall-e-2"})
        result = check_manifest(manifest, options, BOOK, DAY, on_problem=write)
    content = (tmp_path / "problems.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    written = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    assert len(written) == result.errors + result.warnings == 100
    assert [row["line"] for row in written if row["code"] == "out_of_range"] == [str(line) for line in range(2, 52)]


def test_problems_can_be_written_at_once(tmp_path: Path) -> None:
    problems = [Problem(1, 1, "n", "=0", "out_of_range", "m", "x")] * 2
    assert write_problems(tmp_path / "problems.csv", problems) == 2
    assert (tmp_path / "problems.csv").read_text("utf-8-sig").count("'=0") == 2


def test_a_price_file_is_laid_over(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    row = {"model": "pixie", "meter": "image", "unit": "image", "usd": "0.01"}
    path.write_text(json.dumps({"rows": [row]}))
    assert PriceBook.load(path).rate("pixie", Meter.IMAGE, DAY)
    with pytest.raises(UsageError, match=r"missing\.json cannot be read"):
        PriceBook.load(tmp_path / "missing.json")


def test_c17_memory_grows_by_some_bytes_per_row_only(tmp_path: Path) -> None:
    rows = 60_000
    path = tmp_path / "large.jsonl"
    line = '{"id": "sku-%08d", "prompt": "' + "x" * 500 + '", "model": "dall-e-2"}\n'
    with path.open("w") as file:
        file.writelines(line % number for number in range(rows))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_rows(path, ManifestOptions()))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == rows
    assert peak_bytes < rows * 60 + 2**20
