"""The time code of a film (SMPTE ST 12-1): a number for each frame, as HH:MM:SS:FF, that films carry as a tag."""

from __future__ import annotations

import re
from fractions import Fraction

from kinemacolor.video.info import VideoInfo

_TIMECODE = re.compile(r"(\d{2,}):(\d{2}):(\d{2})([:;.])(\d{2,})")
_TAGS = ("timecode", "reel_name")


def timecode_tags(info: VideoInfo) -> dict[str, str]:
    """Tags of the track that holds a film's time code, where it has one beside the picture."""
    tracks = [stream.metadata for stream in info.other_streams if stream.type == "data"]
    with_timecode = next((tags for tags in tracks if "timecode" in tags), {})
    return {key: with_timecode[key] for key in _TAGS if key in with_timecode}


def shift_timecode(tags: dict[str, str], rate: Fraction, seconds: Fraction) -> tuple[dict[str, str], str | None]:
    """Tags of a film that starts later, with the time code of its new first frame.

    Args:
        tags: of a film or its picture.
        rate: frames a second.
        seconds: from the film's first frame to the new first frame.

    Returns:
        The tags, without a time code that no file can hold; and this time code, or None.
    """
    name = next((key for key in tags if key.lower() == "timecode"), None)
    if name is None:
        return tags, None
    try:
        return {**tags, name: advance_timecode(tags[name], rate, round(seconds * rate))}, None
    except ValueError:
        return {key: value for key, value in tags.items() if key != name}, tags[name]


def advance_timecode(timecode: str, rate: Fraction, frames: int) -> str:
    """A time code some frames later; it starts over after 24 hours.

    Raises:
        ValueError: it is no time code, or none of this rate.
    """
    match = _TIMECODE.fullmatch(timecode.strip())
    if match is None:
        raise ValueError(f"timecode: expected HH:MM:SS:FF, got {timecode}")
    hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
    separator, nominal = match[4], round(rate)
    drops = separator in ";."
    if nominal < 1 or (drops and (nominal % 30 or rate * 1001 != nominal * 1000)):
        raise ValueError(f"timecode: expected one for {rate} frames a second, got {timecode}")
    minute = (hours * 60 + minutes) * 60 + seconds
    number = minute * nominal + frame + frames
    dropped = nominal // 15 if drops else 0  # numbers that are passed over in nine minutes of ten
    if dropped:
        total_minutes = hours * 60 + minutes
        number -= dropped * (total_minutes - total_minutes // 10)
        tens, rest = divmod(number, nominal * 600 - dropped * 9)
        number += dropped * 9 * tens
        if rest >= dropped:
            number += dropped * ((rest - dropped) // (nominal * 60 - dropped))
    seconds, frame = divmod(number, nominal)
    hours, minutes, seconds = seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{frame:02d}"
