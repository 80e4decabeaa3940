"""Languages of sound and subtitles in QuickTime files, which know fewer than others, by numbers of their own."""

from __future__ import annotations

_QUICKTIME = (
    "alb amh ara arm asm aym aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est "
    "fin fra geo ger gre grn guj heb hin hun ice ind iri ita jav jpn kan kas kaz khm kir "
    "kor kur lao lat lav lit mac mal mar may mlg mlt mon nep nor ori orm per pol por pus "
    "que ron run rus san sin slk slv snd som spa sve swa tam tat tel tgk tgl tha tib tir "  # codespell:ignore
    "tuk tur uig ukr urd uzb vie wel yid"  # codespell:ignore
)
"""Names by which FFmpeg's QuickTime muxer finds the numbers."""
_OTHER_NAMES = {
    **{"bod": "tib", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "fre": "fra", "hye": "arm"},
    **{"isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "nob": "nor", "rum": "ron"},
    **{"slo": "slk", "sqi": "alb", "swe": "sve", "zho": "chi"},
    **{"cym": "wel", "fao": "fo ", "hrv": "hr ", "pan": "pa ", "srp": "sr "},  # codespell:ignore
}


def quicktime_language(language: str) -> str | None:
    """The name of the same language that FFmpeg's QuickTime muxer takes; None where such files cannot hold it.

    Args:
        language: as of ISO 639-2, of either kind (``deu`` or ``ger``).
    """
    name = language.lower()
    return name if name in _QUICKTIME.split() or name == "und" else _OTHER_NAMES.get(name)
