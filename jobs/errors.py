"""The exceptions a person may meet. Each message says what happened, to what, and what to do next.

ImagemillError                 exit 1
+-- UsageError                 exit 2   wrong call or setting
|   +-- ManifestError          exit 2   a file that cannot be read as a manifest at all
+-- DiskError                  exit 1   a disk refused what must be kept; the process ended by itself
+-- LedgerError                exit 1
    +-- LedgerAway             exit 1   the database does not answer; nothing was decided
    +-- Conflict               exit 1   a unique key was there already
    +-- SchemaMismatch         exit 1   database older or newer than this program
    +-- LedgerRestored         exit 1   the database lacks calls that were made: it is an older backup
"""


class ImagemillError(Exception):
    """Base of all; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(ImagemillError):
    exit_code = 2


class ManifestError(UsageError):
    """The file as a whole cannot be read: wrong encoding, unknown format, empty. Row problems are Problems."""


class DiskError(ImagemillError):
    def __init__(self, said: str) -> None:
        super().__init__(
            f"{said}: the disk failed, and no further call was made; put it right and start again: what is safe in "
            "the spool is booked then"
        )


class LedgerError(ImagemillError):
    pass


class LedgerAway(LedgerError):
    pass


class Conflict(LedgerError):
    pass


class SchemaMismatch(LedgerError):
    pass


class LedgerRestored(LedgerError):
    pass
