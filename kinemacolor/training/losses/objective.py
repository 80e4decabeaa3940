"""The weighted sum of losses of equation 11 over the blocks of a window."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.bank import entries
from kinemacolor.model.config import KEY_STRIDE, NetworkConfig
from kinemacolor.training.config.sections import DistillationSection, LossSection
from kinemacolor.training.distillation.teachers import TeacherEnsemble
from kinemacolor.training.losses import losses
from kinemacolor.training.losses.block import ColoredBlock, LossTargets, MatchedPictures
from kinemacolor.training.losses.discriminator import Discriminator
from kinemacolor.training.losses.distillation import color_unlikelihood, matching_divergence
from kinemacolor.training.losses.feature_networks import freeze, lite0_features, vgg19_features


@dataclass(slots=True, eq=False)
class FramePairs:
    """Pairs of consecutive frames, detached, from which the discriminator learns after the network has.

    Attributes:
        lightness: each (n, 2, 1, H, W).
        real, fake: each (n, 2, 2, H, W).
    """

    lightness: list[Tensor] = field(default_factory=list)
    real: list[Tensor] = field(default_factory=list)
    fake: list[Tensor] = field(default_factory=list)


class Objective:
    """The losses of a recipe.

    Args:
        options: the recipe's losses and their weights.
        config: of the network.
        discriminator: of the adversarial loss; None without it.
        device: on which the feature network of the perceptual loss runs.
        teachers: of the descriptors; None where these are not learned.
        distillation: how they are learned.

    Raises:
        InputError: the weights of that network are not available.
    """

    def __init__(
        self,
        options: LossSection,
        config: NetworkConfig,
        discriminator: Discriminator | None,
        device: torch.device | str = "cpu",
        teachers: TeacherEnsemble | None = None,
        distillation: DistillationSection | None = None,
    ) -> None:
        self._options, self._config, self._discriminator = options, config, discriminator
        self._teachers, self._distillation = teachers, distillation or DistillationSection()
        self._features: losses.FeatureNetwork | None = None
        if options.perceptual.weight:
            network = vgg19_features() if options.features == "vgg19" else lite0_features()
            self._features = network.to(device)

    @property
    def needs_colors(self) -> bool:
        """Whether any loss depends on colors; ``matches`` and ``distillation`` do not."""
        without = ("matches", "distillation")
        return any(term.weight > 0 for name, term in self._options.terms().items() if name not in without)

    def __call__(
        self, block: ColoredBlock, targets: LossTargets, step: int, pairs: FramePairs | None = None
    ) -> dict[str, Tensor]:
        """The losses that count in a step, by name, not yet weighted.

        Args:
            block: the colored frames.
            targets: of their windows.
            step: number of the step.
            pairs: receives the block's pairs of frames for the discriminator.
        """
        options, frames = self._options, block.frames
        truth, lightness = targets.ab[:, frames], targets.lightness[:, frames]
        values: dict[str, Tensor] = {}
        if options.l1.due(step):
            values["l1"] = losses.l1(block.ab, truth)
        if options.relative.due(step):
            values["relative"] = losses.relative(block.ab, truth)
        if options.psnr.due(step):
            values["psnr"] = losses.psnr(block.ab, truth)
        if options.chroma.due(step):
            values["chroma"] = losses.chroma(block.ab, truth)
        if options.candidates.due(step) and block.candidates is not None:
            warped = block.candidates[:, :, : self._config.heads]
            values["candidates"] = losses.l1(warped, truth.unsqueeze(2).expand_as(warped))
        if options.matches.due(step) and targets.matches is not None:
            values["matches"] = self._matches(block, targets.matches[:, frames], step)
        if options.distillation.due(step) and block.matched is not None and self._teachers is not None:
            values["distillation"] = self._distill(block.matched, self._teachers)
        if options.gate.due(step) and block.logits is not None and block.candidates is not None:
            values["gate"] = losses.gate(block.logits, block.candidates, truth, block.available)
        if options.perceptual.due(step) and self._features is not None:
            values["perceptual"] = losses.perceptual(self._features, lightness, block.ab, truth)
        if options.smooth.due(step):
            values["smooth"] = losses.smooth(block.ab, lightness, truth)
        first = frames.start if block.before is not None else frames.start + 1
        if first < frames.stop:  # frames that have one before them
            ab = block.ab if block.before is None else torch.cat([block.before, block.ab], dim=1)
            current, previous = ab[:, 1:], ab[:, :-1].detach()
            weight = hop_weight(targets.ab.shape[1], frames.stop - frames.start, frames.stop - first)
            if options.temporal.due(step) and targets.flow is not None and targets.visible is not None:
                hops = slice(first - 1, frames.stop - 1)
                flow, visible = targets.flow[:, hops].flatten(0, 1), targets.visible[:, hops].flatten(0, 1)
                difference = losses.temporal(current.flatten(0, 1), previous.flatten(0, 1), flow, visible)
                values["temporal"] = weight * difference
            if options.adversarial.due(step) and self._discriminator is not None:
                pair_loss = self._adversarial(ab, targets, slice(first - 1, frames.stop), pairs)
                values["adversarial"] = weight * pair_loss
        return values

    def _distill(self, pictures: MatchedPictures, teachers: TeacherEnsemble) -> Tensor:
        """The mean over the students."""
        options, unlikelihood = self._distillation, None
        taught = teachers(pictures.frame_luminance, pictures.reference_luminance)
        if options.color_deviation:
            colors = pictures.frame_colors, pictures.reference_colors
            unlikelihood = color_unlikelihood(*colors, options.color_deviation)
        terms = [
            matching_divergence((each.frames, each.references), taught, each.tau, options.tau, unlikelihood)
            for each in pictures.students
        ]
        return torch.stack(terms).mean()

    def _matches(self, block: ColoredBlock, places: Tensor, step: int) -> Tensor:
        """The mean over heads; of the first one a quarter of the cells, a different quarter in each of four steps.

        ``places`` (B, N, 3, rows, columns) in pixels.
        """
        bank, heads = block.bank, self._config.heads
        assert bank is not None
        assert block.keys is not None
        grid = (places.shape[3], places.shape[4])
        middle = (KEY_STRIDE - 1) / 2
        cells = torch.cat([(places[:, :, :2] - middle) / KEY_STRIDE, places[:, :, 2:]], dim=2)
        terms = []
        head_keys = zip(block.keys.chunk(heads, 2), bank.keys.chunk(heads, 2), strict=True)
        for head, (frame_keys, bank_keys) in enumerate(head_keys):
            stride = 1 if head == 0 else self._config.augmented_stride // KEY_STRIDE
            if stride == 1:
                quarter = (..., slice(step % 2, None, 2), slice(step // 2 % 2, None, 2))
                queries, targets = frame_keys[quarter], cells[quarter]
            else:
                pooled = functional.avg_pool2d(frame_keys.flatten(0, 1), stride)
                queries = functional.normalize(torch.unflatten(pooled, 0, frame_keys.shape[:2]), dim=2)
                targets = losses.pooled_targets(cells, stride)
            terms.append(
                losses.matches(entries(queries), bank_keys, bank.validity(), entries(targets), grid, self._config.tau)
            )
        return torch.stack(terms).mean()

    def _adversarial(self, ab: Tensor, targets: LossTargets, frames: slice, pairs: FramePairs | None) -> Tensor:
        """The network's loss; ``pairs`` receives the frames for the discriminator's.

        ``ab`` (B, n, 2, H, W) is of the windows' ``frames``.
        """
        assert self._discriminator is not None
        lightness, real, fake = (_in_pairs(x) for x in (targets.lightness[:, frames], targets.ab[:, frames], ab))
        freeze(self._discriminator).train()
        with torch.no_grad():
            real_rating = self._discriminator(lightness, real)
        loss = losses.generator_loss(real_rating, self._discriminator(lightness, fake))
        if pairs is not None:
            pairs.lightness.append(lightness)
            pairs.real.append(real)
            pairs.fake.append(fake.detach())
        return loss

    def discriminator_loss(self, pairs: FramePairs) -> Tensor:
        """The discriminator's loss, for the pairs of all blocks of a batch."""
        assert self._discriminator is not None
        self._discriminator.requires_grad_(True)
        lightness = torch.cat(pairs.lightness)
        real = self._discriminator(lightness, torch.cat(pairs.real))
        return losses.discriminator_loss(real, self._discriminator(lightness, torch.cat(pairs.fake)))

    def weighted_sum(self, values: dict[str, Tensor]) -> Tensor:
        """The sum of losses by name, each with its weight."""
        terms = self._options.terms()
        return torch.stack([terms[name].weight * value for name, value in values.items()]).sum()


def hop_weight(window: int, block: int, hops: int) -> float:
    """The factor on a block's mean over its hops from frame to frame, so that all hops of a window count the same.

    Blocks count by their share of the window's frames, but the first block has a hop less than frames. With this factor
    the sum over blocks is the mean over the window's hops.

    Args:
        window: T, frames of the window, at least 2.
        block: frames of the block.
        hops: of the block.
    """
    return (hops / (window - 1)) * (window / block)


def _in_pairs(film: Tensor) -> Tensor:
    """(B, n, C, H, W) → (B · (n − 1), 2, C, H, W), each frame with the one after it."""
    return torch.stack([film[:, :-1], film[:, 1:]], dim=2).flatten(0, 1)
