"""An open film as pages see it."""

from __future__ import annotations

from typing import Any

from kinemacolor.pipeline.workdir import work_folder
from kinemacolor.studio.film_project import FilmProject


def project_record(project: FilmProject) -> dict[str, Any]:
    """A project as JSON-ready values."""
    with project.lock:
        info, analysis = project.info, project.analysis
        shots: list[dict[str, Any]] = []
        if analysis is not None:
            neutral = set(analysis.neutral_shots)
            marks = analysis.marks or ("",) * len(analysis.shots)
            shots = [
                {"start": shot.start, "stop": shot.stop, "gray": number in neutral, "mark": marks[number]}
                for number, shot in enumerate(analysis.shots)
            ]
        height, width = info.height, round(info.width * info.sample_aspect_ratio)
        if info.sample_aspect_ratio < 1:
            width, height = info.width, round(info.height / info.sample_aspect_ratio)
        turned = info.rotation in (90, 270)
        return {
            "id": project.id,
            "path": str(project.path),
            "saved": project.path.exists(),
            "film": str(project.film),
            "name": project.film.name,
            "output": str(project.output),
            "rate": float(info.rate),
            "width": height if turned else width,
            "height": width if turned else height,
            "first": analysis.first if analysis else 0,
            "frames": analysis.frames if analysis else info.frames,
            "analyzed": analysis is not None,
            "damage": analysis.damage if analysis else None,
            "shots": shots,
            "stills": project.stills(),
            "settings": project.settings.model_dump(mode="json"),
            "resumable": work_folder(project.output).exists(),
            "finished": project.output.exists(),
            "report": project.report.exists(),
            "remarks": project.remarks,
        }
