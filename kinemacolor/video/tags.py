"""What a film says about itself and its streams, as the colored film is to say it: tags and chapters."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kinemacolor.video.info import VideoInfo

_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"})
_ENCODING_TAGS = frozenset({"encoder", "duration", "bps", "number_of_frames", "number_of_bytes", "vendor_id"})
ITUNES_TAGS = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "author",
        "timecode",
        "creation_time",
        "episode_sort",
        "season_number",
        "media_type",
        "hd_video",
        "gapless_playback",
        "compilation",
        "track",
        "disc",
    }
)
"""Tags that an MP4 file keeps in the form that players read."""


def film_tags(tags: dict[str, str]) -> dict[str, str]:
    """A film's tags without those that describe the file they were read from."""
    return {key: value for key, value in tags.items() if key.lower() not in _CONTAINER_TAGS}


def stream_tags(tags: dict[str, str], *, colored: bool) -> dict[str, str]:
    """A stream's tags; those of the colored stream without the ones that describe its old encoding."""
    if "name" in tags and "title" not in tags:  # as MP4 and QuickTime files are read; they are written by the other
        tags = {"title": tags["name"], **{key: value for key, value in tags.items() if key != "name"}}
    if not colored:
        return dict(tags)
    return {
        key: value
        for key, value in tags.items()
        if key.lower().split("-")[0] not in _ENCODING_TAGS and not key.upper().startswith("_STATISTICS")
    }


def chapters_within(info: VideoInfo, begin: Fraction, stop: Fraction | None, shift: Fraction) -> list[Any]:
    """The chapters that overlap [begin, stop) seconds, clipped to it and moved by −shift seconds."""
    chapters: list[Any] = []
    for chapter in info.chapters:
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = chapter["start"] * base, chapter["end"] * base
        if end <= begin or (stop is not None and start >= stop):
            continue
        start, end = max(start, begin) - shift, (end if stop is None else min(end, stop)) - shift
        chapters.append({**chapter, "start": round(start / base), "end": round(end / base)})
    return chapters
