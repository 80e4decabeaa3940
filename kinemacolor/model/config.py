"""Configurations of a network: a record of numbers and switches. ``paper`` and ``lite`` come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from kinemacolor.core.limits import MAXIMUM_BLOCK, MINIMUM_BLOCK
from kinemacolor.core.structured_text import parse_json, parse_toml
from kinemacolor.core.validation import fault_lines

FEATURE_STRIDE = 8
"""Side in pixels of a cell of R_high, and of the coarsest level of the colorization subnet."""
KEY_STRIDE = 4
"""Side in pixels of a cell of R', W and S: the paper's H/4 × W/4."""

PROPAGATED_INPUTS = ("carried_ab", "carried_similarity", "carried_agreement", "carried_spread")
"""Names of propagated colors in feeds; the last one where spread is an input."""


class ConfigError(ValueError):
    """A configuration cannot be used; one line for each field at fault: what was expected and what was given."""


class NetworkConfig(BaseModel):
    """Numbers and switches of a network. Each must be given, so that a file shows the whole network."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """Name of the configuration in tables and checkpoints."""

    # --- features
    backbone: Literal["resnet101", "tf_efficientnet_lite0"]
    """timm's name of the feature network, which is pretrained for image classification and sees luminance."""

    # --- CNN-Transformer blocks
    blocks: PositiveInt
    """CNN-Transformer blocks in the correspondence subnet, and as many in the colorization subnet (paper: 3)."""
    feature_channels: PositiveInt
    """Channels of R_high, R'_high and the CNN branch (released network: 512)."""
    dilations: tuple[PositiveInt, ...] = Field(min_length=2, max_length=3, strict=False)
    """Dilation of each 3×3 convolution of a CNN branch (paper: 2 to 3 convolutions; released network: 2, 1, 2)."""
    normalization: Literal["instance", "group", "batch", "none"]
    """Layer after a convolution. ``batch`` is free at inference, where it is folded into the convolution before it."""
    token_channels: PositiveInt
    """Width d of the Transformer branch, hi, ho and the memory; a multiple of 6 and of both head counts."""
    ffn_channels: PositiveInt
    """Hidden width of the feed-forward network."""
    correspondence_heads: PositiveInt
    """Heads of multi-head attention in the correspondence subnet (paper: 6)."""
    colorization_heads: PositiveInt
    """Heads of multi-head attention in the colorization subnet (paper: 4)."""
    coupling: Literal["parallel", "sequential"]
    """What the CNN branch gives the Transformer branch: ``parallel``: what it gets itself, so that both run side by
    side (released network); ``sequential``: what it makes of it."""
    token_stride: Literal[8, 16, 32]
    """Side in pixels of a token. Above 8, features are pooled into tokens, and tokens are upsampled into features."""

    # --- correspondence
    residual_blocks: PositiveInt
    """Residual blocks that compute R' (paper: 3)."""
    residual_channels: PositiveInt
    """Inner width of a residual block of R'."""
    key_channels: PositiveInt
    """Channels of F_1 and of F_2; R' has twice as many, half of them from R'_high; a multiple of 2 (paper: 256)."""
    augmented_stride: Literal[4, 8]
    """Side in pixels of a frame's cells in the augmented head. Entries of the bank are always at /4."""
    learned_keys: bool
    """Whether the heads read R' (figure 3(a)); otherwise they read the backbone's taps alone, which needs
    ``tap_shortcut`` and leaves no Transformer branch."""
    tap_shortcut: bool
    """Whether the heads also read the backbone's normalized taps directly, so that matching can start from these."""
    descriptor_channels: NonNegativeInt
    """Channels of the descriptors, features trained to match, which the heads read beside the taps (ours; needs
    ``tap_shortcut``); 0 for none."""
    descriptor_width: PositiveInt
    """Channels inside the descriptor network; a multiple of 4."""
    descriptor_blocks: tuple[NonNegativeInt, NonNegativeInt] = Field(strict=False)
    """Residual blocks of the descriptor network at /4 and at /16."""
    tau: float = Field(gt=0, le=0.1)
    """Temperature τ of equation 2, in training and in inference; "far less than 1" (paper: 0.01)."""
    alpha: float = Field(ge=0, le=10)
    """α of R'_high in the augmented head (paper: 0.75)."""
    augmented_mix: Literal["convex", "added"]
    """The augmented head: ``convex``: (1 − α) · F + α · R'_high, α fixed (released network); ``added``:
    F + α · R'_high, α learned, with this initial value."""
    reference_block: Literal["joint", "separate"]
    """``joint``: the reference attends with the frames, at time index 0. ``separate``: it is a separate block."""

    # --- colorization
    encoder_channels: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(strict=False)
    """Channels of the encoder blocks at /1, /2 and /4, and of the decoder blocks opposite."""
    reference_image: bool
    """Whether y^lab is an input of the colorization subnet (equation 5)."""
    reference_frame: bool
    """Whether it is so as one more frame, with its own colors as W and similarity 1 (released network); else as three
    more channels of each frame."""
    output: Literal["tanh", "gated"]
    """``tanh``: ab = tanh · scale. ``gated``: a softmax over the candidate colors at each pixel, plus a residual."""
    color_spread: bool
    """Whether how far the colors differ that make up a candidate is an input of the colorization subnet, √(E|ab|² −
    |E ab|²): of the entries that W averages, of the paths that P comes by (ours)."""
    neutral: bool
    """Whether gray (a* = b* = 0) is one more candidate of a gated output, for what no reference shows."""
    ab_scale: float = Field(gt=0, le=200)
    """Chrominance is divided by this inside the network (paper: 128)."""

    # --- switches
    transformer: bool
    """The Transformer branch (Table 2)."""
    augmented_head: bool
    """The second head of the double head (Table 2)."""
    linkage: bool
    """The linkage subnet (Table 2); needs the Transformer branch."""
    linkage_layers: Literal["feed_forward", "linear"]
    """Layers of the linkage subnet: ``feed_forward``: multi-head attention, and linear layers in residual form after
    it, each with LayerNorm (released network); ``linear``: equations 6 and 7 between residual linear layers."""
    linkage_memory: Literal["sum", "mean"]
    """How i is read: as the sum of equation 7, or divided by the number of summed blocks, which keeps it bounded."""
    propagation: bool
    """Propagated colors P^ab, s_P and consistency as inputs, and as a candidate of a gated output."""
    color_memory: bool
    """Whether past outputs join the bank."""
    block_size: int = Field(ge=MINIMUM_BLOCK, le=MAXIMUM_BLOCK)
    """Frames N that are colored together, unless the caller says otherwise."""

    @model_validator(mode="after")
    def _fit_together(self) -> NetworkConfig:
        def need(condition: bool, field: str, expected: str) -> None:
            if not condition:
                raise ValueError(f"{field}: expected {expected}, got {getattr(self, field)!r}")

        for divisor in (6, self.correspondence_heads, self.colorization_heads):
            need(self.token_channels % divisor == 0, "token_channels", f"a multiple of {divisor}")
        need(self.key_channels % 2 == 0, "key_channels", "an even number")
        joint = self.reference_block == "joint"
        need(joint or not self.reference_image, "reference_image", "false where reference_block is separate")
        need(not (self.reference_frame and self.color_spread), "color_spread", "false with reference_frame")
        need(self.output == "gated" or not self.neutral, "neutral", "false where output is tanh")
        need(self.descriptor_width % 4 == 0, "descriptor_width", "a multiple of 4")
        need(self.tap_shortcut or not self.descriptor_channels, "descriptor_channels", "0 without tap_shortcut")
        need(self.learned_keys or self.tap_shortcut, "tap_shortcut", "true where learned_keys is false")
        need(self.learned_keys or not self.transformer, "transformer", "false where learned_keys is false")
        need(self.transformer or not self.linkage, "linkage", "false where transformer is false")
        normalized = self.linkage_layers == "feed_forward"
        need(not normalized or self.linkage_memory == "sum", "linkage_memory", "sum with layers feed_forward")
        need(self.augmented_mix == "added" or self.alpha <= 1, "alpha", "at most 1 in a convex mix")
        mixes = self.augmented_mix == "added" or not self.tap_shortcut
        need(mixes, "augmented_mix", "added with tap_shortcut")
        need(self.reference_image or not self.reference_frame, "reference_frame", "false without reference_image")
        need(not (self.propagation and self.reference_frame), "reference_frame", "false with propagation")
        return self

    @property
    def heads(self) -> int:
        """Heads of the non-local operation: 2, or 1 without the augmented head."""
        return 2 if self.augmented_head else 1

    @property
    def stride(self) -> int:
        """Sides of padded images are multiples of this."""
        return max(self.token_stride, 16 if self.backbone == "tf_efficientnet_lite0" else FEATURE_STRIDE)

    def changed(self, **changes: object) -> NetworkConfig:
        """The same configuration with some fields replaced, checked again.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return parse_config({**self.model_dump(), **changes}, self.name)


OLD_NAMES = {
    "normalisation": "normalization",  # codespell:ignore
    "learnt_keys": "learned_keys",  # codespell:ignore
}
"""Fields by their British spelling, which weights and graphs of version 0.1 carry."""
ADDED_FIELDS = {
    "descriptor_channels": 0,
    "descriptor_width": 96,
    "descriptor_blocks": (4, 2),
    "color_spread": False,
    "coupling": "sequential",
    "augmented_mix": "added",
    "linkage_layers": "linear",
    "reference_frame": False,
}
"""Fields that files, weights and graphs of version 0.1 lack, as if they had these values."""


def parse_config(fields: Mapping[str, Any], source: str) -> NetworkConfig:
    """Checks ``fields``, which were read from ``source``; names of version 0.1 are accepted.

    Raises:
        ConfigError: naming each field at fault, what was expected and what was given.
    """
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{source}: expected a table, got {fields!r}")
    named: dict[str, Any] = dict(ADDED_FIELDS)
    for name, value in fields.items():
        today = OLD_NAMES.get(name, name)
        named[name if today in fields else today] = value  # a field under both names is refused
    try:
        return NetworkConfig.model_validate(named)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {line}" for line in fault_lines(error, NetworkConfig))) from None


def parse_config_record(text: str, source: str) -> NetworkConfig:
    """The configuration in the JSON record that weights and exported graphs carry.

    Raises:
        ConfigError: it is no such record, or a field is at fault.
    """
    try:
        fields = parse_json(text)["config"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{source}: the record of the configuration is corrupt") from None
    return parse_config(fields, source)


def shipped_configs() -> tuple[str, ...]:
    """Names of the configurations that come with the package."""
    folder = resources.files("kinemacolor.model") / "configs"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


def load_config(name: str | Path) -> NetworkConfig:
    """A shipped configuration by its name, or the one in a TOML file.

    Raises:
        ConfigError: there is no such configuration, the file is no TOML, or a field is at fault.
    """
    shipped = shipped_configs()
    try:
        if isinstance(name, str) and name in shipped:
            text = (resources.files("kinemacolor.model") / "configs" / f"{name}.toml").read_text("utf-8")
        else:
            text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"config: expected {', '.join(shipped)} or the path of a TOML file, got {str(name)!r}: {reason}"
        ) from None
    try:
        fields = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{name}: expected TOML, got {error}") from None
    return parse_config(fields, str(name))
