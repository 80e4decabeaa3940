"""The stages of ``Network.step`` for one clip, with plain tensors as inputs and outputs: for export, and for engines.

F is the number of frames of a block, or 1 for a reference that is a block of its own; H × W is padded to the network's
stride. T are tokens, M entries of the linkage subnet's memory, R joint references, E further entries of a bank. The
configuration decides which tensors there are: ``inputs`` and ``outputs`` name them in order. These names are part of
the exported graphs; ``still_…`` are those of joint references, ``carried_…`` those of propagated colors.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from kinemacolor.model.bank import Bank, Features, JointReferenceColors, JointReferences
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import PROPAGATED_INPUTS, NetworkConfig
from kinemacolor.model.linkage import LinkageMemory
from kinemacolor.model.network import Network, Representation


class Stage(nn.Module):
    """A function of named tensors, for a batch of one. Subclasses give the names."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors in the order of ``inputs`` → tensors in the order of ``outputs``."""
        pairs = zip(self.inputs, tensors, strict=True)
        results = self.run({name: tensor if name == "blocks" else tensor.unsqueeze(0) for name, tensor in pairs})
        return tuple(results[name] if name == "next_blocks" else results[name].squeeze(0) for name in self.outputs)

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors by their names → results by their names, with a batch axis in front of all but ``blocks``."""
        raise NotImplementedError


def feature_names(config: NetworkConfig) -> tuple[str, ...]:
    """Fields of ``Features`` that a network of this configuration has."""
    learned, direct = ("high", "low") if config.learned_keys else (), ("direct",) if config.tap_shortcut else ()
    return (*learned, *direct)


class Encode(Stage):
    """luminance (F, 1, H, W) in [-1, 1] → high (F, C, H/8, W/8), low and direct (F, …, H/4, W/4), those there are."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.inputs, self.outputs = ("luminance",), feature_names(network.config)

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = self.network.encode(feeds["luminance"])
        return {name: part for name, part in zip(Features._fields, features, strict=True) if part is not None}


class Represent(Stage):
    """Features, weight (F, 1, H/4, W/4), information (M, d) and blocks () → keys (F, heads · C, H/4, W/4),
    hidden (T, d), next_information and next_blocks.

    With joint references also their features, seen (R · tokens,) and still_valid (R, 1, H/4, W/4) → still_keys
    (R, heads · C, H/4, W/4).
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        config, names = network.config, feature_names(network.config)
        memory = ("information", "blocks") if config.linkage else ()
        joint = config.reference_block == "joint"
        references = (*(f"still_{name}" for name in names), "seen", "still_valid") if joint else ()
        self.inputs = (*names, "weight", *memory, *references)
        hidden = ("hidden",) if config.transformer else ()
        next_memory = (f"next_{name}" for name in memory)
        self.outputs = ("keys", *(("still_keys",) if joint else ()), *hidden, *next_memory)

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = Features(*(feeds.get(name) for name in Features._fields))
        memory = LinkageMemory(feeds["information"], feeds["blocks"]) if "information" in feeds else None
        references = None
        if "still_valid" in feeds:
            reference_features = Features(*(feeds.get(f"still_{name}") for name in Features._fields))
            references = JointReferences(reference_features, feeds["seen"], feeds["still_valid"])
        block = self.network.represent(features, feeds["weight"], memory, references)
        results = {"keys": block.keys, "still_keys": block.reference_keys, "hidden": block.hidden}
        if block.memory is not None:
            results |= {"next_information": block.memory.information, "next_blocks": block.memory.blocks}
        return {name: tensor for name, tensor in results.items() if tensor is not None}


class Colorize(Stage):
    """luminance, keys and hidden of the frames, bank_keys (E, heads · C) and bank_ab (E, 2) of valid entries only → ab
    (F, 2, H, W) and similarity (F, 1, H, W).

    With propagation also carried_ab (F, 2, H, W), carried_similarity and carried_agreement (F, 1, H, W), and
    carried_spread (F, 1, H, W) where that is an input. With joint references also still_keys, still_ab (R, 2, H/4,
    W/4), still_valid and y^lab (R, 3, H, W), and bank_valid (E,), as their entries cannot be left out.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        config = network.config
        hidden = ("hidden",) if config.transformer else ()
        joint = config.reference_block == "joint"
        references = ("still_keys", "still_ab", "still_valid", *(("still_lab",) if config.reference_image else ()))
        propagated = PROPAGATED_INPUTS[: 4 if config.color_spread else 3] if config.propagation else ()
        bank = ("bank_keys", "bank_ab", *(("bank_valid",) if joint else ()))
        self.inputs = ("luminance", "keys", *hidden, *bank, *(references if joint else ()), *propagated)
        self.outputs = ("ab", "similarity")

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        reference_colors = propagated = None
        if "still_ab" in feeds:
            lab = feeds.get("still_lab", feeds["still_ab"])  # not read where y^lab is no input
            reference_colors = JointReferenceColors(feeds["still_ab"], feeds["still_valid"], lab)
        if "carried_ab" in feeds:
            ab, similarity, agreement = (feeds[name] for name in PROPAGATED_INPUTS[:3])
            propagated = Propagated(ab, similarity, agreement, spread=feeds.get(PROPAGATED_INPUTS[3]))
        bank = Bank(feeds["bank_keys"], feeds["bank_ab"], feeds.get("bank_valid"), reference_colors=reference_colors)
        block = Representation(feeds["keys"], feeds.get("still_keys"), feeds.get("hidden"), None)
        colors, similarity = self.network.colorize(feeds["luminance"], block, bank, propagated)
        return {"ab": colors.ab, "similarity": similarity}


def stages(network: Network) -> dict[str, Stage]:
    """The three stages by their names, in order."""
    return {"encode": Encode(network), "represent": Represent(network), "colorize": Colorize(network)}
