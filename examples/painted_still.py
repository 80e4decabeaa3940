"""A still painted roughly by hand: polygons of one color each, over a frame of "His Girl Friday" (1940).

This does in code, so that it can be repeated, what a restorer does in a paint program in ten minutes:

    python examples/painted_still.py his_girl_friday.mp4 still.png
    kinemacolor colorize his_girl_friday.mp4 -r still.png -o color.mp4

The film is the public-domain clip of github.com/mdn/shared-assets (videos/friday.mp4), 640×480.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb, luma_to_lightness
from kinemacolor.video.reader import VideoReader

FRAME = 90
SKIN, HAIR, BLONDE = (14, 16), (8, 12), (9, 24)
AREAS: tuple[tuple[tuple[int, int], tuple[tuple[int, int], ...]], ...] = (
    ((-4, 12), ((0, 0), (640, 0), (640, 480), (0, 480))),  # wall
    ((3, 10), ((352, 300), (640, 300), (640, 480), (352, 480))),  # desk
    ((-10, 8), ((290, 134), (410, 134), (410, 330), (290, 330))),  # filing cabinet
    ((14, 22), ((172, 18), (268, 18), (268, 114), (172, 114))),  # clock
    ((2, 18), ((200, 48), (222, 42), (240, 52), (243, 72), (232, 88), (212, 90), (198, 76))),  # its dial
    (HAIR, ((12, 175), (60, 150), (150, 150), (180, 190), (170, 330), (20, 330))),  # woman at the left
    ((16, -22), ((0, 330), (110, 330), (170, 400), (170, 480), (0, 480))),  # her dress
    (SKIN, ((140, 190), (176, 195), (182, 235), (165, 262), (140, 250))),
    (BLONDE, ((180, 210), (225, 175), (290, 180), (300, 215), (262, 285), (200, 300), (176, 260))),  # seated woman
    ((4, 26), ((170, 300), (260, 285), (310, 330), (300, 420), (250, 440), (165, 430))),  # her jacket
    (SKIN, ((258, 195), (298, 200), (302, 235), (290, 270), (265, 268), (255, 230))),
    ((30, 14), ((388, 150), (450, 145), (500, 150), (525, 200), (540, 245), (450, 250), (420, 290), (350, 370), (318, 362), (360, 290))),  # noqa: E501
    ((30, 14), ((358, 118), (378, 30), (432, 24), (442, 58), (468, 62), (464, 84), (420, 104))),  # hat, as the jacket
    (HAIR, ((445, 85), (472, 95), (475, 140), (445, 150), (432, 120))),
    (SKIN, ((383, 108), (430, 96), (440, 125), (420, 152), (395, 148), (385, 130))),
    (SKIN, ((300, 340), (355, 345), (350, 372), (305, 372))),
    ((0, 12), ((450, 240), (636, 240), (636, 282), (450, 282))),  # book
)  # fmt: skip
"""(a*, b*) and a polygon in pixels; later ones lie on top."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("still", type=Path)
    options = parser.parse_args()
    with VideoReader(options.film) as reader:
        frame = next(islice(reader.frames(), FRAME, None))
    lightness = luma_to_lightness(frame.luma, frame.coding)
    ab = np.zeros((*lightness.shape, 2), np.float32)
    for color, polygon in AREAS:
        cover = cv2.fillPoly(np.zeros(lightness.shape, np.float32), [np.array(polygon, np.int32)], 1.0)
        cover = cv2.GaussianBlur(cover, (0, 0), 2)[..., None]
        ab += cover * (np.array(color, np.float32) - ab)
    strength = np.clip(lightness / 40, 0, 1)[..., None]  # shadows hold little color
    rgb = lab_to_rgb(np.concatenate([lightness[..., None], ab * strength], axis=2))
    cv2.imwrite(str(options.still), np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)[..., ::-1])


if __name__ == "__main__":
    main()
