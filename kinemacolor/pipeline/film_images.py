"""What is missing or damaged in a film of images: told to the user, or refused."""

from __future__ import annotations

from kinemacolor.core.errors import InputError
from kinemacolor.core.job_context import JobContext
from kinemacolor.video.info import VideoInfo


def missing_remarks(info: VideoInfo, *, strict: bool) -> tuple[str, ...]:
    """A line about images that are missing by their numbers, or nothing.

    Raises:
        InputError: with ``strict``, images are missing.
    """
    if info.missing is None:
        return ()
    if strict:
        raise InputError(info.path, info.missing, "add them, or leave out `strict`")
    return (f"{info.path}: {info.missing}; the frames after a gap follow those before it",)


def tell_damaged_images(info: VideoInfo, damage: str | None, context: JobContext, *, strict: bool) -> None:
    """Warns of images that could not be decoded, as a pass through the film has shown; missing ones were told before.

    Raises:
        InputError: with ``strict``, images could not be decoded.
    """
    if info.names is None or damage is None or damage == info.missing:
        return
    damage = damage.removeprefix(f"{info.missing}; ")
    if strict:
        raise InputError(info.path, damage, "replace them, or leave out `strict`")
    context.warn(f"{info.path}: {damage}")
