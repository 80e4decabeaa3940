"""Times as people write them: ``hh:mm:ss.sss``."""

from __future__ import annotations

import re
from fractions import Fraction

_CLOCK = re.compile(r"(?:(?P<h>[0-9]+):)?(?P<m>[0-5]?[0-9]):(?P<s>[0-5]?[0-9])(?:[.,](?P<f>[0-9]{1,9}))?", re.ASCII)


def clock_seconds(text: str) -> Fraction | None:
    """Seconds of ``[hh:]mm:ss[.sss]``, or None where the text is no such time."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    fraction = match["f"] or "0"
    whole = 3600 * int(match["h"] or 0) + 60 * int(match["m"]) + int(match["s"])
    return whole + Fraction(int(fraction), 10 ** len(fraction))


def clock_text(seconds: Fraction | float) -> str:
    """``h:mm:ss.sss``, rounded to thousandths."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
