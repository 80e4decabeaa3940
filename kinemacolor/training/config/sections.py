"""The sections of a recipe. Every field states its unit and its purpose."""

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

DEMO_CLIPS = ("sam2_dog",)
"""Held out of all training: the clip that the demo shows."""
DISCRIMINATOR_MINIMUM_SIDE = 128
"""Smallest side of a frame, pixels: the discriminator's six halvings leave two cells. Of fewer, InstanceNorm leaves
nothing but signs."""
Share = Annotated[float, Field(ge=0, le=1)]


class RecipeSection(BaseModel):
    """Base of the sections of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NetworkSection(RecipeSection):
    """What is trained, and where it starts from."""

    config: str = "lite"
    """A configuration that comes with the package, or the path of a TOML file."""
    changes: dict[str, Any] = {}
    """Fields of the configuration to replace."""
    pretrained: bool = True
    """Whether the feature network starts with its ImageNet weights; false for random ones (tests)."""
    key_init: bool = True
    """Whether the heads start as those directions of the feature network's taps that best separate matches from other
    places of the training pictures; for a configuration with ``tap_shortcut``."""
    descriptors: str | None = None
    """A .safetensors file whose descriptor network is taken; the heads then start from it as well (``key_init``)."""
    initial: str | None = None
    """A .safetensors file of the same configuration to start from (then ``key_init`` has no effect)."""
    vistr: str | None = None
    """A published VisTR checkpoint to start the Transformer branch from (section 4): its path, or its name among
    torch's downloads."""
    freeze: tuple[Literal["features", "descriptors", "correspondence", "linkage", "colorization"], ...] = ()
    """Subnets that keep their weights; ``features`` is the pretrained network."""
    norm_calibration: NonNegativeInt = 0
    """Batches from which batch normalization outside the pretrained feature network takes its statistics before the
    first step, so that they can be frozen from the start."""
    gate_calibration: NonNegativeInt = 0
    """Training films, colored as in use, to which the few parameters of the gate are fitted after the last step; for a
    configuration with a gated output."""
    freeze_statistics: Share = 0.7
    """Share of the run after which batch normalization uses its running statistics, as at inference; 0 from the start,
    1 never."""

    def network_config(self) -> NetworkConfig:
        """The configuration with its changes; ConfigError where it cannot be used."""
        config = load_config(self.config)
        return config.changed(**self.changes) if self.changes else config


class DataSection(RecipeSection):
    """What the network is trained on."""

    paths: tuple[str, ...] = ()
    """A cache, a pack, or folders of films and photos (decoded once into ``OUTPUT/cache``); ``--data`` replaces them.
    Relative paths are relative to the folder in which the command runs."""
    exclude: tuple[str, ...] = DEMO_CLIPS
    """Names of sources that are never used (``*`` and ``?`` stand for anything)."""
    held_out: tuple[str, ...] = ()
    """Names of sources kept for validation."""
    weights: dict[str, NonNegativeFloat] = {}
    """How often clips or photos of these names are drawn, relative to the others of their kind at 1."""
    size: tuple[PositiveInt, PositiveInt] = (144, 256)
    """(height, width) of frames, pixels."""
    length: PositiveInt = 4
    """T, frames of a window; the first block has no memory, the next ones have."""
    shortest: PositiveInt | None = None
    """A clip of fewer than ``length`` frames gives a window of all its frames if it has at least this many; by default
    it gives none. Windows of one step have one length, so this needs ``batch`` 1."""
    block: PositiveInt = 2
    """N, frames colored together."""
    batch: PositiveInt = 2
    """B, windows in each step of each process."""
    flow: Literal["auto", "raft", "dis"] = "auto"
    """Optical flow of the temporal loss: ``auto`` is RAFT where its weights are found, else DIS."""
    flow_weights: str | None = None
    """RAFT's weights, or their folder."""
    keep_flow: bool = False
    """Whether that flow is kept in ``flow_folder``, 0.4 MB for two frames of 384×216, and computed once for all epochs;
    for an augmentation under which two frames always look the same (``preset = "paper"``)."""
    flow_folder: str | None = None
    """Folder of that flow, which runs may share; ``OUTPUT/flow`` by default."""
    side: PositiveInt = 180
    """Short side of films in a cache built from folders, pixels."""
    augmentation: Augmentation = Field(default_factory=Augmentation)
    """How windows are varied; ``preset = "paper"`` takes the first frame as reference and changes nothing."""


class RolloutSection(RecipeSection):
    """What one block hands to the next, as in use."""

    drop_propagated: Share = 0.15
    """Probability that a window gets no propagated colors P."""
    color_memory: Share = 0.0
    """Probability that a window's outputs join its bank after each block."""
    gradient_blocks: PositiveInt = 1
    """Blocks through which gradients pass, by way of the linkage subnet's memory: with 1, what it stores is learned
    from nothing. The memory that training needs grows with their number."""


class RecordingSection(RecipeSection):
    """Windows that the engine colors as in use before the first step. What the colorization subnet received is
    recorded, and that subnet alone learns from it.

    Steps learn from crops of them, ``data.size`` large; ``data.augmentation`` says how windows are drawn, and how crops
    are mirrored, rotated in the ab plane and saturated.
    """

    windows: NonNegativeInt = 0
    """Windows recorded, 20 MB each at the size below; 0 to learn from windows while they are colored."""
    length: PositiveInt = 32
    """Frames of a window."""
    size: tuple[PositiveInt, PositiveInt] = (144, 256)
    """(height, width) of its frames, pixels."""
    keep_every: PositiveInt = 2
    """One block in every N is recorded."""


class LossTerm(RecipeSection):
    """A loss of the sum of equation 11."""

    weight: NonNegativeFloat = 0.0
    """λ; 0 leaves it out."""
    every: PositiveInt = 1
    """It counts in one step in every N, with its weight unchanged; for losses that are expensive."""

    def due(self, step: int) -> bool:
        """Whether it counts in a step."""
        return self.weight > 0 and step % self.every == 0


def _with_weight(value: object) -> object:
    """A plain number is the weight of a term."""
    return {"weight": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Loss = Annotated[LossTerm, BeforeValidator(_with_weight)]


class LossSection(RecipeSection):
    """Losses: a weight, or ``{weight, every}``."""

    l1: Loss = LossTerm(weight=0.5)
    """Equation 8, on the result."""
    relative: Loss = LossTerm()
    """The logarithm of each frame's error: easy frames count as much as hard ones."""
    psnr: Loss = LossTerm()
    """The logarithm of each frame's squared error."""
    chroma: Loss = LossTerm()
    """The strength of colors, whatever their hue."""
    candidates: Loss = LossTerm()
    """``l1`` on W_1 and W_2, so that the heads learn directly; for a gated output."""
    matches: Loss = LossTerm()
    """What each cell should be matched with, where optical flow shows it; for references that are entries of the
    bank."""
    gate: Loss = LossTerm()
    """Which candidate is nearest the truth; for a gated output."""
    perceptual: Loss = LossTerm()
    """Equation 9."""
    temporal: Loss = LossTerm()
    """Equation 10."""
    smooth: Loss = LossTerm()
    """Zhang et al. 2019."""
    adversarial: Loss = LossTerm()
    """Relativistic average least squares; trains a discriminator beside the network."""
    distillation: Loss = LossTerm()
    """How differently the descriptors and their teachers match (see ``[distillation]``); it trains the descriptor
    network alone, or the heads if ``correspondence`` is not frozen."""
    features: Literal["vgg19", "lite0"] = "vgg19"
    """Feature network of the perceptual loss."""

    def terms(self) -> dict[str, LossTerm]:
        """All losses by name."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), LossTerm)}


TeacherName = Literal["lite0", "xfeat", "gmflow", "gmflow-pairs"]
"""Networks from which descriptors may learn (``distillation.teachers.TEACHERS``)."""


class DistillationSection(RecipeSection):
    """From which networks descriptors, or heads, learn to match."""

    teachers: dict[TeacherName, PositiveFloat] = Field(
        default={"lite0": 1.0, "xfeat": 1.7, "gmflow": 1.7}, min_length=1
    )
    """Teachers and the weights of their features, each of unit length."""
    tau: PositiveFloat = 0.03
    """Temperature of the teachers' matches."""
    color_deviation: NonNegativeFloat = 0.0
    """Lab units by which the a*, b* of true matches may differ (one σ): teachers' matches of other colors count less,
    which the descriptors cannot see and have to learn; 0 for the teachers' matches as they are."""
    mirrored: Share = 0.0
    """Share of references that the descriptors see mirrored while their teachers, which were trained on pictures that
    are not, see them as they are."""


class OptimizerSection(RecipeSection):
    """AdamW and its schedule."""

    learning_rate: PositiveFloat = 1e-4
    """Of all parameters but the two groups below."""
    backbone_rate: PositiveFloat = 1e-5
    """Of the pretrained feature network, and of the heads' projection of its taps."""
    discriminator_rate: PositiveFloat = 1e-3
    """Of the discriminator."""
    betas: tuple[Share, Share] = (0.5, 0.999)
    """Decay of the running means of gradients and of their squares."""
    weight_decay: NonNegativeFloat = 1e-4
    """Of AdamW."""
    warm_up: int = Field(default=0, ge=0)
    """Steps in which the rates rise from 0."""
    schedule: Literal["paper", "cosine", "constant"] = "paper"
    """``paper``: ÷ 10 after 0.4 of the run, ÷ 100 after 0.8 (of 10 epochs, at 4 and 8); ``cosine``: down to
    ``last_share``."""
    last_share: Share = 0.02
    """Share of the rates that is left at the end of ``cosine``."""
    clip: NonNegativeFloat = 0.0
    """Largest norm of the gradient of the network, and of that of the discriminator; 0 for no limit."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of weights that is validated and released; 0 for the weights
    themselves."""


class EvaluationSection(RecipeSection):
    """Validation during training, on held-out clips, by the engine that users run."""

    clips: tuple[str, ...] = ()
    """Names of films; by default those held out."""
    every: PositiveInt = 1000
    """Steps between validations; there is also one before the first and one after the last step."""
    frames: PositiveInt = 24
    """First frames of each clip; the first is the reference."""
    side: Annotated[int, Field(ge=MINIMUM_SIDE)] = 144
    """Short side of the frames, pixels."""
    mirrored: bool = True
    """Whether half as many frames are also colored from the mirrored reference."""


class RunSection(RecipeSection):
    """Length and settings of the run."""

    steps: PositiveInt | None = None
    """Steps of the optimizer; give this or ``epochs``."""
    epochs: PositiveFloat | None = None
    """How often every film is seen, in windows that do not overlap; give this or ``steps``."""
    seed: int = Field(default=0, ge=0)
    """Seed of all random draws."""
    bfloat16: Literal["auto", "on", "off"] = "auto"
    """Autocast; ``auto`` uses it where the hardware multiplies in bfloat16. Matching and losses stay in float32."""
    channels_last: bool = True
    """Memory layout of images: faster convolutions."""
    checkpoint_minutes: NonNegativeFloat = 5.0
    """Minutes between checkpoints; 0 for one after each step."""
    keep: PositiveInt = 2
    """Checkpoints kept."""
    log_every: PositiveInt = 20
    """Steps between lines of the log; their losses are means over the steps since the line before."""
