"""Golden outputs: what people see, kept in files, so that a change of it is seen as well."""

from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "golden"


def golden(name: str) -> str:
    """The kept text. After a wanted change, write the new one into the file by hand or by the test's message."""
    return (FOLDER / name).read_text(encoding="utf-8")
