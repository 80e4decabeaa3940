"""The costs of a network against those of a real step."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from kinemacolor.model.config import load_config  # noqa: E402
from kinemacolor.model.cost import PeakMemory, cost  # noqa: E402
from kinemacolor.model.network import Network  # noqa: E402
from tests.model import toys  # noqa: E402


@pytest.mark.parametrize("name", ["paper", "lite-full", "lite"])
def test_arithmetic_is_that_of_a_real_step(name: str) -> None:
    """The parts add up to the operations of a real step with a memory."""
    config = toys.toy_config(name)
    costs = cost(config, 2, (48, 64))
    network = Network(config, pretrained=False).eval()
    block = toys.luminance(1, 2).float()
    with torch.no_grad():
        bank = network.start(*(x.float() for x in toys.references(1, 1)))
        memory = network.step(block, bank).memory
        with FlopCounterMode(display=False) as counter:
            network.step(block, bank, memory)
    marks = 2 * 2 * 48 * 64 / 16 * 12 * 16 * (1 if name == "paper" else 1.25)  # the channel of a mask, if there is one
    whole = 2e9 * sum(costs.gflop.values())
    assert whole == pytest.approx(counter.get_total_flops(), abs=marks)
    assert [part for part, value in costs.gflop.items() if not value] == ([] if config.linkage else ["linkage"])
    assert costs.parameters == network.parameters_by_part()


def test_lite_keeps_its_limits() -> None:
    for frames in (1, 2, 3):
        costs = cost(load_config("lite"), frames).record()
        assert costs["parameters"]["total"] <= 10e6
        assert costs["gflop"]["total"] <= 20
        assert costs["memory"]["total"] < 2**30


def test_switches_cost_nothing_when_off() -> None:
    costs = cost(toys.toy_config("lite-full", linkage=False), 1, (48, 64))
    assert costs.gflop["linkage"] == 0
    assert "linkage" not in costs.parameters


def test_peak_memory_counts_what_is_alive_at_once() -> None:
    with PeakMemory() as peak:
        a = torch.empty(1000)
        b = a.view(10, 100)  # no storage of its own
        c = torch.empty(500)
        del c
        d = torch.empty(300)
    assert peak.most == 4 * 1500
    del a, b, d
