"""What Excel does to text, recognised by name before it costs money.

The sheet reader asks this of every cell it uses; clean cells cost one search.
"""

import re
from collections.abc import Iterator

from jobs.manifest.rows import Complaint, error, warning

CELL_LIMIT_CHARS = 32_767
ROW_LIMIT = 1_048_576
INVISIBLE = "\u200b\u2060\ufeff"

_SUSPECT = re.compile("[\\0\u00a0\u200b\u2060\ufeff\ud800-\udfff]|^[ ]*#")
_ENGLISH = ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
_GERMAN = ("#NV", "#BEZUG!", "#WERT!", "#ZAHL!", "#LEER!")
_ERROR_VALUES = frozenset((*_ENGLISH, *_GERMAN))
_SCIENTIFIC = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+\d{2,}")
_MONTH = "Jan|Feb|Mar|Mrz|Mär|Apr|May|Mai|Jun|Jul|Aug|Sep|Oct|Okt|Nov|Dec|Dez"
_DATE = re.compile(rf"\d{{1,2}}[./ -]{{1,2}}(?:{_MONTH})\.?|(?:{_MONTH})\.?[./ -]{{1,2}}\d{{2,4}}", re.IGNORECASE)
_SUSPECT_CODE = re.compile(
    rf"[^\x20-\x7e]|[eE]\+|^[ ]*#|\d[./ -]{{1,2}}[A-Za-z]{{3}}|^ *(?:{_MONTH})", re.IGNORECASE
)
_SMART_QUOTES = re.compile("[‘’‚‛“”„‟]")


def damage(cell: str, field: str, *, code: bool) -> tuple[Complaint, ...]:
    """Complaints about one cell. `code`: an id or a parameter, where typography and dates are suspect too."""
    if len(cell) != CELL_LIMIT_CHARS and _is_clean(cell, code=code):
        return ()
    changed = _changed_code(cell.strip(), field) if code else ()
    return (*_unusable(cell.strip(), field), *_invisible(cell, field), *changed)


def _is_clean(cell: str, *, code: bool) -> bool:
    if code:
        return not _SUSPECT_CODE.search(cell)
    plain = cell.isascii() and "#" not in cell and "\0" not in cell  # most cells, told at memory speed
    return plain or not _SUSPECT.search(cell)


def _unusable(cell: str, field: str) -> Iterator[Complaint]:
    if "\0" in cell:
        yield error("nul", "the cell contains the character NUL", "remove it", field=field, value=cell)
    if not cell.isascii() and re.search("[\ud800-\udfff]", cell):
        yield error("lone_surrogate", "the cell contains half a character", "type it again", field=field)
    if cell.upper() in _ERROR_VALUES:
        yield error(
            "excel_error", f"Excel wrote {cell} here", "repair the formula in the sheet", field=field, value=cell
        )
    if len(cell) > 2 and not cell.strip("#"):
        next_step = "widen the column and save again"
        yield error(
            "excel_hashes", "Excel wrote # because the column was narrow", next_step, field=field, value=cell
        )
    if len(cell) == CELL_LIMIT_CHARS:
        message = f"the cell has exactly {CELL_LIMIT_CHARS:,} characters: Excel cut it off here"
        yield error("excel_cell_cut", message, "shorten the text, or use JSONL", field=field, value=cell)


def _invisible(cell: str, field: str) -> Iterator[Complaint]:
    if "\u00a0" in cell:
        message = "the cell contains no-break spaces"
        yield warning("no_break_space", message, "replace them by spaces", field=field, value=cell)
    if any(character in cell for character in INVISIBLE):
        message = "the cell contains characters without width"
        yield warning("invisible", message, "remove them", field=field, value=ascii(cell)[1:-1])


def _changed_code(cell: str, field: str) -> Iterator[Complaint]:
    if _SCIENTIFIC.fullmatch(cell):
        next_step = "format the column as text and enter the code again"
        yield error("excel_scientific", "Excel shortened a long number", next_step, field=field, value=cell)
    if _DATE.fullmatch(cell):
        next_step = "format the column as text and enter the code again"
        yield warning("excel_date", "Excel may have turned a code into a date", next_step, field=field, value=cell)
    if _SMART_QUOTES.search(cell):
        yield warning("smart_quotes", "the code contains curly quotes", "use plain ones", field=field, value=cell)
