"""Session options of ONNX Runtime."""

from __future__ import annotations

import os

import onnxruntime


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """Options of a session that shares the machine with other work.

    Args:
        threads: of the session, which sleep while it is idle; None for the number of the machine's cores.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 4  # errors come as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
