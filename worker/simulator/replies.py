"""Replies without images: the API's own errors, and the endings that are not the API's at all."""

import msgspec

from worker.simulator.errors import ApiError
from worker.simulator.faults import ERRORS, HTML, Fault, ending_error
from worker.simulator.values import Reply

HTML_PAGE = b"<html><head><title>Error</title></head><body><center><h1>Bad gateway</h1></center>nginx</body></html>"


def error_reply(request_id: str, error: ApiError) -> Reply:
    return Reply(request_id, error.status, (msgspec.json.encode(error.body()),), headers=error.headers)


def ending_reply(request_id: str, ending: Fault, retry_after_s: float) -> Reply:
    """The answer of an ending that does answer."""
    if ending.name in ERRORS:
        return error_reply(request_id, ending_error(ending, retry_after_s))
    if ending.name in HTML:
        return Reply(request_id, HTML[ending.name], (HTML_PAGE,), "text/html")
    if ending.name == "redirect":
        return Reply(request_id, 307, headers={"Location": "/v1/images/generations"})
    return Reply(request_id, 500)
