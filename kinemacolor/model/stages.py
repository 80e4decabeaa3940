"""The stages of ``Network.step`` for one clip, with plain tensors in and out: what is exported, and what engines run.

F are the frames of a block, or the one reference that is a block of its own; H × W is padded to the network's stride; T
tokens, M entries of the linkage subnet's memory, R references that attend with the frames, E further entries of a bank.
Which tensors there are follows from the configuration: ``inputs`` and ``outputs`` name them in order.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from kinemacolor.model.bank import Bank, Features, StillColors, Stills
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import NetworkConfig
from kinemacolor.model.linkage import Memory
from kinemacolor.model.network import Network, Representation


class Stage(nn.Module):
    """A function of named tensors. Subclasses name them, and work on a batch of one."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors in the order of ``inputs`` → tensors in the order of ``outputs``."""
        pairs = zip(self.inputs, tensors, strict=True)
        made = self.run({name: tensor if name == "blocks" else tensor.unsqueeze(0) for name, tensor in pairs})
        return tuple(made[name] if name == "next_blocks" else made[name].squeeze(0) for name in self.outputs)

    def run(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By name, with a batch axis in front of all but ``blocks``."""
        raise NotImplementedError


def feature_names(config: NetworkConfig) -> tuple[str, ...]:
    """Of ``Features``, as far as there are any."""
    learned, direct = ("high", "low") if config.learned_keys else (), ("direct",) if config.tap_shortcut else ()
    return (*learned, *direct)


class Encode(Stage):
    """luminance (F, 1, H, W) in [-1, 1] → those there are of high (F, C, H/8, W/8), low and direct (F, …, H/4, W/4)."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.inputs, self.outputs = ("luminance",), feature_names(network.config)

    def run(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = self.network.encode(given["luminance"])
        return {name: part for name, part in zip(Features._fields, features, strict=True) if part is not None}


class Represent(Stage):
    """Features, weight (F, 1, H/4, W/4), information (M, d) and blocks () → keys (F, heads · C, H/4, W/4),
    hidden (T, d), next_information and next_blocks.

    Where references attend with the frames, also their features, seen (R · tokens,) and still_valid (R, 1, H/4, W/4) →
    still_keys (R, heads · C, H/4, W/4).
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        config, names = network.config, feature_names(network.config)
        memory = ("information", "blocks") if config.linkage else ()
        joint = config.reference_block == "joint"
        stills = (*(f"still_{name}" for name in names), "seen", "still_valid") if joint else ()
        self.inputs = (*names, "weight", *memory, *stills)
        hidden = ("hidden",) if config.transformer else ()
        kept = (f"next_{name}" for name in memory)
        self.outputs = ("keys", *(("still_keys",) if joint else ()), *hidden, *kept)

    def run(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = Features(*(given.get(name) for name in Features._fields))
        memory = Memory(given["information"], given["blocks"]) if "information" in given else None
        stills = None
        if "still_valid" in given:
            theirs = Features(*(given.get(f"still_{name}") for name in Features._fields))
            stills = Stills(theirs, given["seen"], given["still_valid"])
        found = self.network.represent(features, given["weight"], memory, stills)
        made = {"keys": found.keys, "still_keys": found.still_keys, "hidden": found.hidden}
        if found.memory is not None:
            made |= {"next_information": found.memory.information, "next_blocks": found.memory.blocks}
        return {name: tensor for name, tensor in made.items() if tensor is not None}


class Colorize(Stage):
    """luminance, keys and hidden of the frames, bank_keys (E, heads · C) and bank_ab (E, 2), valid entries alone → ab
    (F, 2, H, W) and similarity (F, 1, H, W).

    With propagation, also carried_ab (F, 2, H, W), carried_similarity and carried_agreement (F, 1, H, W). Where
    references attend with the frames, also their keys, ab (R, 2, H/4, W/4), valid and y^lab (R, 3, H, W), and
    bank_valid (E,), as their entries cannot be left out.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        config = network.config
        hidden = ("hidden",) if config.transformer else ()
        joint = config.reference_block == "joint"
        stills = ("still_keys", "still_ab", "still_valid", *(("still_lab",) if config.reference_image else ()))
        carried = ("carried_ab", "carried_similarity", "carried_agreement") if config.propagation else ()
        bank = ("bank_keys", "bank_ab", *(("bank_valid",) if joint else ()))
        self.inputs = ("luminance", "keys", *hidden, *bank, *(stills if joint else ()), *carried)
        self.outputs = ("ab", "similarity")

    def run(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        stills = propagated = None
        if "still_ab" in given:
            lab = given.get("still_lab", given["still_ab"])  # not read where y^lab is no input
            stills = StillColors(given["still_ab"], given["still_valid"], lab)
        if "carried_ab" in given:
            names = ("carried_ab", "carried_similarity", "carried_agreement")
            propagated = Propagated(*(given[name] for name in names))
        bank = Bank(given["bank_keys"], given["bank_ab"], given.get("bank_valid"), colors=stills)
        found = Representation(given["keys"], given.get("still_keys"), given.get("hidden"), None)
        colors, similarity = self.network.colorize(given["luminance"], found, bank, propagated)
        return {"ab": colors.ab, "similarity": similarity}


def stages(network: Network) -> dict[str, Stage]:
    """The three stages by name, in order."""
    return {"encode": Encode(network), "represent": Represent(network), "colorize": Colorize(network)}
