"""From exceptions to sentences and exit codes: a traceback is shown only where IMAGEMILL_DEBUG=1 asks."""

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from jobs.cli.output import say
from jobs.errors import ImagemillError, LedgerAway

INTERRUPTED = 130


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    from jobs.cli.group import imagemill

    try:
        code = imagemill.main(arguments, prog_name="imagemill", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        say(_shown(error))
        return error.exit_code
    except ImagemillError as error:
        hint = "; check IMAGEMILL_DATABASE_URL with `imagemill doctor`" if isinstance(error, LedgerAway) else ""
        say(f"error: {error}{hint}")
        return error.exit_code
    except Exception as error:
        return _unexpected(error)


def _shown(error: click.ClickException) -> str:
    """As click words it; it repeats what was typed, and names of files come from anywhere."""
    words = io.StringIO()
    error.show(words)
    return words.getvalue().rstrip("\n")


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _reader_left()
    if os.environ.get("IMAGEMILL_DEBUG"):
        raise error
    say(f"error: {_sentence(error)}")
    return 1


def _reader_left() -> int:
    """`imagemill jobs … | head`: whoever read has enough. Nothing is left to be flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input or output'}: {error.strerror}"
    words = str(error).splitlines()
    told = f"{type(error).__name__}: {words[0]}" if words else type(error).__name__
    return f"{told} (this is a fault of imagemill; IMAGEMILL_DEBUG=1 shows the traceback)"
