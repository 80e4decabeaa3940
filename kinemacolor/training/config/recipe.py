"""A recipe: everything that decides a training run, in one TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.structured_text import parse_toml
from kinemacolor.core.validation import fault_lines
from kinemacolor.model.config import OLD_NAMES, ConfigError, NetworkConfig
from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION, Augmentation, FilmWear
from kinemacolor.training.config.sections import (
    DISCRIMINATOR_MINIMUM_SIDE,
    DataSection,
    DistillationSection,
    EvaluationSection,
    LossSection,
    NetworkSection,
    OptimizerSection,
    RecipeSection,
    RecordingSection,
    RolloutSection,
    RunSection,
)

_FORMER_NAMES = {
    "optimiser": "optimizer",  # codespell:ignore
    "replay": "recording",
    "network.basis": "network.key_init",
    "network.settle": "network.gate_calibration",
    "network.calibration": "network.norm_calibration",
    "data.augmentation.thing": "data.augmentation.moving_object",
    "rollout.drop_carried": "rollout.drop_propagated",
    "rollout.colour_memory": "rollout.color_memory",  # codespell:ignore
    "recording.traces": "recording.windows",
    "recording.keep": "recording.keep_every",
    **{f"network.changes.{former}": f"network.changes.{current}" for former, current in OLD_NAMES.items()},
}
"""Former names of sections and fields, which users' files and checkpoints still have."""
_PACKAGE = Path(__file__).parents[2]
_DEEPEST_BASE = 4
"""Recipes that may stand on each other by ``base``."""
_FREE_FIELDS = ("evaluation", "run.checkpoint_minutes", "run.keep", "run.log_every", "data.paths", "data.flow_folder")
"""Fields that may differ between a run and its resumption."""


class Recipe(RecipeSection):
    """A training run."""

    name: str = Field(min_length=1)
    """Name of the run."""
    network: NetworkSection = NetworkSection()
    data: DataSection = DataSection()
    rollout: RolloutSection = RolloutSection()
    recording: RecordingSection = RecordingSection()
    losses: LossSection = LossSection()
    distillation: DistillationSection = DistillationSection()
    optimizer: OptimizerSection = OptimizerSection()
    evaluation: EvaluationSection = EvaluationSection()
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        def need(condition: bool, field: str, expected: str, got: object) -> None:
            if not condition:
                raise ValueError(f"{field}: expected {expected}, got {got!r}")

        run, data, losses, least = self.run, self.data, self.losses, DISCRIMINATOR_MINIMUM_SIDE
        need((run.steps is None) != (run.epochs is None), "run", "one of steps and epochs", [run.steps, run.epochs])
        need(min(data.size) >= MINIMUM_SIDE, "data.size", f"sides of at least {MINIMUM_SIDE}", data.size)
        need(any(term.weight for term in losses.terms().values()), "losses", "at least one with a weight", "none")
        if data.shortest is not None:
            pairs = losses.adversarial.weight or losses.temporal.weight
            low = 2 if pairs else 1
            need(low <= data.shortest <= data.length, "data.shortest", f"{low} to data.length", data.shortest)
            need(data.batch == 1, "data.batch", "1 (with data.shortest)", data.batch)
            need(not self.recording.windows, "data.shortest", "none (with [recording])", data.shortest)
        if data.keep_flow:
            expected = "false, for an augmentation that draws how frames are seen"
            need(data.augmentation.repeats, "data.keep_flow", expected, True)
        need(
            data.keep_flow or not data.flow_folder, "data.flow_folder", "none without data.keep_flow", data.flow_folder
        )
        if losses.adversarial.weight:
            need(min(data.size) >= least, "data.size", f"sides of at least {least} (adversarial)", data.size)
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
            films = self.network.gate_calibration
            need(not films, "network.gate_calibration", "0 for a network without a gated output", films)
        if self.recording.windows:
            self._check_recording(config, need)
        if losses.distillation.weight:
            self._check_distillation(config, need)
        if config.reference_block != "separate":
            need(not losses.matches.weight, "losses.matches", "0 where references attend with frames", losses.matches)
        return self

    @property
    def distills(self) -> bool:
        """Whether the run trains descriptors or heads by the matches of teachers, and nothing else."""
        return self.losses.distillation.weight > 0

    @property
    def learns_heads(self) -> bool:
        """Whether these are the heads."""
        return self.distills and "correspondence" not in self.network.freeze

    def _check_distillation(self, config: NetworkConfig, need: Callable[[bool, str, str, object], None]) -> None:
        reason = "(with losses.distillation)"
        count, data, side = config.descriptor_channels, self.data, config.stride
        need(count > 0 or self.learns_heads, "network", f"descriptor_channels of at least 1 {reason}", count)
        for name, term in self.losses.terms().items():
            need(name == "distillation" or not term.weight, f"losses.{name}", f"0 {reason}", term.weight)
        need(config.tap_shortcut and not config.learned_keys, "network", f"heads of taps alone {reason}", config.name)
        frozen = {"features", "colorization"}
        names = ", ".join(sorted(frozen))
        need(frozen <= set(self.network.freeze), "network.freeze", f"{names} {reason}", self.network.freeze)
        need(not self.recording.windows, "recording.windows", f"0 {reason}", self.recording.windows)
        need(data.length == 1, "data.length", f"1 {reason}", data.length)
        need(not any(x % side for x in data.size), "data.size", f"multiples of {side} {reason}", data.size)

    def _check_recording(self, config: NetworkConfig, need: Callable[[bool, str, str, object], None]) -> None:
        network, data, recording, reason = self.network, self.data, self.recording, "(with [recording])"
        parts = (("linkage", config.linkage), ("descriptors", config.descriptor_channels))
        frozen = {"features", "correspondence", *(name for name, exists in parts if exists)}
        need(frozen <= set(network.freeze), "network.freeze", f"{', '.join(sorted(frozen))} {reason}", network.freeze)
        separate = config.reference_block == "separate"
        need(separate, "network", f"references that are a block of their own {reason}", config.reference_block)
        need(data.length == data.block, "data.length", f"data.block {reason}", data.length)
        least = max(2, recording.keep_every) * data.block
        expected = f"at least {least}, so that a block is recorded"
        need(recording.length >= least, "recording.length", expected, recording.length)
        for name, size in (("data.size", data.size), ("recording.size", recording.size)):
            side = config.stride
            need(not any(x % side for x in size), name, f"multiples of {side} {reason}", size)
        fits = all(a <= b for a, b in zip(data.size, recording.size, strict=True))
        need(fits, "data.size", "at most recording.size", data.size)
        for name in ("temporal", "matches", "adversarial"):
            weight = self.losses.terms()[name].weight
            need(not weight, f"losses.{name}", f"0 {reason}", weight)


def parse_recipe(fields: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from its fields, which may have their former names.

    Args:
        fields: as in the file.
        source: of the fields, for messages.

    Raises:
        InputError: naming each field at fault, what was expected and what came.
    """
    try:
        return Recipe.model_validate(_with_preset(with_current_names(fields)))
    except ValidationError as error:
        problem = "; ".join(fault_lines(error, Recipe))
    except ValueError as error:  # of a preset
        problem = str(error)
    raise InputError(source, problem, "correct the recipe or its changes")


def with_current_names(fields: Mapping[str, Any], inside: str = "") -> dict[str, Any]:
    """Fields of a recipe, those with former names under their current ones.

    Args:
        fields: of the recipe, or of one of its sections.
        inside: current name of that section, with a dot.
    """
    renamed: dict[str, Any] = {}
    for name, value in fields.items():
        path = _current_name(f"{inside}{name}")
        current = path.removeprefix(inside)
        nested = with_current_names(value, f"{path}.") if isinstance(value, Mapping) else value
        renamed[name if current in fields else current] = nested  # where both are given, the former one is a fault
    return renamed


def _current_name(path: str) -> str:
    for old, new in _FORMER_NAMES.items():
        if path == old or path.startswith(f"{old}."):
            path = new + path.removeprefix(old)
    return path


def _with_preset(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with the whole augmentation filled in from its preset; ValueError where there is no such preset."""
    data = fields.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("augmentation"), Mapping):
        return fields
    chosen = dict(data["augmentation"])
    presets = {"lite": Augmentation(), "paper": PAPER_AUGMENTATION}
    preset = chosen.pop("preset", "lite")
    if preset not in presets:
        raise ValueError(f"data.augmentation.preset: expected {' or '.join(presets)}, got {preset!r}")
    base = presets[preset]
    names = [name for name in Augmentation.__slots__ if name != "wear"]
    wear = {name: getattr(base.wear, name) for name in FilmWear.__slots__} | dict(chosen.pop("wear", {}))
    filled = {name: getattr(base, name) for name in names} | chosen | {"wear": wear}
    return {**fields, "data": {**data, "augmentation": filled}}


def recipe_folder() -> Path:
    """The folder of the recipes that come with the package: inside it where it is installed, else beside it."""
    inside = _PACKAGE / "recipes"
    return inside if inside.is_dir() else _PACKAGE.parent / "recipes"


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(file.stem for file in recipe_folder().glob("*.toml")))


def load_recipe(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe that comes with the package, by its name, or that in a file.

    Args:
        path: of a TOML file, or a name of ``shipped_recipes``. The file may name another recipe as its ``base``, whose
            fields it has where it gives none.
        changes: ``section.field=value``, the value as in TOML (or a plain word).

    Raises:
        InputError: there is no such file, it is not TOML, or a field is at fault.
        UsageError: a change is not of that form.
    """
    fields = _read_fields(path)
    for change in changes:
        _apply_change(fields, change)
    return parse_recipe(fields, str(path))


def _read_fields(path: str | Path, depth: int = 0) -> dict[str, Any]:
    """The fields of a recipe, with those of its base."""
    named = str(path) in shipped_recipes() and not Path(path).is_file()
    file = recipe_folder() / f"{path}.toml" if named else Path(path)
    try:
        fields: dict[str, Any] = with_current_names(parse_toml(file.read_text("utf-8")))
    except OSError as error:
        remedy = f"give a file, or a name: {', '.join(shipped_recipes())}"
        raise InputError(path, f"cannot be read ({error.strerror})", remedy) from error
    except ValueError as error:
        raise InputError(path, f"is not TOML ({error})", "correct the recipe") from error
    base = fields.pop("base", None)
    if base is None:
        return fields
    if not isinstance(base, str) or depth >= _DEEPEST_BASE:
        raise InputError(path, f"base: expected another recipe, got {base!r}", "correct the recipe")
    beside = file.parent / base
    return _merged(_read_fields(beside if beside.is_file() else base, depth + 1), fields)


def _merged(base: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a base with others in their place, section by section."""
    merged = dict(base)
    for key, value in fields.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
    return merged


def _apply_change(fields: dict[str, Any], change: str) -> None:
    """Sets the field of ``section.field=value``, in place."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise UsageError("changes", f"{change!r} is not a change", "write section.field=value")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except ValueError:
        value = text
    *sections, name = _current_name(key.strip()).split(".")
    for section in sections:
        fields = fields.setdefault(section, {})
        if not isinstance(fields, dict):
            raise UsageError("changes", f"{section} in {change!r} has no fields", "write section.field=value")
    fields[name] = value


def recipe_differences(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> list[str]:
    """Names of fields that differ between two dumped recipes and must not differ when a run is resumed.

    Args:
        before, now: from ``Recipe.model_dump(mode="json")``.
        inside: name of the section that these are fields of, with a dot.
    """
    differences: list[str] = []
    for key in sorted({*before, *now}):
        name, a, b = f"{inside}{key}", before.get(key), now.get(key)
        if name in _FREE_FIELDS or a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            differences += recipe_differences(a, b, f"{name}.")
        else:
            differences.append(name)
    return differences
