"""What may happen to a window of frames between the cache and the network: probabilities and ranges, one record."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from kinemacolor.training.data.film_degradation import Wear


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How samples are varied. Probabilities are in [0, 1]; the defaults are those of ``lite``.

    Attributes:
        photos: share of samples made from photos by synthetic motion (where there are photos and films).
        thing: probability that an object from another photo crosses such a clip.
        stride: frames from one frame of a window to the next, drawn from 1 to this.
        reverse: probability that a window runs backward.
        whole: frames are brought to the size wanted uncropped, their shape given up (the paper's 384×216).
        crop: share of the largest part of the size's shape that is shown, from and to.
        tilt: degrees by which the crop is turned at most.
        mirror: probability that frames and reference are mirrored together.
        far: probability of a reference that is another frame than the window's first, up to ``distance`` frames off.
        distance: see ``far``; in frames of the film.
        other_view: probability of a reference seen through another crop, mirrored or turned.
        foreign: probability of a reference from another clip, in which nothing may fit.
        masked: probability that areas of the reference give no color.
        rotate: probability that the ab plane is rotated, by any angle, for truth and reference alike.
        saturate: probability that chroma is scaled for both.
        saturation: range of that scale.
        degraded: probability of worn luminance.
        reference_degraded: probability that the reference's luminance is then worn as well.
        film_luma: probability that luminance is the L* of luma, as black-and-white film shows colors, and not CIE L*.
        wear: what worn luminance looks like.
    """

    photos: float = 0.35
    thing: float = 0.6
    stride: int = 3
    reverse: float = 0.3
    whole: bool = False
    crop: tuple[float, float] = (0.6, 1.0)
    tilt: float = 3.0
    mirror: float = 0.5
    far: float = 0.4
    distance: int = 48
    other_view: float = 0.2
    foreign: float = 0.0
    masked: float = 0.15
    rotate: float = 0.3
    saturate: float = 0.5
    saturation: tuple[float, float] = (0.6, 1.4)
    degraded: float = 0.5
    reference_degraded: float = 0.5
    film_luma: float = 0.5
    wear: Wear = field(default_factory=Wear)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "float" and one.name != "tilt" and not 0 <= value <= 1:
                raise ValueError(f"{one.name}: expected a probability in [0, 1], got {value}")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop: expected 0 < from ≤ to ≤ 1, got {self.crop}")
        if not 0 <= self.saturation[0] <= self.saturation[1]:
            raise ValueError(f"saturation: expected 0 ≤ from ≤ to, got {self.saturation}")
        if self.stride < 1 or self.distance < 1:
            raise ValueError(f"stride, distance: expected at least 1, got {self.stride}, {self.distance}")
        if not 0 <= self.tilt <= 45:
            raise ValueError(f"tilt: expected degrees in [0, 45], got {self.tilt}")

    @property
    def repeats(self) -> bool:
        """Whether frames that come again look the same again: whole, and nothing of how they are seen is drawn."""
        return self.whole and not (self.photos or self.mirror)


PAPER = Augmentation(
    photos=0, thing=0, stride=1, reverse=0, whole=True, crop=(1.0, 1.0), tilt=0, mirror=0, far=0, other_view=0,
    foreign=0, masked=0, rotate=0, saturate=0, degraded=0, reference_degraded=0, film_luma=0,
)  # fmt: skip
"""Section 4: consecutive frames, whole, the first of them the reference."""
