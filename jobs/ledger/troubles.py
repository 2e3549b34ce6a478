"""What a failing database means, in a sentence for a person. Asked by the command line; never names a password."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, SQLAlchemyError


def explain(error: BaseException) -> str | None:
    """A sentence with the next step, or None when the error is not the database's."""
    if not isinstance(error, SQLAlchemyError):
        return None
    said = _first_line(error)
    if isinstance(error, ProgrammingError) or "no such table" in said:
        return f"the database is not as this program expects it: {said}. Run `imagemill db check`."
    if isinstance(error, OperationalError | InterfaceError):
        return f"the database does not answer: {said}. Check IMAGEMILL_DATABASE_URL with `imagemill doctor`."
    return f"the database refused: {said}. `imagemill doctor` looks at it; IMAGEMILL_DEBUG=1 shows the traceback."


def _first_line(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(cause).__name__
