"""A recipe: all that decides a run of training, in one TOML file. Every field tells its unit and what it is for."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.model.config import ConfigError, NetworkConfig
from kinemacolor.training.config.augmentation import PAPER, Augmentation
from kinemacolor.training.config.sections import (
    DataPart,
    EvaluationPart,
    LossPart,
    NetworkPart,
    OptimizerPart,
    Record,
    ReplayPart,
    RolloutPart,
    RunPart,
)
from kinemacolor.training.data.film_degradation import Wear
from kinemacolor.training.losses.discriminator import SMALLEST


class Recipe(Record):
    """A run of training."""

    name: str = Field(min_length=1)
    """What the run is called."""
    network: NetworkPart = NetworkPart()
    data: DataPart = DataPart()
    rollout: RolloutPart = RolloutPart()
    replay: ReplayPart = ReplayPart()
    losses: LossPart = LossPart()
    optimizer: OptimizerPart = OptimizerPart()
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
        if data.keep_flow:
            expected = "false, for an augmentation that draws how frames are seen"
            need(data.augmentation.repeats, "data.keep_flow", expected, True)
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
        need(config.reference_block == "separate", "network", "references that are a block of their own (replay)", "")
        need(data.length == data.block, "data.length", "data.block (replay)", data.length)
        least = max(2, replay.keep) * data.block
        need(replay.length >= least, "replay.length", f"at least {least}, so that a block is kept", replay.length)
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
