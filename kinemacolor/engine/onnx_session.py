"""How ONNX Runtime is set up here."""

from __future__ import annotations

import os

import onnxruntime


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """For one session at a time beside other work: ``threads`` (None: the machine's cores), which sleep when idle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
