"""Cells of the sheets that imagemill writes: problems.csv and the reports are opened in Excel by people."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def safe_cell(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula, also after blanks."""
    starts = (text[:1], text.lstrip()[:1])
    return f"'{text}" if any(start in _FORMULA_STARTS for start in starts if start) else text
