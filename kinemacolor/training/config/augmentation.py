"""How windows of frames are varied between the cache and the network: probabilities and ranges, in one record."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class FilmWear:
    """How often each kind of damage occurs in a clip that is degraded, and how strong it is at most.

    Attributes:
        blur: probability; σ of a Gaussian up to ``blur_sigma`` pixels.
        tone: probability of a changed contrast, brightness and gamma.
        flicker: probability; brightness of single frames varies by up to ``flicker_level`` of white (one σ).
        grain: probability; one σ of up to ``grain_level`` L*.
        scratches: probability of upright lines that stay for several frames.
        dust: probability of specks, new in each frame.
    """

    blur: float = 0.35
    blur_sigma: float = 1.2
    tone: float = 0.5
    flicker: float = 0.4
    flicker_level: float = 0.05
    grain: float = 0.7
    grain_level: float = 6.0
    scratches: float = 0.2
    dust: float = 0.25

    def __post_init__(self) -> None:
        for name in ("blur", "tone", "flicker", "grain", "scratches", "dust"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a probability in [0, 1], got {getattr(self, name)}")
        for name in ("blur_sigma", "flicker_level", "grain_level"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How samples are varied. Probabilities are in [0, 1]; the defaults are those of ``lite``.

    Attributes:
        photos: share of samples made from photos by synthetic motion (where there are photos and films).
        moving_object: probability that an object from another photo crosses such a clip.
        stride: frames from one frame of a window to the next, drawn from 1 to this.
        reverse: probability that a window runs backward.
        whole: frames are resized to the wanted size without cropping, and lose their shape (the paper's 384×216).
        crop: share of the largest part of the size's shape that is shown, from and to.
        tilt: degrees by which the crop is rotated at most.
        mirror: probability that frames and reference are mirrored together.
        far: probability of a reference that is another frame than the window's first, up to ``distance`` frames away.
        distance: see ``far``; in frames of the film.
        other_view: probability of a reference seen through another crop, mirrored or rotated.
        mirrored_view: probability that such a view is mirrored.
        foreign: probability of a reference from another clip, in which nothing may match.
        masked: probability that areas of the reference give no color.
        rotate: probability that the ab plane is rotated, by any angle, for truth and reference alike.
        saturate: probability that chroma is scaled for both.
        saturation: range of that scale.
        degraded: probability of degraded luminance.
        reference_degraded: probability that the reference's luminance is then degraded as well.
        film_luma: probability that luminance is the L* of luma, as black-and-white film shows colors, and not CIE L*.
        wear: how luminance is degraded.
    """

    photos: float = 0.35
    moving_object: float = 0.6
    stride: int = 3
    reverse: float = 0.3
    whole: bool = False
    crop: tuple[float, float] = (0.6, 1.0)
    tilt: float = 3.0
    mirror: float = 0.5
    far: float = 0.4
    distance: int = 48
    other_view: float = 0.2
    mirrored_view: float = 0.5
    foreign: float = 0.0
    masked: float = 0.15
    rotate: float = 0.3
    saturate: float = 0.5
    saturation: tuple[float, float] = (0.6, 1.4)
    degraded: float = 0.5
    reference_degraded: float = 0.5
    film_luma: float = 0.5
    wear: FilmWear = field(default_factory=FilmWear)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.type == "float" and entry.name != "tilt" and not 0 <= value <= 1:
                raise ValueError(f"{entry.name}: expected a probability in [0, 1], got {value}")
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
        """Whether frames that are drawn again look the same again: whole, and nothing of their view is drawn."""
        return self.whole and not (self.photos or self.mirror)


PAPER_AUGMENTATION = Augmentation(
    photos=0, moving_object=0, stride=1, reverse=0, whole=True, crop=(1.0, 1.0), tilt=0, mirror=0, far=0, other_view=0,
    foreign=0, masked=0, rotate=0, saturate=0, degraded=0, reference_degraded=0, film_luma=0,
)  # fmt: skip
"""Section 4: consecutive frames, whole, the first of them the reference."""
