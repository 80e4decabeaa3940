"""The losses of section 3.3 and, for ``lite``, of the gate: pure functions of tensors (NCHW), each a scalar.

a*, b* come in Lab units everywhere (±128), lightness as L* in [0, 100]. The paper gives λ but no units for ab. We take
Lab units, those of Deep Exemplar-based Video Colorization (Zhang et al. 2019), from which it adopts the adversarial and
the smooth loss. Gradients reach predictions only: truths, flows and whatever a frame is compared with are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.core.color import DELTA, FROM_XYZ, KNEE

Features = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""A frozen feature network: R'G'B' (n, 3, H, W) in [0, 1] → one activation map or several."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """λ of each loss in the sum of equation 11; 0 leaves it out. Defaults: as published (section 4)."""

    l1: float = 0.5
    perceptual: float = 0.05
    temporal: float = 3.0
    adversarial: float = 0.2
    smooth: float = 4.0
    gate: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a weight of at least 0, got {getattr(self, name)}")


PAPER_WEIGHTS = LossWeights()


def _same(prediction: Tensor, truth: Tensor, channels: int) -> None:
    if prediction.shape != truth.shape or prediction.ndim < 4 or prediction.shape[-3] != channels:
        raise ValueError(
            f"truth: expected {tuple(prediction.shape)} with (…, {channels}, H, W), got {tuple(truth.shape)}"
        )


def _full(values: Tensor) -> Tensor:
    """In single precision at least: what leaves a network under autocast may be in half."""
    return values if values.dtype == torch.float64 else values.float()


# --- color --------------------


def lab_to_rgb(lab: Tensor) -> Tensor:
    """R'G'B' (…, 3, H, W), unclipped, of L*a*b* (…, 3, H, W): ``kinemacolor.core.color.lab_to_rgb`` with gradients.

    Gradients are finite everywhere: powers are taken only where their curves are used.
    """
    lightness, a, b = _full(lab).unbind(dim=-3)
    middle = (lightness + 16) / 116
    roots = torch.stack([middle + a / 500, middle, middle - b / 200], dim=-3)
    curved = roots.clamp(min=DELTA)
    ratios = curved**3 + 3 * DELTA**2 * (roots - curved)
    x, y, z = ratios.unbind(dim=-3)  # sums, since autocast would bring a matrix product to half precision
    linear = torch.stack([r * x + g * y + b * z for r, g, b in FROM_XYZ.tolist()], dim=-3)
    size = torch.where(linear < 0, -linear, linear)  # unlike abs, with a slope at black
    bent = size.clamp(min=KNEE)
    encoded: Tensor = 1.055 * bent ** (1 / 2.4) - 0.055 + 12.92 * (size - bent)
    return torch.where(linear < 0, -encoded, encoded)


def visible_rgb(lightness: Tensor, ab: Tensor) -> Tensor:
    """R'G'B' (…, 3, H, W) in [0, 1] of L* (…, 1, H, W) and a*, b* (…, 2, H, W), as a screen clips it."""
    return lab_to_rgb(torch.cat([lightness, ab], dim=-3)).clamp(0, 1)


# --- equations 8 to 10 --------------------


def l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """Equation 8: mean |ã − a| over pixels and both channels, in Lab units. ab is (…, 2, H, W)."""
    _same(prediction, truth, 2)
    return (_full(prediction) - truth.detach()).abs().mean()


def relative(prediction: Tensor, truth: Tensor, floor: float = 1.0) -> Tensor:
    """Mean over frames of log(1 + e / floor), e the mean |ã − a| of a frame.

    As in PSNR, an error halved counts the same on an easy frame as on a hard one.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
        floor: Lab units; errors far below it hardly count.
    """
    _same(prediction, truth, 2)
    error = (_full(prediction) - truth.detach()).abs().mean(dim=(-3, -2, -1))
    return torch.log1p(error / floor).mean()


def psnr(prediction: Tensor, truth: Tensor, floor: float = 1.0) -> Tensor:
    """Mean over frames of log(1 + e / floor), e the mean |ã − a|² of a frame: what is left when PSNR is high.

    Unlike ``relative``, a few pixels that are far off count as much as they do in PSNR.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
        floor: squared Lab units; errors far below it hardly count.
    """
    _same(prediction, truth, 2)
    error = (_full(prediction) - truth.detach()).square().sum(dim=-3).mean(dim=(-2, -1))
    return torch.log1p(error / floor).mean()


def chroma(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of chroma, √(a*² + b*² + 0.01): where hues are uncertain, losses that compare a*, b*
    gray colors out, and this one does not.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
    """
    _same(prediction, truth, 2)
    found, wanted = ((_full(ab).square().sum(dim=-3) + 0.01).sqrt() for ab in (prediction, truth.detach()))
    return (found - wanted).abs().mean()


def perceptual(features: Features, lightness: Tensor, prediction: Tensor, truth: Tensor) -> Tensor:
    """Equation 9: mean squared difference of activation maps of R'G'B'; the mean over maps where there are several.

    Args:
        features: Φ; frozen (``freeze``), so that it takes no gradient itself.
        lightness: L* (…, 1, H, W) of the truth, used for both.
        prediction, truth: a*, b* (…, 2, H, W).
    """
    _same(prediction, truth, 2)
    lightness = lightness.detach()
    result = _maps(features(visible_rgb(lightness, prediction).flatten(0, -4)))
    with torch.no_grad():
        goal = _maps(features(visible_rgb(lightness, truth).flatten(0, -4)))
    return torch.stack([functional.mse_loss(_full(a), _full(b)) for a, b in zip(result, goal, strict=True)]).mean()


def _maps(found: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [found] if isinstance(found, Tensor) else found


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """(n, C, H, W) whose pixel p is the image's at p + flow(p), bilinear, edges continued.

    Args:
        image: (n, C, H, W).
        flow: (n, 2, H, W), (x, y) displacement in pixels.
    """
    height, width = image.shape[2:]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device).view(1, -1, 1)
    x = torch.arange(width, dtype=flow.dtype, device=flow.device).view(1, 1, -1)
    place = torch.stack([(flow[:, 0] + x) * (2 / max(width - 1, 1)), (flow[:, 1] + y) * (2 / max(height - 1, 1))], 3)
    return functional.grid_sample(image, (place - 1).to(image.dtype), padding_mode="border", align_corners=True)


def temporal(current: Tensor, previous: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Equation 10: mean of M · |W(x̃_{t−1}) − x̃_t| over all pixels and both channels, in Lab units.

    The previous frame is what the current one has to agree with: it gets no gradient.

    Args:
        current: ab (n, 2, H, W) predicted for frames t.
        previous: ab (n, 2, H, W) predicted for frames t − 1.
        flow: (n, 2, H, W), (x, y) pixels from frame t to frame t − 1 (for sampling the previous frame).
        visible: M (n, 1, H, W), 1 where a pixel of frame t is seen in frame t − 1, 0 where it is occluded.
    """
    _same(current, previous, 2)
    return (visible * (warp(_full(previous).detach(), flow) - _full(current))).abs().mean()


def smooth(prediction: Tensor, lightness: Tensor, truth: Tensor, *, spread: float = 10.0) -> Tensor:
    """Zhang et al. 2019: mean of (ab_i − Σ_j w_ij ab_j)² over pixels and channels, in squared Lab units.

    j runs over the 3×3 neighbors inside the picture, i among them; w_ij = softmax_j(−‖Lab_i − Lab_j‖² / spread) of
    the truth.

    Args:
        prediction: ab (…, 2, H, W).
        lightness: L* (…, 1, H, W) of the truth.
        truth: ab (…, 2, H, W).
    """
    _same(prediction, truth, 2)
    prediction = _full(prediction).flatten(0, -4)
    truth = torch.cat([lightness, truth], dim=-3).detach().flatten(0, -4)
    height, width = truth.shape[2:]
    pads = (1, 1, 1, 1)
    inside = functional.pad(torch.ones_like(truth[:, :1]), pads)
    wide_truth, wide = functional.pad(truth, pads), functional.pad(prediction, pads)
    total, mean = torch.zeros_like(truth[:, :1]), torch.zeros_like(prediction)
    for y in range(3):  # a loop over nine shifts holds a ninth of what unfolding would
        for x in range(3):
            rows, columns = slice(y, y + height), slice(x, x + width)
            distance = (wide_truth[..., rows, columns] - truth).square().sum(dim=1, keepdim=True)
            weight = torch.exp(-distance / spread) * inside[..., rows, columns]
            total = total + weight
            mean = mean + weight * wide[..., rows, columns]
    return (prediction - mean / total).square().mean()


# --- adversarial --------------------


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau 2019), the discriminator's side.

    ((D(r) − mean D(f) − 1)² + (D(f) − mean D(r) + 1)²) / 2, mean over the batch.

    Args:
        real, fake: (B,), the discriminator's answers. Hand it *detached* colors, so that the generator is left alone.
    """
    real, fake = _full(real), _full(fake)
    return ((real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean()) / 2


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The generator's side: the same with the two exchanged. ``real`` is constant.

    Freeze the discriminator (``freeze``, ``requires_grad_``) where its own gradients are not to be computed.
    """
    return discriminator_loss(fake, real.detach())


# --- gate --------------------


def gate(
    logits: Tensor,
    candidates: Tensor,
    truth: Tensor,
    offered: Tensor | None = None,
    *,
    temperature: float = 0.5,
    enough: float = 10.0,
) -> Tensor:
    """Which candidate color is nearest the truth: cross-entropy of the gate with the answer, less its least value.

    The answer is soft: softmax over the candidates of −distance / temperature, so that equally good candidates may
    share. A pixel counts by how much there is to choose: the largest difference of distances, up to ``enough``.

    Args:
        logits: (B, N, K, H, W), of the gate's softmax.
        candidates: (B, N, K, 2, H, W), a*, b*; constants here.
        truth: (B, N, 2, H, W).
        offered: (B, N, K, H, W), 0 where a candidate is no color to choose (nothing was carried there); None for 1.
        temperature, enough: Lab units.

    Returns:
        Mean over pixels by weight of KL(answer ‖ gate); 0 at best, and 0 where nothing is to choose anywhere.
    """
    if candidates.shape[:3] != logits.shape[:3] or candidates.shape[3:] != truth.shape[2:]:
        raise ValueError(f"candidates: expected {(*logits.shape[:3], *truth.shape[2:])}, got {tuple(candidates.shape)}")
    with torch.no_grad():
        distance = torch.linalg.vector_norm(_full(candidates) - truth.unsqueeze(2), dim=3)
        choice = torch.ones_like(distance) if offered is None else (offered > 0).to(distance.dtype)
        answer = functional.log_softmax(torch.where(choice > 0, -distance / temperature, -1e4), dim=2)
        nearest = torch.where(choice > 0, distance, 1e4).amin(dim=2)
        farthest = torch.where(choice > 0, distance, -1e4).amax(dim=2)
        weight = (farthest - nearest).clamp(0, enough)
    chosen = functional.log_softmax(torch.where(choice > 0, _full(logits), -1e4), dim=2)
    lost = (answer.exp() * (answer - chosen)).sum(dim=2)
    return (weight * lost).sum() / weight.sum().clamp(min=1e-6)


def matches(
    queries: Tensor, keys: Tensor, valid: Tensor, places: Tensor, grid: tuple[int, int], tau: float, most: float = 12.0
) -> Tensor:
    """Whether cells are matched with what they show: cross-entropy of the softmax of equation 2 with the true place.

    What counts is the share of the softmax that falls on the four entries around the place.

    Args:
        queries: unit features of cells (B, T, C).
        keys: unit features of the bank (B, K, C), a reference's first, row by row.
        valid: (B, K), 0 for entries that are masked.
        places: (B, T, 3): column and row in the reference's grid, and the weight, 0 for unknown.
        grid: rows and columns of the reference's.
        tau: temperature.
        most: loss of a cell at most: some places are wrong.

    Returns:
        Mean over cells by weight; 0 where no place is known.
    """
    logits = (_full(queries) / tau) @ _full(keys).transpose(1, 2) + (valid.unsqueeze(1) - 1) * (4 / tau)
    place, weight = places[..., :2].detach(), places[..., 2].detach()
    first = place.floor()
    corners = [first + place.new_tensor(step) for step in ((0, 0), (1, 0), (0, 1), (1, 1))]
    rows, columns = grid
    last = place.new_tensor([columns - 1, rows - 1])
    inside = [torch.minimum(corner.clamp(min=0), last) for corner in corners]
    entry = torch.stack([corner[..., 1] * columns + corner[..., 0] for corner in inside], dim=2).long()
    around = logits.gather(2, entry)
    # At the border two corners are the same entry, which counts once.
    twice = torch.stack(
        [
            torch.zeros_like(entry[..., 0], dtype=torch.bool),
            entry[..., 1] == entry[..., 0],
            entry[..., 2] == entry[..., 0],
            (entry[..., 3] == entry[..., 1]) | (entry[..., 3] == entry[..., 2]),
        ],
        dim=2,
    )
    share = torch.logsumexp(around.masked_fill(twice, -1e4), dim=2) - torch.logsumexp(logits, dim=2)
    weight = weight * (valid.gather(1, entry.flatten(1)).view_as(entry).amin(dim=2) > 0)
    return (weight * (-share).clamp(max=most)).sum() / weight.sum().clamp(min=1e-6)


def pooled_places(cells: Tensor, stride: int) -> Tensor:
    """Places (B, N, 3, rows, columns) of squares of cells: the mean, as sure as the least sure of them, and not where
    they lie further apart than beside each other."""
    flat = cells.flatten(0, 1)
    mean = functional.avg_pool2d(flat, stride)
    highest, lowest = (functional.max_pool2d(sign * flat, stride) * sign for sign in (1, -1))
    together = ((highest - lowest)[:, :2].amax(dim=1, keepdim=True) <= stride).to(flat.dtype)
    return torch.unflatten(torch.cat([mean[:, :2], lowest[:, 2:] * together], dim=1), 0, cells.shape[:2])
