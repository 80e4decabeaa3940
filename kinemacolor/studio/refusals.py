"""Errors as answers: a status of four hundred and more, and one line that says what is wrong and what helps."""

from __future__ import annotations

import sys
import traceback

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError

_STATUS = {UsageError: 400, InputError: 422, OutputError: 409}


def _refused(error: KinemacolorError) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
    record = {"message": str(error), "subject": error.subject, "problem": error.problem, "remedy": error.remedy}
    return JSONResponse(record, status)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to a request that failed; a fault of the program is printed here, and told in a line there."""
    if isinstance(error, KinemacolorError):
        return _refused(error)
    if isinstance(error, HTTPException):
        detail = error.detail if error.detail != "Not Found" else "there is nothing at this address; read the page anew"
        return JSONResponse({"message": detail}, error.status_code, headers=error.headers)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    traceback.print_exception(error, file=sys.stderr)
    line = f"failed by a fault of the program ({type(error).__name__}: {error}); report it to the developers"
    return JSONResponse({"message": line}, 500)
