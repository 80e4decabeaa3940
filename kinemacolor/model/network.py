"""The network of figure 2: correspondence, linkage and colorization. It holds weights only; bank and memory are values.

    bank = network.start(reference_luminance, reference_ab, mask)
    ab, similarity, keys, memory = network.step(luminance, bank)
    ab, similarity, keys, memory = network.step(next_luminance, bank, memory)

A step has three stages, ``encode``, ``represent`` and ``colorize``; propagated colors are an input of the third.
B is the batch, N the frames of a block, R the references, H × W any size of at least 32. Images are padded to H' × W',
multiples of the network's stride. Outside of the subnets ab is in Lab units; luminance is L*/50 − 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.bank import Bank, Features, JointReferenceColors, JointReferences, cell_colors, entries
from kinemacolor.model.checks import check_bank, check_images, check_memory, check_propagated, check_shape
from kinemacolor.model.colorization import Candidates, ColorizationSubnet, Colors, Propagated, color_spread
from kinemacolor.model.config import FEATURE_STRIDE, KEY_STRIDE, NetworkConfig
from kinemacolor.model.correspondence import CorrespondenceSubnet, match_heads, unit_keys
from kinemacolor.model.descriptors import DescriptorNetwork
from kinemacolor.model.features import Taps, make_pyramid
from kinemacolor.model.linkage import AttentionLinkage, LinkageMemory, LinkageSubnet
from kinemacolor.model.positions import sine_positions

UNSEEN = -1e4
"""Added to the logit of a token that must not be seen; its exponential is 0."""


class NetworkOutput(NamedTuple):
    """Result of ``Network.step`` for a block.

    Attributes:
        ab: (B, N, 2, H, W), a* and b*.
        similarity: (B, N, 1, H, W), the larger of S_1 and S_2.
        keys: (B, N, heads · C, ⌈H/4⌉, ⌈W/4⌉), centered unit features of the frames, head after head.
        memory: of the linkage subnet, for the next block of the shot; None without that subnet.
    """

    ab: Tensor
    similarity: Tensor
    keys: Tensor
    memory: LinkageMemory | None


@dataclass(frozen=True, eq=False)
class Representation:
    """A block after the correspondence subnet and the linkage subnet around it (equations 6 and 7).

    Attributes:
        keys: (B, N, heads · C, H'/4, W'/4), the factors of equation 1, head after head.
        reference_keys: the same of joint references (B, R, heads · C, H'/4, W'/4), or None without them.
        hidden: ho_t (B, T, d) of the frames, after the references' where these are frames of the colorization subnet;
            None without the Transformer branch.
        memory: see ``NetworkOutput``.
    """

    keys: Tensor
    reference_keys: Tensor | None
    hidden: Tensor | None
    memory: LinkageMemory | None


class Network(nn.Module):
    """Exemplar-based video colorization.

    Args:
        config: numbers and switches of the network.
        pretrained: whether the feature network starts from its ImageNet weights; False for random ones.

    Raises:
        RuntimeError: ImageNet weights are not available.
    """

    def __init__(self, config: NetworkConfig, *, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.features = make_pyramid(config.backbone, pretrained=pretrained)
        low, high = self.features.low_channels, self.features.high_channels
        if config.descriptor_channels:
            width, blocks = config.descriptor_width, config.descriptor_blocks
            self.descriptors = DescriptorNetwork((low[1], *high), width, blocks, config.descriptor_channels)
        self.correspondence = CorrespondenceSubnet(config, low, high)
        if config.linkage:
            self.linkage = _make_linkage(config)
        self.colorization = ColorizationSubnet(config)

    def parameters_by_part(self) -> dict[str, int]:
        """Parameters of each subnet, in the order of figure 2."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}

    # --- references and frames --------------------

    def start(self, luminance: Tensor, ab: Tensor, mask: Tensor | None = None) -> Bank:
        """Makes the bank of colored references.

        Args:
            luminance: (B, R, 1, H, W) in [-1, 1].
            ab: (B, R, 2, H, W), a* and b*.
            mask: (B, R, 1, H, W), 1 where a reference has a color; None for 1 throughout.

        Raises:
            ValueError: a shape is wrong, or an item of the batch has references that are masked completely.
        """
        check_images("luminance", luminance)
        mask = torch.ones_like(luminance) if mask is None else mask
        batch, count, _, height, width = luminance.shape
        check_shape("ab", ab, (batch, count, 2, height, width))
        check_shape("mask", mask, (batch, count, 1, height, width))
        luminance, ab, mask = self.pad(luminance), self.pad(ab), self.pad(mask, mode="constant")
        colors, valid = cell_colors(ab.flatten(0, 1), mask.flatten(0, 1), KEY_STRIDE)
        colors, valid = (torch.unflatten(x, 0, (batch, count)) for x in (colors, valid))
        if not bool(valid.flatten(1).any(dim=1).all()):
            raise ValueError("mask: expected some color in the references of each item, got an item without any")
        features = self.encode(luminance)
        if self.config.reference_block == "joint":
            references = JointReferences(features, self.seen(mask), valid)
            reference_colors = JointReferenceColors(colors, valid, torch.cat([luminance, ab * mask], dim=2))
            no_keys = ab.new_zeros(batch, 0, self.config.heads * self.config.key_channels)
            no_ab, no_marks = ab.new_zeros(batch, 0, 2), ab.new_zeros(batch, 0)
            return Bank(no_keys, no_ab, no_marks, references, reference_colors)
        # Each reference is a first block of its own, one frame long.
        blocks = Features(*(None if part is None else part.flatten(0, 1).unsqueeze(1) for part in features))
        reference_keys = self.represent(blocks, valid.flatten(0, 1).unsqueeze(1)).keys
        rows, columns = (-(-side // KEY_STRIDE) for side in (height, width))
        grids = (torch.unflatten(reference_keys.squeeze(1), 0, (batch, count)), colors, valid)
        keys, colors, marks = (entries(grid[..., :rows, :columns]) for grid in grids)
        return Bank(keys, colors, marks[..., 0])

    def step(
        self,
        luma_block: Tensor,
        bank: Bank,
        memory: LinkageMemory | None = None,
        propagated: Propagated | None = None,
    ) -> NetworkOutput:
        """Colors a block of N ≥ 1 consecutive frames of one shot.

        Args:
            luma_block: B^l (B, N, 1, H, W) in [-1, 1].
            bank: from ``start``.
            memory: from the previous step, or None at the start of a shot.
            propagated: colors propagated along the flow, at H × W; None where there are none.

        Raises:
            ValueError: a shape is wrong, the block or the bank is empty, or a value belongs to another network.
        """
        check_images("luma_block", luma_block)
        check_propagated(propagated, self.config, luma_block)
        luminance, (height, width) = self.pad(luma_block), luma_block.shape[3:]
        check_bank(bank, self.config, len(luminance), (luminance.shape[3], luminance.shape[4]))
        check_memory(memory, self.config, len(luminance))
        block = self.represent(self.encode(luminance), self.inside(luma_block), memory, bank.references)
        if propagated is not None:
            propagated = propagated.map_each(self.pad)
        colors, similarity = self.colorize(luminance, block, bank, propagated)
        rows, columns = (-(-side // KEY_STRIDE) for side in (height, width))
        keys = block.keys[..., :rows, :columns]
        return NetworkOutput(colors.ab[..., :height, :width], similarity[..., :height, :width], keys, block.memory)

    forward = step

    # --- the stages of a step, at H' × W' --------------------

    def encode(self, luminance: Tensor) -> Features:
        """Luminance (B, F, 1, H', W') in [-1, 1] → R_high, R_low and the taps' projection, those there are."""
        return self.correspondence.reduce(self.taps(luminance.flatten(0, 1)), len(luminance))

    def taps(self, luminance: Tensor) -> Taps:
        """Luminance (n, 1, H', W') in [-1, 1] → what the correspondence subnet reads of each image."""
        taps: Taps = self.features(luminance)
        if not self.config.descriptor_channels:
            return taps
        return taps._replace(descriptors=self.descriptors(luminance, taps.of_backbone))

    def represent(
        self,
        features: Features,
        weight: Tensor,
        memory: LinkageMemory | None = None,
        references: JointReferences | None = None,
    ) -> Representation:
        """Equation 4 up to the keys, between the query (equation 6) and the storage (equation 7).

        Args:
            features: of the frames, or of a reference that is a block of its own.
            weight: (B, N, 1, H'/4, W'/4), 1 for cells that count for μ of equation 1, 0 for padding and masked ones.
            memory: from the previous block.
            references: joint references, or None.
        """
        subnet, config, count = self.correspondence, self.config, references.count if references else 0
        high, low, direct = references.concatenated(features) if references else features
        hidden = positions = mask = None
        frame_tokens = 0
        if features.high is not None and config.transformer:
            hidden = subnet.tokens(features.high)
            frame_tokens = hidden.shape[1]
            if config.linkage:
                hidden = self.linkage.query(hidden, memory)  # hi_t, equation 6
            if references is not None and references.features.high is not None:
                hidden = torch.cat([subnet.tokens(references.features.high), hidden], dim=1)
                mask = _unseen(references.seen, hidden)
            height, width = (side * FEATURE_STRIDE for side in features.high.shape[3:])
            positions = self._positions(count, features.high.shape[1], height, width)
        if high is not None:
            high, hidden = subnet.augment(high, hidden, positions, mask)
        maps = subnet.represent(high, low, direct)
        keys = unit_keys([head[:, count:] for head in maps], weight)
        reference_keys = None
        if references is not None:  # each reference has a mean μ of its own in equation 1
            blocks = [head[:, :count].flatten(0, 1).unsqueeze(1) for head in maps]
            flat_keys = unit_keys(blocks, references.valid.flatten(0, 1).unsqueeze(1)).squeeze(1)
            reference_keys = torch.unflatten(flat_keys, 0, references.valid.shape[:2])
        if hidden is None:
            return Representation(keys, reference_keys, None, memory)
        own = hidden[:, -frame_tokens:]
        if config.linkage:
            memory = self.linkage.store(memory, own)  # i_t, equation 7
        hidden = hidden if config.reference_frame else own
        return Representation(keys, reference_keys, hidden, memory)

    def colorize(
        self, luminance: Tensor, block: Representation, bank: Bank, propagated: Propagated | None = None
    ) -> tuple[Colors, Tensor]:
        """Equations 1 to 3 and 5.

        Args:
            luminance: B^l (B, N, 1, H', W') in [-1, 1].
            block: from ``represent``.
            bank: from ``start``.
            propagated: at H' × W'; None where there are none.

        Returns:
            colors at H' × W', and the larger of S_1 and S_2 (B, N, 1, H', W').
        """
        config = self.config
        strides = (1, config.augmented_stride // KEY_STRIDE)[: config.heads]
        keys, values, valid = bank.concatenated(block.reference_keys)
        if config.color_spread:
            values = torch.cat([values, values[..., :2].square().sum(dim=2, keepdim=True)], dim=2)
        sampled, support = match_heads(block.keys, keys, values, valid, config.tau, strides)
        sizes = [float(KEY_STRIDE * stride) for stride in strides]
        candidates = [
            _matched(values, similarity, size, with_spread=config.color_spread)
            for values, similarity, size in zip(sampled, support, sizes, strict=True)
        ]
        best = torch.stack([candidate.similarity for candidate in candidates]).amax(dim=0)
        if config.propagation:
            candidates.append(propagated or Propagated.nothing(luminance))
        image = positions = mask = None
        references, frames = 0, luminance.shape[1]
        if bank.reference_colors is not None and config.reference_frame:
            references = bank.reference_colors.lab.shape[1]
            luminance, candidates = _after_references(luminance, candidates, bank.reference_colors)
            known = functional.max_pool2d(bank.reference_colors.valid.flatten(1, 2), config.token_stride // KEY_STRIDE)
            mask = _unseen(known.flatten(1), block.hidden)
        elif bank.reference_colors is not None and config.reference_image:
            image = bank.reference_colors.image(sampled[0][:, :, 2:].mean(dim=(3, 4)))
        if block.hidden is not None:
            positions = self._positions(references, frames, luminance.shape[3], luminance.shape[4])
        colors: Colors = self.colorization(luminance, candidates, image, block.hidden, positions, mask)
        return Colors(*(None if part is None else part[:, references:] for part in colors)), best  # type: ignore[arg-type]

    # --- sizes --------------------

    def pad(self, images: Tensor, mode: str = "replicate") -> Tensor:
        """Images (B, F, C, H, W) → (B, F, C, H', W'), padded at the right and the bottom."""
        right, bottom = -images.shape[4] % self.config.stride, -images.shape[3] % self.config.stride
        if right == bottom == 0:
            return images
        padded = functional.pad(images.flatten(0, 1), (0, right, 0, bottom), mode=mode)
        return torch.unflatten(padded, 0, images.shape[:2])

    def inside(self, images: Tensor) -> Tensor:
        """Images (B, F, C, H, W) → (B, F, 1, H'/4, W'/4): 1 for cells of the key grid in the image, 0 for padding."""
        rows, columns = (-(-side // KEY_STRIDE) for side in images.shape[3:])
        height, width = (-(-side // self.config.stride) * self.config.stride for side in images.shape[3:])
        right, bottom = width // KEY_STRIDE - columns, height // KEY_STRIDE - rows
        cells = torch.ones(*images.shape[:2], 1, rows, columns, dtype=images.dtype, device=images.device)
        return functional.pad(cells, (0, right, 0, bottom))

    def seen(self, mask: Tensor) -> Tensor:
        """Masks of references (B, R, 1, H', W') → (B, R · tokens): 1 for tokens with at least one pixel of color."""
        tokens = functional.avg_pool2d(mask.flatten(1, 2), self.config.token_stride)
        return (tokens > 0).to(mask.dtype).flatten(1)

    def _positions(self, references: int, frames: int, height: int, width: int) -> Tensor:
        """Positions (T, d) of images of ``height`` × ``width``.

        References have time index 0, frames have indices from 1, or from 0 where there is no reference.
        """
        weight = self.correspondence.embed.weight  # (d, C), in full precision under autocast too
        first = min(references, 1)
        times = torch.arange(1, first + frames + 1, dtype=weight.dtype, device=weight.device)
        # all references share index 0: they have no order
        times = torch.cat([times[:1].expand(references), times[first:]])
        stride = self.config.token_stride
        return sine_positions(times, first + frames, height // stride, width // stride, len(weight))


def _matched(values: Tensor, similarity: Tensor, size: float, *, with_spread: bool) -> Candidates:
    """W and S at H' × W' from what a head sampled (B, N, v, h, w): a*, b*, …, and |ab|² at last ``with_spread``."""
    ab, spread = values[:, :, :2], None
    if with_spread:
        spread = _enlarge(color_spread(ab, values[:, :, -1:]), size)
    return Candidates(_enlarge(ab, size), _enlarge(similarity, size), spread=spread)


def _unseen(seen: Tensor, tokens: Tensor | None) -> Tensor | None:
    """The mask (B, 1, 1, T) of tokens (B, T, d), the first of which are hidden where ``seen`` (B, R · tokens) is 0."""
    if tokens is None:
        return None
    return functional.pad((1 - seen) * UNSEEN, (0, tokens.shape[1] - seen.shape[1])).to(tokens.dtype)[:, None, None]


def _make_linkage(config: NetworkConfig) -> AttentionLinkage | LinkageSubnet:
    width = config.token_channels
    if config.linkage_layers == "feed_forward":
        return AttentionLinkage(width, config.ffn_channels, config.colorization_heads)
    return LinkageSubnet(width, mean=config.linkage_memory == "mean")


def _after_references(
    luminance: Tensor, candidates: list[Candidates], references: JointReferenceColors
) -> tuple[Tensor, list[Candidates]]:
    """Luminance (B, R + N, 1, H, W) and candidates of references and frames: a reference's are its own colors, with
    similarity 1 where it has any."""
    lightness, ab = references.lab[:, :, :1], references.lab[:, :, 1:]
    known = _enlarge(references.valid, float(KEY_STRIDE))
    joined = [
        Candidates(torch.cat([ab, each.ab], dim=1), torch.cat([known, each.similarity], dim=1)) for each in candidates
    ]
    return torch.cat([lightness, luminance], dim=1), joined


def _enlarge(maps: Tensor, factor: float) -> Tensor:
    """(B, N, C, h, w) → (B, N, C, factor · h, factor · w)."""
    grown = functional.interpolate(maps.flatten(0, 1), scale_factor=factor, mode="bilinear", align_corners=False)
    return torch.unflatten(grown, 0, maps.shape[:2])
