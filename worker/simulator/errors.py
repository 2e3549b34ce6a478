"""The error bodies of the endpoint, as the contract writes them down.

Validation and faults raise or hold an ApiError; the endpoint turns it into status, headers and JSON.
"""

from typing import Any


class ApiError(Exception):
    """An answer of the API that is not images. `headers` are sent with it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A request the model does not take."""
    return ApiError(400, message, code=code, param=param)


def retry_headers(seconds: float) -> dict[str, str]:
    """Both forms of the advice; `Retry-After` in whole seconds, rounded up as HTTP wants it."""
    return {"Retry-After": str(-int(-seconds // 1)), "retry-after-ms": str(round(seconds * 1000))}
