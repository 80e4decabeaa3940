"""Dense correspondence between frames and a bank of reference entries: equations 1 to 3 of the paper."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def centred_unit(features: Tensor, weight: Tensor) -> Tensor:
    """The factors of equation 1: (F(i) − μ_F) / ‖F(i) − μ_F‖.

    Args:
        features: F (B, T, C).
        weight: (B, T), 1 where a position counts for the mean μ_F, 0 where it is padding or masked.

    Returns:
        (B, T, C), rows of length 1.
    """
    share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1)
    mean = (share.unsqueeze(1) @ features).detach()
    return functional.normalize(features - mean, dim=2)


def match(query: Tensor, keys: Tensor, ab: Tensor, valid: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Equations 1 to 3 over a bank of K entries.

    Args:
        query: centred unit features of the frames (B, T, C).
        keys: centred unit features of the bank (K, C).
        ab: colours of the bank (K, 2).
        valid: (K,), 1 for entries that may be matched, 0 for padding and masked areas.
        tau: temperature τ of the softmax.

    Returns:
        warped colours W (B, T, 2) and similarity S = max_j M(i, j), (B, T), over valid entries.
    """
    # The mask rides along as one more channel and τ on the query, so that the T × K matrix is written only once.
    # Cosines span 2: at 4 below its own, a masked entry is never chosen.
    marked_query = torch.cat([query, torch.ones_like(query[..., :1])], dim=2) / tau
    marked_keys = torch.cat([keys, 4 * (valid - 1).unsqueeze(1)], dim=1)
    logits = marked_query @ marked_keys.T
    return torch.softmax(logits, dim=-1) @ ab, logits.amax(dim=-1) * tau
