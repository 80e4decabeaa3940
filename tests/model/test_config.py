"""Configurations: those that ship, and the errors of those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.model.config import OLD_NAMES, ConfigError, NetworkConfig, load_config, parse_config, shipped_configs


def test_shipped_configurations_load_by_their_names() -> None:
    assert shipped_configs() == ("lite", "lite-full", "paper")
    for name in shipped_configs():
        assert load_config(name).name == name


def test_the_papers_numbers() -> None:
    paper = load_config("paper")
    assert (paper.correspondence_heads, paper.colorization_heads) == (6, 4)
    assert (paper.blocks, paper.residual_blocks, paper.key_channels) == (3, 3, 256)
    assert (paper.tau, paper.alpha, paper.ab_scale, paper.block_size) == (0.01, 0.75, 128, 2)
    assert paper.transformer
    assert paper.augmented_head
    assert paper.linkage
    assert not paper.propagation
    assert not paper.color_memory


def test_every_field_is_documented() -> None:
    undocumented = [name for name, field in NetworkConfig.model_fields.items() if not field.description]
    assert not undocumented


def test_a_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config("lite").tau = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau": 0}, "tau: expected a number greater than 0, got 0"),
        ({"blocks": -1}, "blocks: expected a number greater than 0, got -1"),
        ({"blocks": 2.5}, "blocks: expected integer, got 2.5"),
        ({"linkage": "yes"}, "linkage: expected boolean, got 'yes'"),
        ({"token_stride": 12}, "token_stride: expected 8, 16 or 32, got 12"),
        ({"backbone": "vgg19"}, "backbone: expected 'resnet101' or 'tf_efficientnet_lite0', got 'vgg19'"),
        ({"block_size": 7}, "block_size: expected a number less than or equal to 6, got 7"),
        ({"token_channels": 100}, "token_channels: expected a multiple of 6, got 100"),
        ({"token_channels": 6}, "token_channels: expected a multiple of 4, got 6"),
        ({"learned_keys": True, "linkage": True}, "linkage: expected false where transformer is false, got True"),
        ({"tap_shortcut": False}, "tap_shortcut: expected true where learned_keys is false, got False"),
        ({"transformer": True}, "transformer: expected false where learned_keys is false, got True"),
        ({"encoder_channels": (1, 2)}, r"encoder_channels\.3: expected a value, got none"),
        ({"token_chanels": 12}, r"token_chanels: unknown name; did you mean token_channels\?"),  # codespell:ignore
        ({"color": 1}, r"color: unknown name; known .*name, backbone, "),
        (
            {"reference_block": "separate", "reference_image": True},
            "reference_image: expected false where reference_block is separate, got True",
        ),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"lite: {message}"):
        load_config("lite").changed(**changes)


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)tau.*blocks|blocks.*tau"):
        load_config("lite").changed(tau=9, blocks=0)


def test_names_of_version_0_1_are_read() -> None:
    fields = load_config("lite").model_dump()
    assert set(OLD_NAMES.values()) <= set(fields)
    today = {new: old for old, new in OLD_NAMES.items()}
    assert parse_config({today.get(name, name): value for name, value in fields.items()}, "old") == load_config("lite")
    assert not set(OLD_NAMES) & set(load_config("lite").model_dump())


def test_a_field_under_its_old_and_its_new_name_is_refused() -> None:
    for old, new in OLD_NAMES.items():
        with pytest.raises(ConfigError, match=f"both: {old}: unknown name; did you mean {new}"):
            parse_config({**load_config("lite").model_dump(), old: "none"}, "both")


def test_files(tmp_path: Path) -> None:
    shipped = Path(__import__("kinemacolor.model").__path__[0]) / "model" / "configs" / "lite.toml"
    file = tmp_path / "mine.toml"
    file.write_text(shipped.read_text().replace('name = "lite"', 'name = "mine"'))
    assert load_config(file) == load_config("lite").changed(name="mine")
    file.write_text(shipped.read_text().replace("tau = 0.02\n", ""))
    with pytest.raises(ConfigError, match=r"mine\.toml: tau: expected a value, got none"):
        load_config(str(file))
    file.write_text("tau = ")
    with pytest.raises(ConfigError, match=r"mine\.toml: expected TOML"):
        load_config(file)
    with pytest.raises(
        ConfigError, match=r"config: expected lite, lite-full, paper or the path of a TOML file, got 'nowhere'"
    ):
        load_config("nowhere")
