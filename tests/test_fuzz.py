"""Damaged and odd inputs of every kind end in a result or in one line (``benchmarks/fuzz.py``)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks")
def test_two_hundred_hostile_inputs_end_in_a_result_or_in_one_line() -> None:
    command = [sys.executable, str(FUZZ), "--inputs", "200", "--seed", "23", "--jobs", "1", "--limit", "60"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "200 inputs of seed 23 from 0 on" in run.stdout
    assert "0 ended otherwise than they should" in run.stdout
