"""Manifests: files of prompts, read as streams and checked before anything is spent.

`check_manifest` is one whole pass, `read_rows` the reader below it, `check_row` the judgement of one row.
"""

from jobs.manifest.check import check_request, check_row
from jobs.manifest.options import ManifestOptions, parse_pairs
from jobs.manifest.problems import open_problems, write_problems
from jobs.manifest.read import manifest_digest, read_rows, read_stream
from jobs.manifest.rows import Complaint, Problem, Row
from jobs.manifest.scan import CheckResult, check_manifest, scan

__all__ = [
    "CheckResult",
    "Complaint",
    "ManifestOptions",
    "Problem",
    "Row",
    "check_manifest",
    "check_request",
    "check_row",
    "manifest_digest",
    "open_problems",
    "parse_pairs",
    "read_rows",
    "read_stream",
    "scan",
    "write_problems",
]
