"""The parts of a recipe. Every field tells its unit and what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.model.config import NetworkConfig, load_config
from kinemacolor.training.config.augmentation import Augmentation
from kinemacolor.training.data.cache import DEMONSTRATION

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
    """Batches over which batch normalization outside the pretrained feature network takes its statistics before the
    first step, so that it can be frozen from the start."""
    settle: NonNegativeInt = 0
    """Films that were learned from, over which the gate's few numbers are fitted after the last step, as in use; for a
    configuration with a gated output."""
    freeze_statistics: Share = 0.7
    """Share of the run after which batch normalization uses its running statistics, as at inference; 0 from the start,
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
    """N, frames colored together."""
    batch: PositiveInt = 2
    """B, windows a step and process."""
    flow: Literal["auto", "raft", "dis"] = "auto"
    """Optical flow of the temporal loss: RAFT where its weights are found, else DIS."""
    flow_weights: str | None = None
    """RAFT's weights, or their folder."""
    keep_flow: bool = False
    """Whether that flow is kept in ``OUTPUT/flow``, 0.4 MB for two frames of 384×216, and computed once for all epochs;
    for an augmentation under which two frames look the same whenever they come (``preset = "paper"``)."""
    side: PositiveInt = 180
    """Short side of films in a cache built from folders, pixels."""
    augmentation: Augmentation = Field(default_factory=Augmentation)
    """How windows are varied; ``preset = "paper"`` takes the first frame as reference and changes nothing."""


class RolloutPart(Record):
    """What is handed from block to block, as in use."""

    drop_carried: Share = 0.15
    """Probability that a window gets no propagated colors P."""
    color_memory: Share = 0.0
    """Probability that a window's outputs join its bank after each block."""


class ReplayPart(Record):
    """Windows colored as in use before the first step, from which the colorization subnet alone learns: ``traces``.

    Steps learn from crops of them, ``data.size`` large; ``data.augmentation`` says how windows are drawn, and crops
    mirrored, rotated in the ab plane and saturated.
    """

    traces: NonNegativeInt = 0
    """Windows kept, 20 MB each at the size below; 0 for learning from windows as they are colored."""
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
    chroma: Loss = Term()
    """How strong colors are, whatever their hue."""
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


class OptimizerPart(Record):
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
    """Short side of what is colored, pixels."""
    mirrored: bool = True
    """Whether half as many frames are colored from the mirrored reference as well."""


class RunPart(Record):
    """How long, and on what."""

    steps: PositiveInt | None = None
    """Steps of the optimizer, or"""
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
