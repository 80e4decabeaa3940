"""The sum of equation 11 over the blocks of a window: which losses count in a step, and with what weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.bank import entries
from kinemacolor.model.config import KEY_STRIDE, NetworkConfig
from kinemacolor.training.config.sections import LossPart
from kinemacolor.training.losses import losses
from kinemacolor.training.losses.discriminator import Discriminator
from kinemacolor.training.losses.feature_networks import freeze, lite0_features, vgg19_features
from kinemacolor.training.rollout.rollout import Block


class Truth(Protocol):
    """What losses ask of a batch; see ``loader.Tensors``."""

    @property
    def ab(self) -> Tensor: ...
    @property
    def lightness(self) -> Tensor: ...
    @property
    def matches(self) -> Tensor | None: ...
    @property
    def flow(self) -> Tensor | None: ...
    @property
    def visible(self) -> Tensor | None: ...


@dataclass(slots=True, eq=False)
class Pairs:
    """Pairs of consecutive frames that the discriminator is shown after the network's turn, detached.

    Attributes:
        lightness: each (n, 2, 1, H, W).
        real, fake: each (n, 2, 2, H, W).
    """

    lightness: list[Tensor] = field(default_factory=list)
    real: list[Tensor] = field(default_factory=list)
    fake: list[Tensor] = field(default_factory=list)


class Objective:
    """Losses of a recipe.

    Args:
        part: which, and how much each counts.
        config: of the network.
        discriminator: of the adversarial loss; None without it.
        device: where the feature network of the perceptual loss runs.

    Raises:
        InputError: the weights of that network cannot be had.
    """

    def __init__(
        self,
        part: LossPart,
        config: NetworkConfig,
        discriminator: Discriminator | None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.part, self._config, self._discriminator = part, config, discriminator
        self._features: losses.Features | None = None
        if part.perceptual.weight:
            made = vgg19_features() if part.features == "vgg19" else lite0_features()
            self._features = made.to(device)

    @property
    def colored(self) -> bool:
        """Whether any loss looks at colors; ``matches`` does not."""
        return any(term.weight > 0 for name, term in self.part.terms().items() if name != "matches")

    def __call__(self, block: Block, tensors: Truth, step: int, pairs: Pairs | None = None) -> dict[str, Tensor]:
        """The losses that count in a step, by name, not yet weighted.

        Args:
            block: frames colored.
            tensors: of their windows.
            step: number of the step.
            pairs: gets those for the discriminator.
        """
        part, frames = self.part, block.frames
        truth, lightness = tensors.ab[:, frames], tensors.lightness[:, frames]
        made: dict[str, Tensor] = {}
        if part.l1.due(step):
            made["l1"] = losses.l1(block.ab, truth)
        if part.relative.due(step):
            made["relative"] = losses.relative(block.ab, truth)
        if part.psnr.due(step):
            made["psnr"] = losses.psnr(block.ab, truth)
        if part.chroma.due(step):
            made["chroma"] = losses.chroma(block.ab, truth)
        if part.candidates.due(step) and block.candidates is not None:
            offers = block.candidates[:, :, : self._config.heads]
            made["candidates"] = losses.l1(offers, truth.unsqueeze(2).expand_as(offers))
        if part.matches.due(step) and tensors.matches is not None:
            made["matches"] = self._matches(block, tensors.matches[:, frames], step)
        if part.gate.due(step) and block.logits is not None and block.candidates is not None:
            made["gate"] = losses.gate(block.logits, block.candidates, truth, block.offered)
        if part.perceptual.due(step) and self._features is not None:
            made["perceptual"] = losses.perceptual(self._features, lightness, block.ab, truth)
        if part.smooth.due(step):
            made["smooth"] = losses.smooth(block.ab, lightness, truth)
        first = frames.start if block.before is not None else frames.start + 1
        if first < frames.stop:  # frames that have one before them
            before = block.ab if block.before is None else torch.cat([block.before, block.ab], dim=1)
            now, then = before[:, 1:], before[:, :-1].detach()
            if part.temporal.due(step) and tensors.flow is not None and tensors.visible is not None:
                hops = slice(first - 1, frames.stop - 1)
                flow, visible = tensors.flow[:, hops].flatten(0, 1), tensors.visible[:, hops].flatten(0, 1)
                made["temporal"] = losses.temporal(now.flatten(0, 1), then.flatten(0, 1), flow, visible)
            if part.adversarial.due(step) and self._discriminator is not None:
                made["adversarial"] = self._adversarial(before, tensors, slice(first - 1, frames.stop), pairs)
        return made

    def _matches(self, block: Block, places: Tensor, step: int) -> Tensor:
        """The mean over heads; of the first one a quarter of the cells, another one in each step.

        ``places`` (B, N, 3, rows, columns) in pixels.
        """
        bank, count = block.bank, self._config.heads
        assert bank is not None
        assert block.keys is not None
        grid = (places.shape[3], places.shape[4])
        middle = (KEY_STRIDE - 1) / 2
        cells = torch.cat([(places[:, :, :2] - middle) / KEY_STRIDE, places[:, :, 2:]], dim=2)
        terms = []
        for head, (own, known) in enumerate(zip(block.keys.chunk(count, 2), bank.keys.chunk(count, 2), strict=True)):
            stride = 1 if head == 0 else self._config.augmented_stride // KEY_STRIDE
            if stride == 1:
                part = (..., slice(step % 2, None, 2), slice(step // 2 % 2, None, 2))
                asked, wanted = own[part], cells[part]
            else:
                asked = torch.unflatten(functional.avg_pool2d(own.flatten(0, 1), stride), 0, own.shape[:2])
                asked, wanted = functional.normalize(asked, dim=2), losses.pooled_places(cells, stride)
            queries, targets = entries(asked), entries(wanted)
            terms.append(losses.matches(queries, known, bank.marks(), targets, grid, self._config.tau))
        return torch.stack(terms).mean()

    def _adversarial(self, ab: Tensor, tensors: Truth, frames: slice, pairs: Pairs | None) -> Tensor:
        """The network's side, and the pairs kept for the other. ``ab`` (B, n, 2, H, W) of the windows' ``frames``."""
        assert self._discriminator is not None
        shown = [_in_pairs(x) for x in (tensors.lightness[:, frames], tensors.ab[:, frames], ab)]
        lightness, real, fake = shown
        freeze(self._discriminator).train()
        with torch.no_grad():
            answer = self._discriminator(lightness, real)
        loss = losses.generator_loss(answer, self._discriminator(lightness, fake))
        if pairs is not None:
            pairs.lightness.append(lightness)
            pairs.real.append(real)
            pairs.fake.append(fake.detach())
        return loss

    def against(self, pairs: Pairs) -> Tensor:
        """The discriminator's side."""
        assert self._discriminator is not None
        self._discriminator.requires_grad_(True)
        lightness = torch.cat(pairs.lightness)
        real = self._discriminator(lightness, torch.cat(pairs.real))
        return losses.discriminator_loss(real, self._discriminator(lightness, torch.cat(pairs.fake)))

    def weighted(self, made: dict[str, Tensor]) -> Tensor:
        """Their sum."""
        terms = self.part.terms()
        return torch.stack([terms[name].weight * value for name, value in made.items()]).sum()


def _in_pairs(film: Tensor) -> Tensor:
    """(B, n, C, H, W) → (B · (n − 1), 2, C, H, W), each frame with the one after it."""
    return torch.stack([film[:, :-1], film[:, 1:]], dim=2).flatten(0, 1)
