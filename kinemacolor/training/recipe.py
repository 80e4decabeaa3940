"""A recipe: all that decides a run of training, in one TOML file. Every field tells its unit and what it is for."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (  # fmt: skip
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from kinemacolor.errors import InputError, UsageError
from kinemacolor.frames import MINIMUM_SIDE
from kinemacolor.model.config import ConfigError, NetworkConfig, load_config
from kinemacolor.training.augmentation import PAPER, Augmentation
from kinemacolor.training.cache import DEMONSTRATION
from kinemacolor.training.degrade import Wear
from kinemacolor.training.discriminator import SMALLEST

Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of the parts of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NetworkPart(Record):
    """What is trained, and from where it starts."""

    config: str = "lite"
    """A configuration that comes with the package, or the path of a TOML file."""
    changes: dict[str, Any] = {}
    """Fields of the configuration to replace."""
    pretrained: bool = True
    """Whether the feature network carries its ImageNet weights; false for random ones (tests)."""
    basis: bool = True
    """Whether the heads start as those directions of the feature network's taps that tell matches from other places of
    the training pictures best; for a configuration with ``tap_shortcut``."""
    initial: str | None = None
    """A .safetensors file of the same configuration to start from (then ``basis`` does nothing)."""
    vistr: str | None = None
    """A published VisTR checkpoint to start the Transformer branch from (section 4)."""
    freeze: tuple[Literal["features", "correspondence", "linkage", "colorization"], ...] = ()
    """Subnets that keep their weights; ``features`` is the pretrained network."""
    calibration: NonNegativeInt = 0
    """Batches over which batch normalisation outside the pretrained feature network takes its statistics before the
    first step, so that it can be frozen from the start."""
    settle: NonNegativeInt = 0
    """Films that were learnt from, over which the gate's few numbers are fitted after the last step, as in use; for a
    configuration with a gated output."""
    freeze_statistics: Share = 0.7
    """Share of the run after which batch normalisation uses its running statistics, as at inference; 0 from the start,
    1 never."""

    def network_config(self) -> NetworkConfig:
        """The configuration with its changes; ConfigError where it cannot be used."""
        found = load_config(self.config)
        return found.changed(**self.changes) if self.changes else found


class DataPart(Record):
    """What it is trained on."""

    paths: tuple[str, ...] = ()
    """A cache, a pack, or folders of films and photos (decoded once into ``OUTPUT/cache``); ``--data`` replaces them.
    Relative paths are relative to where the command runs."""
    exclude: tuple[str, ...] = DEMONSTRATION
    """Names of sources never to be looked at (``*`` and ``?`` stand for anything)."""
    held_out: tuple[str, ...] = ()
    """Names of sources kept for the evaluation inside training."""
    weights: dict[str, NonNegativeFloat] = {}
    """How often clips or photos of these names are drawn, beside the others of their kind at 1."""
    size: tuple[PositiveInt, PositiveInt] = (144, 256)
    """(height, width) of frames, pixels."""
    length: PositiveInt = 4
    """T, frames of a window; the first block has no memory, the next ones have."""
    block: PositiveInt = 2
    """N, frames coloured together."""
    batch: PositiveInt = 2
    """B, windows a step and process."""
    flow: Literal["auto", "raft", "dis"] = "auto"
    """Optical flow of the temporal loss: RAFT where its weights are found, else DIS."""
    flow_weights: str | None = None
    """RAFT's weights, or their folder."""
    side: PositiveInt = 180
    """Short side of films in a cache built from folders, pixels."""
    augmentation: Augmentation = Field(default_factory=Augmentation)
    """How windows are varied; ``preset = "paper"`` takes the first frame as reference and changes nothing."""


class RolloutPart(Record):
    """What is handed from block to block, as in use."""

    drop_carried: Share = 0.15
    """Probability that a window gets no propagated colours P."""
    colour_memory: Share = 0.0
    """Probability that a window's outputs join its bank after each block."""


class ReplayPart(Record):
    """Windows coloured as in use before the first step, from which the colorization subnet alone learns: ``traces``.

    Steps learn from crops of them, ``data.size`` large; ``data.augmentation`` says how windows are drawn, and crops
    mirrored, rotated in the ab plane and saturated.
    """

    traces: NonNegativeInt = 0
    """Windows kept, 20 MB each at the size below; 0 for learning from windows as they are coloured."""
    length: PositiveInt = 32
    """Frames of a window."""
    size: tuple[PositiveInt, PositiveInt] = (144, 256)
    """(height, width) of its frames, pixels."""
    keep: PositiveInt = 2
    """Every so-manieth block is kept."""


class Term(Record):
    """A loss of the sum of equation 11."""

    weight: NonNegativeFloat = 0.0
    """λ; 0 leaves it out."""
    every: PositiveInt = 1
    """It counts in every so-manieth step, with its weight unchanged; for what is dear."""

    def due(self, step: int) -> bool:
        """Whether it counts in a step."""
        return self.weight > 0 and step % self.every == 0


def _term(value: object) -> object:
    return {"weight": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Loss = Annotated[Term, BeforeValidator(_term)]


class LossPart(Record):
    """Losses: a weight, or ``{weight, every}``."""

    l1: Loss = Term(weight=0.5)
    """Equation 8, on the result."""
    relative: Loss = Term()
    """The logarithm of each frame's error: easy frames count as much as hard ones."""
    psnr: Loss = Term()
    """The logarithm of each frame's squared error."""
    candidates: Loss = Term()
    """The same on W_1 and W_2, so that the heads learn directly; for a gated output."""
    matches: Loss = Term()
    """What each cell should be matched with, where optical flow tells that; for references that are entries of the
    bank."""
    gate: Loss = Term()
    """Which candidate is nearest the truth; for a gated output."""
    perceptual: Loss = Term()
    """Equation 9."""
    temporal: Loss = Term()
    """Equation 10."""
    smooth: Loss = Term()
    """Zhang et al. 2019."""
    adversarial: Loss = Term()
    """Relativistic average least squares; trains a discriminator beside the network."""
    features: Literal["vgg19", "lite0"] = "vgg19"
    """Feature network of the perceptual loss."""

    def terms(self) -> dict[str, Term]:
        """By name."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), Term)}


class OptimiserPart(Record):
    """AdamW and its schedule."""

    learning_rate: PositiveFloat = 1e-4
    """Of all but the two below."""
    backbone_rate: PositiveFloat = 1e-5
    """Of the pretrained feature network, and of the heads' projection of its taps."""
    discriminator_rate: PositiveFloat = 1e-3
    """Of the discriminator."""
    betas: tuple[Share, Share] = (0.5, 0.999)
    """Decay of the running means of gradients and of their squares."""
    weight_decay: NonNegativeFloat = 1e-4
    """AdamW's."""
    warm_up: int = Field(default=0, ge=0)
    """Steps in which the rates rise from 0."""
    schedule: Literal["paper", "cosine", "constant"] = "paper"
    """``paper``: ÷ 10 after 0.4 of the run, ÷ 100 after 0.8 (of 10 epochs, at 4 and 8); ``cosine``: down to
    ``last_share``."""
    last_share: Share = 0.02
    """Of the rates, at the end of ``cosine``."""
    clip: NonNegativeFloat = 0.0
    """Largest norm of the gradient of the network, and of that of the discriminator; 0 for any."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of weights that is evaluated and released; 0 for the weights
    themselves."""


class EvaluationPart(Record):
    """What is measured inside training, on held-out clips, through the engine that users run."""

    clips: tuple[str, ...] = ()
    """Names of films; none for those held out."""
    every: PositiveInt = 1000
    """Steps between evaluations; there is one before the first and one after the last step, too."""
    frames: PositiveInt = 24
    """First frames of each clip; the first is the reference."""
    side: Annotated[int, Field(ge=MINIMUM_SIDE)] = 144
    """Short side of what is coloured, pixels."""
    mirrored: bool = True
    """Whether half as many frames are coloured from the mirrored reference as well."""


class RunPart(Record):
    """How long, and on what."""

    steps: PositiveInt | None = None
    """Steps of the optimiser, or"""
    epochs: PositiveFloat | None = None
    """how often every film is seen, in windows that do not overlap."""
    seed: int = Field(default=0, ge=0)
    """Of all that is drawn."""
    bfloat16: Literal["auto", "on", "off"] = "auto"
    """Autocast; ``auto`` for where the hardware multiplies in bfloat16. Matching and losses stay in float32."""
    channels_last: bool = True
    """Memory layout of images: faster convolutions."""
    checkpoint_minutes: NonNegativeFloat = 5.0
    """Between checkpoints; 0 for one after each step."""
    keep: PositiveInt = 2
    """Checkpoints kept."""
    log_every: PositiveInt = 20
    """Steps between lines of the log; their losses are means over the steps since."""


class Recipe(Record):
    """A run of training."""

    name: str = Field(min_length=1)
    """What the run is called."""
    network: NetworkPart = NetworkPart()
    data: DataPart = DataPart()
    rollout: RolloutPart = RolloutPart()
    replay: ReplayPart = ReplayPart()
    losses: LossPart = LossPart()
    optimiser: OptimiserPart = OptimiserPart()
    evaluation: EvaluationPart = EvaluationPart()
    run: RunPart = RunPart()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        def need(condition: bool, field: str, expected: str, got: object) -> None:
            if not condition:
                raise ValueError(f"{field}: expected {expected}, got {got!r}")

        run, data, losses = self.run, self.data, self.losses
        need((run.steps is None) != (run.epochs is None), "run", "one of steps and epochs", [run.steps, run.epochs])
        need(min(data.size) >= MINIMUM_SIDE, "data.size", f"sides of at least {MINIMUM_SIDE}", data.size)
        need(any(term.weight for term in losses.terms().values()), "losses", "at least one of some weight", "none")
        if losses.adversarial.weight:
            need(min(data.size) >= SMALLEST, "data.size", f"sides of at least {SMALLEST} (adversarial)", data.size)
        if losses.adversarial.weight or losses.temporal.weight:
            need(data.length > 1, "data.length", "at least 2 (adversarial and temporal losses)", data.length)
        try:
            config = self.network.network_config()
        except ConfigError as error:
            raise ValueError(f"network: {str(error).splitlines()[0]}") from None
        if config.output != "gated":
            for name in ("gate", "candidates"):
                weight = losses.terms()[name].weight
                need(not weight, f"losses.{name}", "0 for a network without a gated output", weight)
            settle = self.network.settle
            need(not settle, "network.settle", "0 for a network without a gated output", settle)
        if self.replay.traces:
            self._check_replay(config, need)
        if config.reference_block != "separate":
            need(not losses.matches.weight, "losses.matches", "0 where references attend with frames", losses.matches)
        return self

    def _check_replay(self, config: NetworkConfig, need: Callable[[bool, str, str, object], None]) -> None:
        network, data, replay = self.network, self.data, self.replay
        frozen = {"features", "correspondence", *(("linkage",) if config.linkage else ())}
        need(frozen <= set(network.freeze), "network.freeze", f"{', '.join(sorted(frozen))} (replay)", network.freeze)
        need(not network.calibration, "network.calibration", "0 (replay)", network.calibration)
        need(config.reference_block == "separate", "network", "references that are a block of their own (replay)", "")
        need(data.length == data.block, "data.length", "data.block (replay)", data.length)
        need(replay.length >= 2 * data.block, "replay.length", "at least two blocks", replay.length)
        for name, size in (("data.size", data.size), ("replay.size", replay.size)):
            side = config.stride
            need(not any(x % side for x in size), name, f"multiples of {side} (replay)", size)
        need(all(a <= b for a, b in zip(data.size, replay.size, strict=True)), "data.size", "at most replay.size", "")
        for name in ("temporal", "matches", "adversarial"):
            need(not self.losses.terms()[name].weight, f"losses.{name}", "0 (replay)", self.losses.terms()[name].weight)


REMEDY = "correct the recipe, or --set"
FREE = ("evaluation", "run.checkpoint_minutes", "run.keep", "run.log_every", "data.paths")
"""What may differ between a run and its resumption."""


def parse_recipe(fields: Mapping[str, Any], source: str) -> Recipe:
    """Checks ``fields``, which came from ``source``.

    Raises:
        InputError: naming each field at fault, what was expected and what came.
    """
    try:
        return Recipe.model_validate(_prepared(fields))
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            where, message = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
            if fault["type"] == "missing":
                message = "expected a value, got none"
            elif fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
                message = "there is no such field"
            elif fault["type"] != "value_error":
                message = f"expected {message.removeprefix('Input should be ')}, got {fault['input']!r}"
            lines.append(f"{where}: {message}" if where else message)
        raise InputError(source, "; ".join(lines), REMEDY) from None


def _prepared(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with the augmentation's record made from its preset, so that unknown names in it are faults too."""
    made = {**fields}
    data = made.get("data")
    if isinstance(data, Mapping) and isinstance(data.get("augmentation"), Mapping):
        chosen = dict(data["augmentation"])
        preset = chosen.pop("preset", "lite")
        if preset not in ("lite", "paper"):
            chosen["preset"] = preset
        base = PAPER if preset == "paper" else Augmentation()
        names = [name for name in Augmentation.__slots__ if name != "wear"]
        wear = {name: getattr(base.wear, name) for name in Wear.__slots__} | dict(chosen.pop("wear", {}))
        filled = {name: getattr(base, name) for name in names} | chosen | {"wear": wear}
        made["data"] = {**data, "augmentation": filled}
    return made


def load_recipe(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe from its file.

    Args:
        path: of a TOML file.
        changes: ``part.field=value``, the value as in TOML (or a plain word).

    Raises:
        InputError: no such file, no TOML, or a field at fault.
        UsageError: a change is not of that form.
    """
    try:
        fields: dict[str, Any] = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "give a recipe, such as recipes/lite.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"is no TOML ({error})", "correct the recipe") from error
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise UsageError("--set", f"{change!r} is no change", "write part.field=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parts, last = key.strip().split(".")
        place = fields
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError("--set", f"{part} in {change!r} has no fields", "write part.field=value")
        place[last] = value
    return parse_recipe(fields, str(path))


def recipe_differences(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> list[str]:
    """Names of fields that differ between two dumped recipes, less those that may."""
    found: list[str] = []
    for key in sorted({*before, *now}):
        name, a, b = f"{inside}{key}", before.get(key), now.get(key)
        if name in FREE or a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += recipe_differences(a, b, f"{name}.")
        else:
            found.append(name)
    return found
