"""Many rows by one statement, on either engine: how admission and settlement name rows, and how they write them.

PostgreSQL gets all rows as one JSON parameter: one round trip, and one plan whatever their number. SQLite has no
round trips and runs the statement for each row.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Table,
    TableValuedAlias,
    Text,
    TypeDecorator,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

Types = Mapping[str, TypeEngine[Any]]
Rows = Sequence[Mapping[str, Any]]


class EachRow:
    """A statement for each of many rows. `build` makes it of their values, which `types` names: not like a column
    that the statement compares with."""

    def __init__(self, types: Types, build: Callable[[Mapping[str, ColumnElement[Any]]], Executable]) -> None:
        self._types = types
        self._build = build

    def run(self, tx: Connection, rows: Rows) -> None:
        if rows and tx.dialect.name == "postgresql":
            tx.execute(self._for_all, _as_json(rows))
        elif rows:
            tx.execute(self._for_one, rows)

    @cached_property
    def _for_all(self) -> Executable:
        return self._build(dict(_given(self._types).c.items()))

    @cached_property
    def _for_one(self) -> Executable:
        return self._build({name: bindparam(name, type_=kind) for name, kind in self._types.items()})


def types_of(table: Table, *names: str) -> dict[str, TypeEngine[Any]]:
    """As EachRow wants them: values of these columns under the columns' names."""
    return {name: table.c[name].type for name in names}


def insert_rows(tx: Connection, table: Table, rows: Rows) -> None:
    """Insert rows that all have the same columns."""
    if rows and tx.dialect.name == "postgresql":
        tx.execute(_insert_all(table, tuple(rows[0])), _as_json(rows))
    elif rows:
        tx.execute(insert(table), rows)


def upsert_adding(tx: Connection, table: Table, rows: Rows) -> None:
    """Add each row's numbers to the row with the same primary key, or insert it.

    `rows` must hold each key once; they are written in key order, so that two transactions that touch the
    same tallies never wait for each other in a circle.
    """
    keys = [key.name for key in table.primary_key]
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    if rows and tx.dialect.name == "postgresql":
        tx.execute(_add_all(table, tuple(rows[0])), _as_json(ordered))
    elif rows:
        tx.execute(_add_one(table, tuple(rows[0])), ordered)


class among(FunctionElement[bool]):  # noqa: N801 - reads as a function of SQL
    """Whether a column has one of the values of the parameter `name`. The statement's text is the same for any
    number of them, so that the database need not plan it anew. Of no type: SQLite would be asked whether a Boolean
    is 1, and then reads the whole table."""

    inherit_cache = True

    def __init__(self, of: ColumnElement[Any], name: str) -> None:
        super().__init__(of, bindparam(name, type_=_Listed(of.type)))


class _Listed(TypeDecorator[Sequence[Any]]):
    """Many values as one: an array, or on SQLite the JSON of one."""

    impl = Text
    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return postgresql.ARRAY(self.of) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        values = list(value or ())
        return values if dialect.name == "postgresql" else msgspec.json.encode(values).decode()


@compiles(among, "postgresql")
def _any_of_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    of, listed = (compiler.process(part, **options) for part in element.clauses)
    return f"{of} = ANY ({listed})"


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    of, listed = (compiler.process(part, **options) for part in element.clauses)
    return f"{of} IN (SELECT value FROM json_each({listed}))"  # made by SQLAlchemy  # noqa: S608  # nosec B608


def _as_json(rows: Rows) -> dict[str, str]:
    return {"rows": msgspec.json.encode(rows).decode()}


def _given(types: Types) -> TableValuedAlias:
    """The rows of the parameter `rows`, in its order, as a table."""
    columns = [column(name, kind) for name, kind in types.items()]
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
    return rows.table_valued(*columns).render_derived(name="given", with_types=True)


@lru_cache
def _insert_all(table: Table, names: tuple[str, ...]) -> postgresql.Insert:
    given = _given(types_of(table, *names))
    return postgresql.insert(table).from_select(names, select(*(given.c[name] for name in names)))


@lru_cache
def _add_all(table: Table, names: tuple[str, ...]) -> Executable:
    return _adding(table, names, _insert_all(table, names))


@lru_cache
def _add_one(table: Table, names: tuple[str, ...]) -> Executable:
    return _adding(table, names, sqlite.insert(table))


def _adding(table: Table, names: Sequence[str], new: postgresql.Insert | sqlite.Insert) -> Executable:
    keys = [key.name for key in table.primary_key]
    numbers = {name: table.c[name] + new.excluded[name] for name in names if name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=numbers)
