"""Manifests between check and submission: a file that was received, checked and shown, and waits for a yes.

Kept in the uploads folder, the file beside what was told and found; both go with the submission, or after a day.
"""

import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import files
from jobs.api.service import Service
from jobs.api.settings import BatchSettings
from jobs.api.uploads import Upload
from jobs.manifest import CheckResult
from jobs.report.checks import check_json

_KEPT_S = 24 * 3600
_MOST_PROBLEMS = 200
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Draft:
    """`who` alone may submit it."""

    id: str
    who: str
    name: str
    told: BatchSettings
    found: dict[str, Any]
    """As `check --json` says it; of many problems the first."""
    upload: Upload


def keep(service: Service, who: str, upload: Upload, told: BatchSettings, found: CheckResult) -> str:
    """Keep a checked manifest; its id."""
    _forget_old(service.uploads)
    draft_id = secrets.token_hex(16)
    facts = check_json(found)
    facts["problems"] = facts["problems"][:_MOST_PROBLEMS]
    about = {"media_type": upload.media_type, "name": upload.name, "bytes": upload.bytes, "sha256": upload.sha256}
    said = {"who": who, "upload": about, "told": told.model_dump(exclude_unset=True), "found": facts}
    upload.path.rename(_manifest(service, draft_id))
    files.write_durably(_note(service, draft_id), json.dumps(said).encode())
    return draft_id


def read(service: Service, who: str, draft_id: str) -> Draft | None:
    """None: there is none, it is another's, or it was submitted."""
    try:
        said = json.loads(_note(service, draft_id).read_bytes()) if _ID.fullmatch(draft_id) else {}
    except FileNotFoundError:
        return None
    if said.get("who") != who:
        return None
    upload = Upload(_manifest(service, draft_id), **said["upload"])
    told = BatchSettings.model_validate(said["told"])
    return Draft(draft_id, who, upload.name or "manifest", told, said["found"], upload)


def forget(service: Service, draft_id: str) -> None:
    for path in (_note(service, draft_id), _manifest(service, draft_id)):
        path.unlink(missing_ok=True)


def _forget_old(folder: Path) -> None:
    for path in (*folder.glob("*.draft"), *folder.glob("*.manifest")):
        try:
            if path.stat().st_mtime < time.time() - _KEPT_S:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


def _manifest(service: Service, draft_id: str) -> Path:
    return service.uploads / f"{draft_id}.manifest"


def _note(service: Service, draft_id: str) -> Path:
    return service.uploads / f"{draft_id}.draft"
