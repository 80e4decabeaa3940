"""Frames that are proposed for painting, and what they do for the film."""

from __future__ import annotations

from dataclasses import dataclass

from kinemacolor.core.shot import Shot


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to paint.

    Attributes:
        frame: index in the film.
        shot: index of its shot among those of the film.
        gain: by how much it raises the mean support of the sampled frames when it joins those before it.
        before, after: share of the sampled frames' cells supported at the threshold, without and with it.
        covers: sampled frames (indices in the film) that have their best support from it, among all picks.
    """

    frame: int
    shot: int
    gain: float
    before: float
    after: float
    covers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShotSupport:
    """The support of a shot with all picks.

    Attributes:
        shot: the shot.
        sampled: number of its frames that were sampled.
        picks: frames of it that are to be painted; may be none where another shot lends its colors.
        support: mean support of its sampled frames, in [0, 1].
        weakest: the sampled frame with the least support.
        lowest: that support.
        share: of its sampled frames' cells, supported at the threshold.
    """

    shot: Shot
    sampled: int
    picks: tuple[int, ...]
    support: float
    weakest: int
    lowest: float
    share: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """Frames to paint.

    Attributes:
        picks: in order of gain, so that any number of the first ones is a good choice, too.
        shots: one for each shot with a sampled frame.
        threshold: at which cells and frames count as supported.
        support: mean over the sampled frames with all picks, in [0, 1].
        share: of all cells, supported at the threshold with all picks.
        met: whether every sampled frame has the threshold's support.
    """

    picks: tuple[Pick, ...]
    shots: tuple[ShotSupport, ...]
    threshold: float
    support: float
    share: float
    met: bool
