"""Colors from strokes: against a dense solution, on answers that are known, and at full size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from kinemacolor.core.color import rgb_to_lab, rgb_to_luma
from kinemacolor.core.types import FloatArray
from kinemacolor.strokes.constraints import STROKE_WEIGHT, StrokeConstraints, stroke_ab, stroke_constraints, stroke_mask
from kinemacolor.strokes.grid_solver import GridSystem
from kinemacolor.strokes.picture import full_size_colors, opacity
from kinemacolor.strokes.records import Stroke
from kinemacolor.strokes.spreading import begin_spread, painted_ab, spread_strokes
from tests.stills import halves
from tests.strokes.test_grid_solver import dense

RED, BLUE = "#c83c32", "#3250d2"
FRAME = (120, 160)


def stroke(
    kind: str = "color", color: str | None = RED, at: tuple[float, float] = (20, 60), **fields: object
) -> Stroke:
    x, y = at
    points = fields.pop("points", [(x, y - 6), (x, y + 6)])
    color = color if kind == "color" else None
    return Stroke.model_validate({"id": "a", "kind": kind, "color": color, "points": points, "width": 5, **fields})


def two_fields() -> FloatArray:
    """Luma (30, 40) of a dark left half and a bright right one, both with a faint texture."""
    y, x = np.mgrid[0:30, 0:40]
    luma: FloatArray = (np.where(x < 20, 0.3, 0.6) + 0.002 * np.sin(x + 2 * y)).astype(np.float32)
    return luma


def test_strokes_solve_the_dense_system() -> None:
    luma = two_fields()
    constraints = stroke_constraints([stroke(), stroke(color=BLUE, at=(140, 60))], luma.shape, FRAME)
    state = spread_strokes(begin_spread(luma), constraints, falloff=1e-3, tolerance=1e-6)
    system = GridSystem(state.couplings, constraints.weight + np.float32(1e-3))
    right = constraints.weight[..., None] * np.dstack([constraints.ab, constraints.painted])
    expected = np.linalg.solve(dense(system), right.reshape(-1, 3).astype(np.float64)).T.reshape(3, *luma.shape)
    np.testing.assert_allclose(state.fields, expected, atol=0.05)


def test_each_stroke_colors_its_half() -> None:
    luma = two_fields()
    constraints = stroke_constraints([stroke(), stroke(color=BLUE, at=(140, 60))], luma.shape, FRAME)
    ab = painted_ab(spread_strokes(begin_spread(luma), constraints))
    np.testing.assert_allclose(ab[:, 2:17], np.broadcast_to(stroke_ab(RED), (30, 15, 2)), atol=4)
    np.testing.assert_allclose(ab[:, 23:38], np.broadcast_to(stroke_ab(BLUE), (30, 15, 2)), atol=4)


def test_one_stroke_leaves_what_does_not_belong_to_it() -> None:
    """Across a strong edge the base stays: gray, or what the film gives."""
    luma, base = two_fields(), np.full((30, 40, 2), 25, np.float32)
    constraints = stroke_constraints([stroke()], luma.shape, FRAME)
    state = spread_strokes(begin_spread(luma), constraints, falloff=2e-2)
    ab = painted_ab(state, base)
    np.testing.assert_allclose(ab[12:18, 3:8], np.broadcast_to(stroke_ab(RED), (6, 5, 2)), atol=1)
    np.testing.assert_allclose(ab[:, 24:], 25, atol=0.5)
    assert np.abs(painted_ab(state)[:, 24:]).max() < 0.5


def test_strokes_hand_back_and_take_color_away() -> None:
    luma, base = two_fields(), np.full((30, 40, 2), 25, np.float32)
    strokes = [stroke(), stroke("engine", at=(140, 60))]
    ab = painted_ab(spread_strokes(begin_spread(luma), stroke_constraints(strokes, luma.shape, FRAME)), base)
    np.testing.assert_allclose(ab[10:20, 30:], 25, atol=1)
    strokes[1] = stroke("neutral", at=(140, 60))
    ab = painted_ab(spread_strokes(begin_spread(luma), stroke_constraints(strokes, luma.shape, FRAME)), base)
    np.testing.assert_allclose(ab[10:20, 30:], 0, atol=1)
    np.testing.assert_allclose(ab[12:18, 3:8], np.broadcast_to(stroke_ab(RED), (6, 5, 2)), atol=1)


def test_a_further_stroke_begins_from_the_solution() -> None:
    rng = np.random.default_rng(3)
    luma = cv2.GaussianBlur(rng.uniform(0, 1, (60, 80)), (0, 0), 4).astype(np.float32)
    many = [
        stroke(color=RED if k % 2 else BLUE, at=(float(x), float(y)), id=f"s{k}")
        for k, (x, y) in enumerate(rng.uniform(10, 110, (20, 2)))
    ]
    first = spread_strokes(begin_spread(luma), stroke_constraints(many, luma.shape, FRAME))
    constraints = stroke_constraints([*many, stroke(at=(150, 20), id="last")], luma.shape, FRAME)
    warm, cold = spread_strokes(first, constraints), spread_strokes(begin_spread(luma), constraints)
    assert warm.steps < cold.steps
    np.testing.assert_allclose(painted_ab(warm), painted_ab(cold), atol=1.5)


def test_what_the_ground_tells_apart_a_stroke_does_too() -> None:
    luma = np.full((30, 40), 0.5, np.float32)
    ground = np.zeros((30, 40, 2), np.float32)
    ground[:, 20:] = 40
    constraints = stroke_constraints([stroke()], luma.shape, FRAME)
    blind = painted_ab(spread_strokes(begin_spread(luma), constraints, falloff=1e-3), ground)
    seeing = painted_ab(spread_strokes(begin_spread(luma, ground), constraints, falloff=1e-3), ground)
    assert np.abs(blind[15, 25] - stroke_ab(RED)).max() < 5
    np.testing.assert_allclose(seeing[:, 22:], 40, atol=2)
    np.testing.assert_allclose(seeing[12:18, 3:15], np.broadcast_to(stroke_ab(RED), (6, 12, 2)), atol=2)


def test_no_stroke_is_the_base() -> None:
    luma, base = two_fields(), np.full((30, 40, 2), 25, np.float32)
    state = spread_strokes(begin_spread(luma), stroke_constraints([], luma.shape, FRAME))
    np.testing.assert_array_equal(painted_ab(state, base), base)


def test_what_strokes_cover() -> None:
    assert stroke_mask(stroke(points=[(80, 60)], width=1), (30, 40), FRAME).sum() == 1
    assert not stroke_mask(stroke(points=[(-500, 60)]), (30, 40), FRAME).any()
    square = [(40, 40), (120, 40), (120, 80), (40, 80)]
    area = stroke_mask(stroke(points=square, area=True), (30, 40), FRAME)
    assert area[12:18, 12:28].all()
    assert not area[:9].any()
    assert not area[:, 31:].any()
    both = stroke_constraints([stroke(), stroke("open")], (30, 40), FRAME)
    assert both.open.any()
    assert not stroke_constraints([stroke("open"), stroke()], (30, 40), FRAME).open.any()
    assert both.weight.max() == STROKE_WEIGHT


def test_a_stroke_speaks_for_what_looks_alike() -> None:
    keys = np.zeros((8, 10, 3), np.float32)
    keys[..., 0] = 1
    keys[:, 7:] = (0, 1, 0)
    keys[2:4, 8:] = (1, 0.02, 0)  # looks like what is at the left
    size = (32, 40)
    constraints = stroke_constraints([stroke(alike=True, at=(12, 60))], size, FRAME, keys)
    assert constraints.weight[10:14, 35:39].min() > 0
    assert constraints.weight[20:, 32:].max() == 0
    np.testing.assert_allclose(constraints.ab[11, 36], stroke_ab(RED), atol=0.01)
    without = stroke_constraints([stroke(at=(12, 60))], size, FRAME, keys)
    assert without.weight[:, 10:].max() == 0


def test_a_picture_keeps_the_luma_of_the_film() -> None:
    rgb = halves(161, 121).astype(np.float32) / 255
    luma = rgb_to_luma(rgb, "bt709")
    small = np.ascontiguousarray(rgb_to_lab(rgb)[::3, ::3, 1:])
    picture = full_size_colors(luma, small, "bt709")
    np.testing.assert_allclose(rgb_to_luma(picture, "bt709"), luma, atol=2e-3)
    assert np.mean(np.square(picture - rgb)) < 1e-3
    holes = np.zeros((30, 40), np.bool_)
    holes[:, :20] = True
    closed = opacity(holes, (120, 160))
    assert not closed[:, :78].any()
    assert closed[:, 82:].all()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "color", "color": None},
        {"color": "red"},
        {"points": []},
        {"points": [(float("nan"), 0)]},
        {"points": [(1e9, 0)]},
        {"width": 0},
        {"id": "../x"},
        {"kind": "paint"},
        {"unknown": 1},
    ],
)
def test_what_is_no_stroke(fields: dict[str, object]) -> None:
    good = {"id": "a", "kind": "color", "color": RED, "points": [(1, 2)]}
    Stroke.model_validate(good)
    with pytest.raises(ValidationError):
        Stroke.model_validate({**good, **fields})


def test_constraints_are_values() -> None:
    state = begin_spread(two_fields())
    before = state.fields.copy()
    spread_strokes(state, stroke_constraints([stroke()], (30, 40), FRAME))
    np.testing.assert_array_equal(state.fields, before)
    assert isinstance(stroke_constraints([], (30, 40), FRAME), StrokeConstraints)
