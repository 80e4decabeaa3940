"""The network of figure 2: correspondence, linkage and colorization. Weights only; bank and memory are values.

    bank = network.start(reference_luminance, reference_ab, mask)
    ab, similarity, keys, memory = network.step(luminance, bank)
    ab, similarity, keys, memory = network.step(next_luminance, bank, memory)

B is the batch, N the frames of a block, R the references, H × W any size of at least 32. Inside, images are padded to
H' × W', multiples of the network's stride. Outside the subnets ab is in Lab units; luminance is L*/50 − 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.bank import Bank, Stills, cell_colours, entries
from kinemacolor.model.checks import check_bank, check_images, check_memory, check_propagated, check_shape
from kinemacolor.model.colorization import Candidates, ColorizationSubnet, Propagated
from kinemacolor.model.config import FEATURE_STRIDE, KEY_STRIDE, NetworkConfig
from kinemacolor.model.correspondence import CorrespondenceSubnet, match_heads, reference_keys
from kinemacolor.model.features import make_pyramid
from kinemacolor.model.linkage import LinkageSubnet, Memory
from kinemacolor.model.positions import sine_positions

UNSEEN = -1e4
"""Added to the logit of a token that must not be seen; its exponential is 0."""


class Step(NamedTuple):
    """What ``Network.step`` gives for a block.

    Attributes:
        ab: (B, N, 2, H, W), a* and b*.
        similarity: (B, N, 1, H, W), the larger of S_1 and S_2.
        keys: (B, N, heads · C, ⌈H/4⌉, ⌈W/4⌉), the frames' own centred unit features, head after head.
        memory: for the next block of the shot; None without the linkage subnet.
    """

    ab: Tensor
    similarity: Tensor
    keys: Tensor
    memory: Memory | None


@dataclass(frozen=True, eq=False)
class Correspondence:
    """What equation 4 gives for a block.

    Attributes:
        warped: (W_k, S_k) of each head, at H' × W'.
        keys: see ``Step``.
        hidden: ho_t (B, T, d), or None without the Transformer branch.
        reference: y^lab (B, N, 3, H', W') of each frame, or None where it is no input.
        memory: see ``Step``.
    """

    warped: list[Candidates]
    keys: Tensor
    hidden: Tensor | None
    reference: Tensor | None
    memory: Memory | None


class Network(nn.Module):
    """Exemplar-based video colorization.

    Args:
        config: what it is made of.
        pretrained: whether the feature network carries its ImageNet weights; False for random ones.

    Raises:
        RuntimeError: ImageNet weights are not to be had.
    """

    def __init__(self, config: NetworkConfig, *, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.features = make_pyramid(config.backbone, pretrained=pretrained)
        self.correspondence = CorrespondenceSubnet(config, self.features.low_channels, self.features.high_channels)
        if config.linkage:
            self.linkage = LinkageSubnet(config.token_channels)
        self.colorization = ColorizationSubnet(config)

    def parameters_by_part(self) -> dict[str, int]:
        """Parameters of each subnet, in the order of figure 2."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}

    # --- references --------------------

    def start(self, luminance: Tensor, ab: Tensor, mask: Tensor | None = None) -> Bank:
        """Coloured references → bank.

        Args:
            luminance: (B, R, 1, H, W) in [-1, 1].
            ab: (B, R, 2, H, W), a* and b*.
            mask: (B, R, 1, H, W), 1 where a reference gives a colour; None for 1 throughout.

        Raises:
            ValueError: a wrong shape, or an item of the batch whose references are masked whole.
        """
        check_images("luminance", luminance)
        mask = torch.ones_like(luminance) if mask is None else mask
        batch, count, _, height, width = luminance.shape
        check_shape("ab", ab, (batch, count, 2, height, width))
        check_shape("mask", mask, (batch, count, 1, height, width))
        luminance, ab, mask = self._pad(luminance), self._pad(ab), self._pad(mask, mode="constant")
        colours, valid = cell_colours(ab.flatten(0, 1), mask.flatten(0, 1), self.config.key_stride)
        colours, valid = (torch.unflatten(x, 0, (batch, count)) for x in (colours, valid))
        if not torch.compiler.is_compiling() and not bool(valid.flatten(1).any(dim=1).all()):
            raise ValueError("mask: expected some colour in the references of each item, got one masked whole")
        high, low = self._encode(luminance)
        if self.config.reference_block == "joint":
            tokens = functional.avg_pool2d(mask.flatten(1, 2), self.config.token_stride)
            seen = (tokens > 0).to(tokens.dtype).flatten(1)
            stills = Stills(high, low, torch.cat([luminance, ab * mask], dim=2), seen, valid)
            keys = ab.new_zeros(batch, 0, self.config.heads * self.config.key_channels)
            return Bank(keys, entries(colours), valid.flatten(1), stills)
        keys = self._keys_alone(high, low, valid)
        rows, columns = (-(-side // self.config.key_stride) for side in (height, width))
        grids = (keys, colours.movedim(2, 4), valid.movedim(2, 4))
        keys, colours, marks = (grid[:, :, :rows, :columns].flatten(1, 3) for grid in grids)
        return Bank(keys, colours, marks[..., 0])

    def _keys_alone(self, high: Tensor, low: Tensor, valid: Tensor) -> Tensor:
        """Keys of references of which each is a block of its own.

        Args:
            high: R_high (B, R, C, h, w).
            low: R_low (B, R, c, 2h, 2w).
            valid: (B, R, 1, h', w').

        Returns:
            (B, R, h', w', heads · C).
        """
        batch = high.shape[:2]
        high, low = high.flatten(0, 1).unsqueeze(1), low.flatten(0, 1).unsqueeze(1)
        hidden = self.correspondence.tokens(high) if self.config.transformer else None
        maps, _ = self._represent(high, low, hidden)
        return reference_keys([torch.unflatten(one.squeeze(1), 0, batch) for one in maps], valid)

    # --- frames --------------------

    def step(
        self, luma_block: Tensor, bank: Bank, memory: Memory | None = None, propagated: Propagated | None = None
    ) -> Step:
        """Colours a block of N ≥ 1 consecutive frames of one shot.

        Args:
            luma_block: B^l (B, N, 1, H, W) in [-1, 1].
            bank: from ``start``.
            memory: from the step before, or None at the start of a shot.
            propagated: colours carried along the flow, at H × W; None where nothing was carried.

        Raises:
            ValueError: a wrong shape, an empty block or bank, or a value of another network.
        """
        found = self.correspond(luma_block, bank, memory)
        ab = self.colorize(luma_block, found, propagated)
        height, width = luma_block.shape[3:]
        best = torch.stack([candidate.similarity for candidate in found.warped]).amax(dim=0)
        return Step(ab, best[..., :height, :width], found.keys, found.memory)

    forward = step

    def correspond(self, luma_block: Tensor, bank: Bank, memory: Memory | None = None) -> Correspondence:
        """The first half of ``step``: equation 4, with the linkage subnet on both sides of it (equations 6 and 7)."""
        check_images("luma_block", luma_block)
        padded, stills, config = self._pad(luma_block), bank.stills, self.config
        check_bank(bank, config, len(padded), (padded.shape[3], padded.shape[4]))
        check_memory(memory, config, len(padded))
        high, low = self._encode(padded)
        hidden = self.correspondence.tokens(high) if config.transformer else None
        if hidden is not None and config.linkage:
            hidden = self.linkage.query(hidden, memory)  # hi_t, equation 6
        maps, hidden = self._represent(high, low, hidden, stills)
        if hidden is not None and config.linkage:
            memory = self.linkage.store(memory, hidden)  # i_t, equation 7
        keys, values = bank.keys, bank.ab
        if stills is not None:
            made = reference_keys([one[:, : stills.count] for one in maps], stills.valid)
            keys = torch.cat([made.flatten(1, 3).to(keys.dtype), keys], dim=1)
            values = torch.cat([values, stills.owners(keys.shape[1]).expand(len(values), -1, -1)], dim=2)
            maps = [one[:, stills.count :] for one in maps]
        rows, columns = (-(-side // KEY_STRIDE) for side in luma_block.shape[3:])
        inside = torch.zeros_like(maps[0][:, :, :1])
        inside[..., :rows, :columns] = 1
        queries, sampled, similarity = match_heads(maps, inside, keys, values, bank.valid, config.tau)
        warped = [Candidates(_enlarge(ab[:, :, :2]), _enlarge(s)) for ab, s in zip(sampled, similarity, strict=True)]
        image = None
        if stills is not None and config.reference_image:
            image = stills.image(sampled[0][:, :, 2:].mean(dim=(3, 4)))
        return Correspondence(warped, queries[..., :rows, :columns], hidden, image, memory)

    def colorize(self, luma_block: Tensor, found: Correspondence, propagated: Propagated | None = None) -> Tensor:
        """The second half of ``step``: equation 5 → a*, b* (B, N, 2, H, W)."""
        check_propagated(propagated, self.config, luma_block)
        candidates = list(found.warped)
        if self.config.propagation:
            given = propagated or Propagated.nothing(luma_block)
            candidates.append(
                Propagated(self._pad(given.ab), self._pad(given.similarity), self._pad(given.consistency))
            )
        luminance, positions = self._pad(luma_block), None
        if found.hidden is not None:
            positions = self._positions(0, luminance.shape[1], luminance.shape[3], luminance.shape[4])
        ab: Tensor = self.colorization(luminance, candidates, found.reference, found.hidden, positions)
        return ab[..., : luma_block.shape[3], : luma_block.shape[4]]

    # --- parts of both --------------------

    def _pad(self, images: Tensor, mode: str = "replicate") -> Tensor:
        """(B, F, C, H, W) → (B, F, C, H', W'), continued at the right and the bottom."""
        right, bottom = -images.shape[4] % self.config.stride, -images.shape[3] % self.config.stride
        if right == bottom == 0:
            return images
        padded = functional.pad(images.flatten(0, 1), (0, right, 0, bottom), mode=mode)
        return torch.unflatten(padded, 0, images.shape[:2])

    def _encode(self, luminance: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, 1, H', W') → R_high (B, F, C, H'/8, W'/8), R_low (B, F, c, H'/4, W'/4)."""
        return self.correspondence.reduce(self.features(luminance.flatten(0, 1)), len(luminance))

    def _positions(self, references: int, frames: int, height: int, width: int) -> Tensor:
        """(T, d) for images of ``height`` × ``width``: references at time index 0, frames from 1 (with no reference in
        front, from 0)."""
        weight = self.correspondence.embed.weight  # (d, C); of full precision under autocast too
        first = min(references, 1)
        times = torch.arange(1, first + frames + 1, dtype=weight.dtype, device=weight.device)
        times = torch.cat([times[:1].expand(references), times[first:]])  # all references share index 0: no order
        stride = self.config.token_stride
        return sine_positions(times, first + frames, height // stride, width // stride, len(weight))

    def _represent(
        self, high: Tensor, low: Tensor, hidden: Tensor | None, stills: Stills | None = None
    ) -> tuple[list[Tensor], Tensor | None]:
        """The correspondence subnet from features to heads.

        Args:
            high: R_high (B, N, C, h, w).
            low: R_low (B, N, c, 2h, 2w).
            hidden: hi_t (B, T, d), or None without the Transformer branch.
            stills: R references that attend with the frames.

        Returns:
            F_k of each head (B, R + N, c, 2h, 2w), references first, and ho_t (B, T, d) of the frames.
        """
        references, frames = stills.count if stills else 0, high.shape[1]
        own = hidden.shape[1] if hidden is not None else 0
        positions = mask = None
        if stills is not None:
            high, low = torch.cat([stills.high, high], dim=1), torch.cat([stills.low, low], dim=1)
        if hidden is not None:
            if stills is not None:
                hidden = torch.cat([self.correspondence.tokens(stills.high), hidden], dim=1)
                mask = functional.pad((1 - stills.seen) * UNSEEN, (0, own)).to(hidden.dtype)[:, None, None]
            height, width = (side * FEATURE_STRIDE for side in high.shape[3:])
            positions = self._positions(references, frames, height, width)
        augmented, hidden = self.correspondence.augment(high, hidden, positions, mask)
        heads = self.correspondence.represent(augmented, low)
        return heads, None if hidden is None else hidden[:, -own:]


def _enlarge(maps: Tensor) -> Tensor:
    """(B, N, C, h, w) → (B, N, C, 4h, 4w)."""
    grown = functional.interpolate(
        maps.flatten(0, 1), scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False
    )
    return torch.unflatten(grown, 0, maps.shape[:2])
