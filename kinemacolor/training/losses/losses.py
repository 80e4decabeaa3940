"""The losses of section 3.3 and, for ``lite``, of the gate: pure functions of tensors (NCHW), each returning a scalar.

a*, b* are in Lab units everywhere (±128), lightness is L* in [0, 100]. The paper gives λ but no units for ab. We use
Lab units, those of Deep Exemplar-based Video Colorization (Zhang et al. 2019), from which it adopts the adversarial and
the smooth loss. Only predictions receive gradients: truths, flows and the frames compared with are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.core.color import FROM_XYZ, LAB_DELTA, SRGB_KNEE

FeatureNetwork = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""A frozen feature network: R'G'B' (n, 3, H, W) in [0, 1] → one activation map or several."""


def _check_shapes(prediction: Tensor, truth: Tensor, channels: int) -> None:
    if prediction.shape != truth.shape or prediction.ndim < 4 or prediction.shape[-3] != channels:
        raise ValueError(
            f"truth: expected {tuple(prediction.shape)} with (…, {channels}, H, W), got {tuple(truth.shape)}"
        )


def _at_least_single(values: Tensor) -> Tensor:
    """In single precision at least: outputs of a network under autocast may be in half precision."""
    return values if values.dtype == torch.float64 else values.float()


# --- color --------------------


def lab_to_rgb(lab: Tensor) -> Tensor:
    """R'G'B' (…, 3, H, W), unclipped, of L*a*b* (…, 3, H, W): ``kinemacolor.core.color.lab_to_rgb`` with gradients.

    Gradients are finite everywhere: powers are taken only where their curves are used.
    """
    lightness, a, b = _at_least_single(lab).unbind(dim=-3)
    middle = (lightness + 16) / 116
    roots = torch.stack([middle + a / 500, middle, middle - b / 200], dim=-3)
    curved = roots.clamp(min=LAB_DELTA)
    ratios = curved**3 + 3 * LAB_DELTA**2 * (roots - curved)
    x, y, z = ratios.unbind(dim=-3)  # sums, since autocast would bring a matrix product to half precision
    linear = torch.stack([r * x + g * y + b * z for r, g, b in FROM_XYZ.tolist()], dim=-3)
    size = torch.where(linear < 0, -linear, linear)  # unlike abs, with a slope at black
    bent = size.clamp(min=SRGB_KNEE)
    encoded: Tensor = 1.055 * bent ** (1 / 2.4) - 0.055 + 12.92 * (size - bent)
    return torch.where(linear < 0, -encoded, encoded)


def visible_rgb(lightness: Tensor, ab: Tensor) -> Tensor:
    """R'G'B' (…, 3, H, W) in [0, 1] of L* (…, 1, H, W) and a*, b* (…, 2, H, W), as a screen clips it."""
    return lab_to_rgb(torch.cat([lightness, ab], dim=-3)).clamp(0, 1)


# --- equations 8 to 10 --------------------


def l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """Equation 8: mean |ã − a| over pixels and both channels, in Lab units. ab is (…, 2, H, W)."""
    _check_shapes(prediction, truth, 2)
    return (_at_least_single(prediction) - truth.detach()).abs().mean()


def relative(prediction: Tensor, truth: Tensor, floor: float = 1.0) -> Tensor:
    """Mean over frames of log(1 + e / floor), where e is the mean |ã − a| of a frame.

    As in PSNR, halving an error counts the same on an easy frame as on a hard one.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
        floor: Lab units; errors far below it hardly count.
    """
    _check_shapes(prediction, truth, 2)
    error = (_at_least_single(prediction) - truth.detach()).abs().mean(dim=(-3, -2, -1))
    return torch.log1p(error / floor).mean()


def psnr(prediction: Tensor, truth: Tensor, floor: float = 1.0) -> Tensor:
    """Mean over frames of log(1 + e / floor), where e is the mean |ã − a|² of a frame; it falls as PSNR rises.

    Unlike in ``relative``, a few pixels with large errors count as much as they do in PSNR.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
        floor: squared Lab units; errors far below it hardly count.
    """
    _check_shapes(prediction, truth, 2)
    error = (_at_least_single(prediction) - truth.detach()).square().sum(dim=-3).mean(dim=(-2, -1))
    return torch.log1p(error / floor).mean()


def chroma(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of chroma, √(a*² + b*² + 0.01).

    Where hues are uncertain, losses that compare a*, b* make colors gray; this one does not.

    Args:
        prediction, truth: a*, b* (…, 2, H, W).
    """
    _check_shapes(prediction, truth, 2)
    predicted, true = ((_at_least_single(ab).square().sum(dim=-3) + 0.01).sqrt() for ab in (prediction, truth.detach()))
    return (predicted - true).abs().mean()


def perceptual(features: FeatureNetwork, lightness: Tensor, prediction: Tensor, truth: Tensor) -> Tensor:
    """Equation 9: mean squared difference of activation maps of R'G'B'; the mean over maps where there are several.

    Args:
        features: Φ; frozen (``freeze``), so that it receives no gradient itself.
        lightness: L* (…, 1, H, W) of the truth, used for both pictures.
        prediction, truth: a*, b* (…, 2, H, W).
    """
    _check_shapes(prediction, truth, 2)
    lightness = lightness.detach()
    predicted = _as_sequence(features(visible_rgb(lightness, prediction).flatten(0, -4)))
    with torch.no_grad():
        true = _as_sequence(features(visible_rgb(lightness, truth).flatten(0, -4)))
    pairs = [(_at_least_single(a), _at_least_single(b)) for a, b in zip(predicted, true, strict=True)]
    return torch.stack([functional.mse_loss(a, b) for a, b in pairs]).mean()


def _as_sequence(maps: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [maps] if isinstance(maps, Tensor) else maps


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """(n, C, H, W) whose pixel p is the image's at p + flow(p), bilinear, edges continued.

    Args:
        image: (n, C, H, W).
        flow: (n, 2, H, W), (x, y) displacement in pixels.
    """
    height, width = image.shape[2:]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device).view(1, -1, 1)
    x = torch.arange(width, dtype=flow.dtype, device=flow.device).view(1, 1, -1)
    grid = torch.stack([(flow[:, 0] + x) * (2 / max(width - 1, 1)), (flow[:, 1] + y) * (2 / max(height - 1, 1))], 3)
    return functional.grid_sample(image, (grid - 1).to(image.dtype), padding_mode="border", align_corners=True)


def temporal(current: Tensor, previous: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Equation 10: mean of M · |W(x̃_{t−1}) − x̃_t| over all pixels and both channels, in Lab units.

    The current frame has to agree with the previous one, which receives no gradient.

    Args:
        current: ab (n, 2, H, W) predicted for frames t.
        previous: ab (n, 2, H, W) predicted for frames t − 1.
        flow: (n, 2, H, W), (x, y) pixels from frame t to frame t − 1 (for sampling the previous frame).
        visible: M (n, 1, H, W), 1 where a pixel of frame t is seen in frame t − 1, 0 where it is occluded.
    """
    _check_shapes(current, previous, 2)
    return (visible * (warp(_at_least_single(previous).detach(), flow) - _at_least_single(current))).abs().mean()


def smooth(prediction: Tensor, lightness: Tensor, truth: Tensor, *, spread: float = 10.0) -> Tensor:
    """Zhang et al. 2019: mean of (ab_i − Σ_j w_ij ab_j)² over pixels and channels, in squared Lab units.

    j runs over the 3×3 neighborhood of i inside the picture, i included; w_ij is softmax_j(−‖Lab_i − Lab_j‖² / spread)
    of the truth.

    Args:
        prediction: ab (…, 2, H, W).
        lightness: L* (…, 1, H, W) of the truth.
        truth: ab (…, 2, H, W).
    """
    _check_shapes(prediction, truth, 2)
    prediction = _at_least_single(prediction).flatten(0, -4)
    truth = torch.cat([lightness, truth], dim=-3).detach().flatten(0, -4)
    height, width = truth.shape[2:]
    pads = (1, 1, 1, 1)
    inside = functional.pad(torch.ones_like(truth[:, :1]), pads)
    wide_truth, wide = functional.pad(truth, pads), functional.pad(prediction, pads)
    total, mean = torch.zeros_like(truth[:, :1]), torch.zeros_like(prediction)
    for y in range(3):  # a loop over nine shifts needs a ninth of the memory of unfolding
        for x in range(3):
            rows, columns = slice(y, y + height), slice(x, x + width)
            distance = (wide_truth[..., rows, columns] - truth).square().sum(dim=1, keepdim=True)
            weight = torch.exp(-distance / spread) * inside[..., rows, columns]
            total = total + weight
            mean = mean + weight * wide[..., rows, columns]
    return (prediction - mean / total).square().mean()


# --- adversarial --------------------


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau 2019), for the discriminator.

    ((D(r) − mean D(f) − 1)² + (D(f) − mean D(r) + 1)²) / 2, mean over the batch.

    Args:
        real, fake: (B,), the discriminator's outputs, for *detached* colors, so that the generator gets no gradient.
    """
    real, fake = _at_least_single(real), _at_least_single(fake)
    return ((real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean()) / 2


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The same with real and fake exchanged, for the generator. ``real`` is constant.

    Freeze the discriminator (``freeze``, ``requires_grad_``) so that its own gradients are not computed.
    """
    return discriminator_loss(fake, real.detach())


# --- gate --------------------


def gate(
    logits: Tensor,
    candidates: Tensor,
    truth: Tensor,
    available: Tensor | None = None,
    *,
    temperature: float = 0.5,
    largest_difference: float = 10.0,
) -> Tensor:
    """Which candidate color is nearest the truth: Kullback-Leibler divergence of the gate's softmax from a soft target.

    The target is a softmax over the candidates of −distance / temperature, so that equally good candidates may share.
    The weight of a pixel is the largest difference of its distances, up to ``largest_difference``.

    Args:
        logits: (B, N, K, H, W), of the gate's softmax.
        candidates: (B, N, K, 2, H, W), a*, b*; constants here.
        truth: (B, N, 2, H, W).
        available: (B, N, K, H, W), 0 where a candidate has no color (nothing was propagated there); None for 1.
        temperature, largest_difference: Lab units.

    Returns:
        Weighted mean over pixels of KL(target ‖ gate); 0 at best, and 0 where no pixel has a choice.
    """
    if candidates.shape[:3] != logits.shape[:3] or candidates.shape[3:] != truth.shape[2:]:
        raise ValueError(f"candidates: expected {(*logits.shape[:3], *truth.shape[2:])}, got {tuple(candidates.shape)}")
    with torch.no_grad():
        distance = torch.linalg.vector_norm(_at_least_single(candidates) - truth.unsqueeze(2), dim=3)
        choice = torch.ones_like(distance) if available is None else (available > 0).to(distance.dtype)
        target = functional.log_softmax(torch.where(choice > 0, -distance / temperature, -1e4), dim=2)
        nearest = torch.where(choice > 0, distance, 1e4).amin(dim=2)
        farthest = torch.where(choice > 0, distance, -1e4).amax(dim=2)
        weight = (farthest - nearest).clamp(0, largest_difference)
    predicted = functional.log_softmax(torch.where(choice > 0, _at_least_single(logits), -1e4), dim=2)
    divergence = (target.exp() * (target - predicted)).sum(dim=2)
    return (weight * divergence).sum() / weight.sum().clamp(min=1e-6)


def matches(
    queries: Tensor,
    keys: Tensor,
    valid: Tensor,
    targets: Tensor,
    grid: tuple[int, int],
    tau: float,
    largest: float = 12.0,
) -> Tensor:
    """How well cells are matched with the places they show: cross-entropy of the softmax of equation 2.

    What counts is the share of the softmax that falls on the four entries around the true place.

    Args:
        queries: unit features of cells (B, T, C).
        keys: unit features of the bank (B, K, C), a reference's first, row by row.
        valid: (B, K), 0 for entries that are masked.
        targets: (B, T, 3): column and row in the reference's grid, and the weight, 0 where the place is unknown.
        grid: rows and columns of the reference's grid.
        tau: temperature.
        largest: limit of a cell's loss, since some targets are wrong.

    Returns:
        Weighted mean over cells; 0 where no place is known.
    """
    logits = (_at_least_single(queries) / tau) @ _at_least_single(keys).transpose(1, 2)
    logits = logits + (valid.unsqueeze(1) - 1) * (4 / tau)
    place, weight = targets[..., :2].detach(), targets[..., 2].detach()
    first = place.floor()
    corners = [first + place.new_tensor(step) for step in ((0, 0), (1, 0), (0, 1), (1, 1))]
    rows, columns = grid
    last = place.new_tensor([columns - 1, rows - 1])
    inside = [torch.minimum(corner.clamp(min=0), last) for corner in corners]
    entry = torch.stack([corner[..., 1] * columns + corner[..., 0] for corner in inside], dim=2).long()
    around = logits.gather(2, entry)
    repeated = torch.stack(  # at the border two corners are the same entry, which counts once
        [
            torch.zeros_like(entry[..., 0], dtype=torch.bool),
            entry[..., 1] == entry[..., 0],
            entry[..., 2] == entry[..., 0],
            (entry[..., 3] == entry[..., 1]) | (entry[..., 3] == entry[..., 2]),
        ],
        dim=2,
    )
    share = torch.logsumexp(around.masked_fill(repeated, -1e4), dim=2) - torch.logsumexp(logits, dim=2)
    weight = weight * (valid.gather(1, entry.flatten(1)).view_as(entry).amin(dim=2) > 0)
    return (weight * (-share).clamp(max=largest)).sum() / weight.sum().clamp(min=1e-6)


def pooled_targets(targets: Tensor, stride: int) -> Tensor:
    """Targets (B, N, 3, rows, columns) of squares of ``stride`` × ``stride`` cells.

    The place is the mean, the weight that of the least certain cell; it is 0 where the cells' places are not neighbors.
    """
    flat = targets.flatten(0, 1)
    mean = functional.avg_pool2d(flat, stride)
    highest, lowest = (functional.max_pool2d(sign * flat, stride) * sign for sign in (1, -1))
    adjacent = ((highest - lowest)[:, :2].amax(dim=1, keepdim=True) <= stride).to(flat.dtype)
    return torch.unflatten(torch.cat([mean[:, :2], lowest[:, 2:] * adjacent], dim=1), 0, targets.shape[:2])
