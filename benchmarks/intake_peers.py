"""What the intake benchmark compares with, each a program of its own so that time and memory are only its own.

ceiling  the bare lines of the file into a table of one column, by sqlite3's executemany or PostgreSQL's COPY
orm      csv or json and SQLAlchemy's ORM, a thousand objects a commit: what people write; nothing is checked
"""

import argparse
import csv
import itertools
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import BigInteger, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

A_COMMIT = 1_000
A_CHUNK = 1 << 20


class Base(DeclarativeBase):
    pass


class Task(Base):
    """The columns that a simple queue would keep."""

    __tablename__ = "plain_tasks"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    custom_id: Mapped[str] = mapped_column(unique=True)
    prompt: Mapped[str]
    model: Mapped[str]
    size: Mapped[str]
    quality: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")


def ceiling(url: str, manifest: Path) -> None:
    if url.startswith("sqlite"):
        _ceiling_sqlite(url.removeprefix("sqlite:///"), manifest)
    else:
        _ceiling_postgresql(url, manifest)


def _ceiling_sqlite(path: str, manifest: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE bare (line TEXT)")
    with manifest.open(encoding="utf-8") as lines, connection:
        connection.executemany("INSERT INTO bare VALUES (?)", ((line,) for line in lines))
    connection.close()


def _ceiling_postgresql(url: str, manifest: Path) -> None:
    """CSV with delimiters and quotes that are in no line, so that each line is one value as it stands."""
    copy = r"COPY bare FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare (line TEXT)")
        with manifest.open("rb") as file, cursor.copy(copy) as sink:
            while chunk := file.read(A_CHUNK):
                sink.write(chunk)


def orm(url: str, manifest: Path) -> None:
    engine = create_engine(make_url(url.replace("postgresql://", "postgresql+psycopg://")))
    Base.metadata.create_all(engine)
    tasks = (
        Task(id=number, **{name: row[name] for name in ("custom_id", "prompt", "model", "size", "quality")})
        for number, row in enumerate(_rows(manifest), 1)
    )
    with Session(engine) as session:
        while some := list(itertools.islice(tasks, A_COMMIT)):
            session.add_all(some)
            session.commit()
            session.expunge_all()
    engine.dispose()


def _rows(manifest: Path) -> Iterator[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        if manifest.suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from map(json.loads, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["ceiling", "orm"])
    parser.add_argument("url")
    parser.add_argument("manifest", type=Path)
    chosen = parser.parse_args()
    {"ceiling": ceiling, "orm": orm}[chosen.name](chosen.url, chosen.manifest)


if __name__ == "__main__":
    main()
