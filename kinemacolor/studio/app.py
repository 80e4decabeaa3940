"""The studio's addresses: requests are checked, handed to the desk, and answered; what goes wrong is one line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.pipeline.settings import ColorizeSettings, setting_of
from kinemacolor.studio.desk import Desk
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.pictures import at_width, confidence_overlay, eight_bits, encode_jpeg, encode_png, jpeg_response
from kinemacolor.studio.project_record import project_record
from kinemacolor.studio.refusals import answer_error
from kinemacolor.studio.requests import (
    GroundRequest,
    KeepRequest,
    OpenRequest,
    PalettesRequest,
    RunRequest,
    ShotsRequest,
    TrialRequest,
    number_in,
    read_body,
    read_json,
    read_record,
)
from kinemacolor.studio.security import REPORT_POLICY
from kinemacolor.studio.stroke_document import StrokeChange
from kinemacolor.studio.uploads import receive_film

PAGE = Path(__file__).parent / "page"
MOST_PICTURE = 256 << 20
"""Bytes of a picture that is laid onto a frame, at most."""


class StudioRoutes:
    """The handlers of a desk.

    Args:
        desk: the studio.
        most_upload: bytes of a film that is dropped onto the page, at most.
    """

    def __init__(self, desk: Desk, most_upload: int) -> None:
        self.desk, self.most_upload = desk, most_upload

    def routes(self) -> list[Route | Mount]:
        """All addresses."""
        film = "/api/films/{film}"
        still = film + "/stills/{frame:int}"
        return [
            Route("/", self.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/api/desk", self.desk_record),
            Route("/api/events", self.events),
            Route("/api/browse", self.browse),
            Route("/api/schema", self.schema),
            Route("/api/films", self.open_film, methods=["POST"]),
            Route("/api/uploads/{name}", self.upload, methods=["PUT"]),
            Route(film, self.film),
            Route(film + "/analysis", self.analyze, methods=["POST"]),
            Route(film + "/shots", self.set_shots, methods=["PUT"]),
            Route(film + "/keyframes", self.proposal, methods=["GET"]),
            Route(film + "/keyframes", self.propose, methods=["POST"]),
            Route(film + "/palettes", self.palettes, methods=["GET", "PUT"]),
            Route(film + "/settings", self.set_settings, methods=["PUT"]),
            Route(film + "/estimate", self.estimate, methods=["POST"]),
            Route(film + "/runs", self.run, methods=["POST"]),
            Route(film + "/report", self.report),
            Route(film + "/tries", self.try_shot, methods=["POST"]),
            Route(film + "/frames/{frame:int}.jpg", self.frame_picture),
            Route(film + "/thumbnails/{frame:int}.jpg", self.thumbnail),
            Route(still, self.still, methods=["GET", "DELETE"]),
            Route(still + "/strokes", self.change_strokes, methods=["POST"]),
            Route(still + "/ground", self.ground, methods=["PUT"]),
            Route(still + "/kept", self.keep, methods=["PUT"]),
            Route(still + "/picture", self.lay_picture, methods=["PUT"]),
            Route(still + "/picture.jpg", self.still_picture),
            Route("/api/jobs/{job}", self.cancel, methods=["DELETE"]),
            Route("/api/jobs/{job}/frames/{frame:int}.{layer}", self.trial_picture),
        ]

    # --- the desk --------------------

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return FileResponse(PAGE / "index.html")

    async def desk_record(self, request: Request) -> Response:
        """What is open and at work."""
        return JSONResponse(self.desk.record())

    async def events(self, request: Request) -> Response:
        """What happens, as server-sent events."""
        return StreamingResponse(self.desk.hub.stream(), media_type="text/event-stream")

    async def browse(self, request: Request) -> Response:
        """A folder of this machine."""
        folder, entries = await run_in_threadpool(self.desk.roots.listing, request.query_params.get("folder"))
        parent = None if folder is None or folder in self.desk.roots.folders else str(folder.parent)
        return JSONResponse(
            {
                "folder": None if folder is None else str(folder),
                "parent": parent,
                "entries": [
                    {"name": entry.name, "path": entry.path, "kind": entry.kind, "bytes": entry.bytes}
                    for entry in entries
                ],
            }
        )

    async def schema(self, request: Request) -> Response:
        """The settings' schema, with the group and the words for the default of each."""
        schema = ColorizeSettings.model_json_schema()
        for name, field in ColorizeSettings.model_fields.items():
            setting = setting_of(field)
            schema["properties"][name] |= {"group": setting.group, "default_text": setting.default_text}
        return JSONResponse(schema)

    async def open_film(self, request: Request) -> Response:
        """Opens a film or a project."""
        asked = await read_record(request, OpenRequest)
        project = await run_in_threadpool(self.desk.open, asked.path)
        return JSONResponse(await run_in_threadpool(project_record, project))

    async def upload(self, request: Request) -> Response:
        """Takes a film that was dropped onto the page, and opens it."""
        path = await receive_film(request, request.path_params["name"], self.desk.roots, self.most_upload)
        project = await run_in_threadpool(self.desk.open, str(path))
        return JSONResponse(await run_in_threadpool(project_record, project), 201)

    # --- a film --------------------

    def project(self, request: Request) -> FilmProject:
        """The film that a request names."""
        return self.desk.project(request.path_params["film"])

    async def film(self, request: Request) -> Response:
        """A film's project."""
        return JSONResponse(await run_in_threadpool(project_record, self.project(request)))

    async def analyze(self, request: Request) -> Response:
        """Reads a film anew."""
        entry = await run_in_threadpool(self.desk.analyze, self.project(request))
        return JSONResponse(entry.record(), 202)

    async def set_shots(self, request: Request) -> Response:
        """Changes cuts and marks."""
        project, asked = self.project(request), await read_record(request, ShotsRequest)
        await run_in_threadpool(project.set_shots, asked.starts, asked.gray)
        self.desk.changed(project)
        return JSONResponse(await run_in_threadpool(project_record, project))

    async def proposal(self, request: Request) -> Response:
        """Key frames that were proposed for the shots as they are, or null."""
        return JSONResponse(await run_in_threadpool(self.project(request).proposal))

    async def propose(self, request: Request) -> Response:
        """Looks for key frames."""
        entry = await run_in_threadpool(self.desk.propose, self.project(request))
        return JSONResponse(entry.record(), 202)

    async def palettes(self, request: Request) -> Response:
        """A film's palettes."""
        project = self.project(request)
        if request.method == "PUT":
            asked = await read_record(request, PalettesRequest)
            await run_in_threadpool(project.set_palettes, [palette.model_dump() for palette in asked.palettes])
        return JSONResponse(await run_in_threadpool(project.palettes))

    async def set_settings(self, request: Request) -> Response:
        """Changes how a film is colored."""
        project, values = self.project(request), await read_json(request)
        if not isinstance(values, dict):
            raise UsageError("settings", "expected an object", "read the page anew")
        await run_in_threadpool(self.desk.set_settings, project, values)
        return JSONResponse(await run_in_threadpool(project_record, project))

    async def estimate(self, request: Request) -> Response:
        """Time and room that a run will take."""
        return JSONResponse(await run_in_threadpool(self.desk.estimate, self.project(request)))

    async def run(self, request: Request) -> Response:
        """Runs a film."""
        project, asked = self.project(request), await read_record(request, RunRequest)
        entry = await run_in_threadpool(
            lambda: self.desk.run(project, overwrite=asked.overwrite, restart=asked.restart)
        )
        return JSONResponse(entry.record(), 202)

    async def report(self, request: Request) -> Response:
        """The report on a film, cut off from the studio."""
        path = self.desk.roots.check(self.project(request).report)
        if not path.is_file():
            raise InputError(path, "there is no report yet", "run the film first")
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    async def frame_picture(self, request: Request) -> Response:
        """A frame of the film, gray."""
        project, frame = self.project(request), request.path_params["frame"]
        width = number_in(request, "width", 16, 16384)

        def encode() -> bytes:
            project.number(frame)
            return encode_jpeg(at_width(eight_bits(project.luma(frame)), width), 90)

        return jpeg_response(await run_in_threadpool(encode), kept=True)

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of a frame."""
        project, frame = self.project(request), request.path_params["frame"]
        await run_in_threadpool(project.number, frame)
        return jpeg_response(await run_in_threadpool(project.thumbnail, frame), kept=True)

    # --- stills --------------------

    async def still(self, request: Request) -> Response:
        """A still's strokes; DELETE removes it."""
        project, frame = self.project(request), request.path_params["frame"]

        def read() -> dict[str, Any]:
            painting = self.desk.shelf(project).painting(frame)
            if request.method == "DELETE":
                painting.clear()
                self.desk.changed(project)
            return painting.record()

        return JSONResponse(await run_in_threadpool(read))

    async def change_strokes(self, request: Request) -> Response:
        """Adds and removes strokes."""
        project, frame = self.project(request), request.path_params["frame"]
        change = await read_record(request, StrokeChange)

        def apply() -> dict[str, Any]:
            shelf = self.desk.shelf(project)
            painting = shelf.painting(frame)
            record = painting.change(change)
            shelf.write_later(painting)
            self.desk.hub.publish(kind="strokes", project=project.id, frame=frame, revision=record["revision"])
            return record

        return JSONResponse(await run_in_threadpool(apply))

    async def ground(self, request: Request) -> Response:
        """Sets what lies below a still's strokes."""
        project, frame = self.project(request), request.path_params["frame"]
        asked = await read_record(request, GroundRequest)
        if asked.ground == "picture":
            raise UsageError("ground", "a picture has to be sent", "drop it onto the frame")

        def lay() -> dict[str, Any]:
            shelf = self.desk.shelf(project)
            self.desk.lay_ground(project, frame, asked.ground)
            shelf.write_later(shelf.painting(frame))
            return shelf.painting(frame).record()

        return JSONResponse(await run_in_threadpool(lay))

    async def keep(self, request: Request) -> Response:
        """Lets a still count although nothing is painted on it, or not."""
        project, frame = self.project(request), request.path_params["frame"]
        asked = await read_record(request, KeepRequest)

        def keep() -> dict[str, Any]:
            shelf = self.desk.shelf(project)
            painting = shelf.painting(frame)
            painting.keep(asked.kept)
            shelf.write_later(painting)
            return painting.record()

        return JSONResponse(await run_in_threadpool(keep))

    async def lay_picture(self, request: Request) -> Response:
        """Lays a finished picture of another program onto a frame."""
        project, frame = self.project(request), request.path_params["frame"]
        content = await read_body(request, MOST_PICTURE, "picture")

        def lay() -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "picture"
                path.write_bytes(content)
                shelf = self.desk.shelf(project)
                painting = shelf.painting(frame)
                painting.lay_picture(path)
                shelf.write_later(painting)
                return painting.record()

        return JSONResponse(await run_in_threadpool(lay))

    async def still_picture(self, request: Request) -> Response:
        """A still as painted."""
        project, frame = self.project(request), request.path_params["frame"]
        width = number_in(request, "width", 16, 16384)
        return jpeg_response(await run_in_threadpool(lambda: self.desk.shelf(project).painting(frame).jpeg(width)))

    # --- trials and jobs --------------------

    async def try_shot(self, request: Request) -> Response:
        """Colors the frames around a place."""
        project, asked = self.project(request), await read_record(request, TrialRequest)
        entry = await run_in_threadpool(self.desk.try_shot, project, asked.frame, asked.radius)
        return JSONResponse(entry.record(), 202)

    async def trial_picture(self, request: Request) -> Response:
        """A frame of a trial: ``color``, ``gray`` or ``confidence``."""
        trial, frame = self.desk.trial(request.path_params["job"]), request.path_params["frame"]
        layer = request.path_params["layer"]
        orientation = self.desk.project(self.desk.board.entry(request.path_params["job"]).project).info.orientation

        def encode() -> bytes | None:
            colored = trial.frames.get(frame)
            if colored is None:
                return None
            if layer == "confidence":
                return encode_png(confidence_overlay(orientation.upright(colored.similarity.astype(np.float32))))
            image = colored.luma if layer == "gray" else trial.picture(frame)
            return None if image is None else encode_jpeg(orientation.upright(image), 88)

        if layer not in ("color", "gray", "confidence"):
            raise HTTPException(404)
        content = await run_in_threadpool(encode)
        if content is None:
            raise UsageError("frame", f"{frame} is not colored yet", "wait a moment")
        return Response(content, media_type="image/png") if layer == "confidence" else jpeg_response(content)

    async def cancel(self, request: Request) -> Response:
        """Cancels a job; what is finished is kept."""
        return JSONResponse((await run_in_threadpool(self.desk.board.cancel, request.path_params["job"])).record())


def studio_app(desk: Desk, *, most_upload: int = 8 << 30) -> Starlette:
    """The application, without the guard in front of it."""
    routes = StudioRoutes(desk, most_upload).routes()
    kinds: list[Any] = [KinemacolorError, HTTPException, ClientDisconnect, Exception]
    return Starlette(routes=routes, exception_handlers=dict.fromkeys(kinds, answer_error))
