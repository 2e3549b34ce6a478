"""The account that servers run under: our own, except that PostgreSQL refuses to be started by root.

Called by the search for programs and by the PostgreSQL server; root hands both to an ordinary account.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group to start programs as."""

    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for subprocess; empty when no switch is needed, for a switch needs privileges."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid)

    def can_run(self, program: Path) -> bool:
        """Whether the account reaches and starts the program: root's folders are closed to others."""
        try:
            done = subprocess.run(
                [program, "--version"], capture_output=True, cwd="/", check=False, **self.popen_options()
            )
        except OSError:
            return False
        return done.returncode == 0


def unprivileged() -> Account:
    """Our own account, or for root `postgres` where it exists, else `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return Account(entry.pw_uid, entry.pw_gid)
