"""A name means one thing in the whole package, and a function can be read in one look."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

import kinemacolor
from tests.test_imports import FILM_PATH, modules, name_of, room_of

LONGEST_FUNCTION = 60
"""Lines of a function's body, its signature and docstring aside."""
Trees = dict[str, ast.Module]


def package_trees() -> Trees:
    return {name_of(file): ast.parse(file.read_text()) for file in modules()}


def repeated_types(trees: Trees) -> dict[str, list[str]]:
    """Names that several classes or aliases of types bear, with their modules; nested classes count, too."""
    places = defaultdict(list)
    for module, tree in trees.items():
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        names += [name for name in assigned_names(tree) if name[0].isupper() and not name.isupper()]
        for name in names:
            places[name].append(module)
    return {name: where for name, where in places.items() if len(where) > 1}


def assigned_names(tree: ast.Module) -> Iterator[str]:
    """Public names that a module assigns, variables of types aside."""
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        if targets and isinstance(statement.value, ast.Call) and ast.unparse(statement.value.func) == "TypeVar":
            continue
        for target in targets:
            names = (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
            yield from (name for name in names if not name.startswith("_"))


def constants(tree: ast.Module) -> list[str]:
    """Public names in capitals that a module assigns."""
    return [name for name in assigned_names(tree) if name.isupper()]


def imported_from(tree: ast.Module, name: str) -> set[str]:
    """Modules of the package from which a module imports ``name``, or whole."""
    sources = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kinemacolor"):
            path = "/".join(node.module.split(".")[1:])
            sources |= {path if alias.name == name else f"{path}/{alias.name}" for alias in node.names}
    return sources


def repeated_constants(trees: Trees) -> dict[str, list[str]]:
    """Names that several modules give to a constant of their own, unless one takes the other's."""
    places = defaultdict(list)
    for module, tree in trees.items():
        for name in constants(tree):
            places[name].append(module)
    repeated = {}
    for name, where in places.items():
        independent = [module for module in where if not imported_from(trees[module], name) & {*where}]
        if len(independent) > 1:
            repeated[name] = independent
    return repeated


def long_functions(trees: Trees) -> dict[str, int]:
    """Lines of each body that is too long."""
    lengths = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if length > LONGEST_FUNCTION:
                    lengths[f"{module}: {node.name}"] = length
    return lengths


def repeated_modules(names: list[str]) -> dict[str, list[str]]:
    """Names that several modules of the film path bear."""
    places = defaultdict(list)
    for name in names:
        if room_of(name) in FILM_PATH and "/" in name:
            places[name.split("/")[-1]].append(name)
    return {name: where for name, where in places.items() if len(where) > 1}


def listed(places: dict[str, list[str]]) -> str:
    """A line for each name."""
    return "\n".join(f"{name}: {', '.join(where)}" for name, where in sorted(places.items()))


def test_no_two_classes_or_aliases_of_types_share_a_name() -> None:
    repeated = repeated_types(package_trees())
    assert not repeated, listed(repeated)


def test_no_two_constants_share_a_name() -> None:
    repeated = repeated_constants(package_trees())
    assert not repeated, listed(repeated)


def test_no_two_modules_of_the_film_path_share_a_name() -> None:
    repeated = repeated_modules([name_of(file) for file in modules()])
    assert not repeated, listed(repeated)


def test_no_function_is_too_long_to_read() -> None:
    lengths = long_functions(package_trees())
    assert not lengths, listed({name: [f"{length} lines"] for name, length in lengths.items()})


def test_public_names_are_there() -> None:
    assert all(hasattr(kinemacolor, name) for name in kinemacolor.__all__)


def test_the_rules_see_what_they_forbid() -> None:
    first = ast.parse(
        "LIMIT: int = 3\nROWS, COLUMNS = 2, 3\n_HIDDEN = 1\nSize = tuple\nclass Bank:\n    class Entry: ...\n"
    )
    other = ast.parse("LIMIT = 4\n_HIDDEN = 2\nT = TypeVar('T')\ndef f():\n    class Entry: ...\nclass Size: ...\n")
    user = ast.parse("from kinemacolor.core.first import LIMIT\nLIMIT = LIMIT\n")
    trees = {"core/first": first, "video/other": other, "video/user": user}
    assert repeated_types(trees) == {name: ["core/first", "video/other"] for name in ("Entry", "Size")}
    assert [constants(tree) for tree in (first, other)] == [["LIMIT", "ROWS", "COLUMNS"], ["LIMIT"]]
    assert repeated_constants(trees) == {"LIMIT": ["core/first", "video/other"]}
    assert repeated_constants({name: trees[name] for name in ("core/first", "video/user")}) == {}
    names = ["report/film", "pipeline/film", "core/errors", "cli/film"]
    assert repeated_modules(names) == {"film": ["report/film", "pipeline/film"]}


def test_declared_parameters_do_not_make_a_function_long() -> None:
    parameters = "".join(f"    p{number}: int = 0,\n" for number in range(80))
    docstring = '    """' + "\n" * 80 + '"""\n'
    statements = "".join(f"    x = {number}\n" for number in range(LONGEST_FUNCTION))
    tree = ast.parse(f"def f(\n{parameters}):\n{docstring}{statements}")
    assert long_functions({"m": tree}) == {}
    tree = ast.parse(f"def f(\n{parameters}):\n{docstring}{statements}    y = 1\n")
    assert long_functions({"m": tree}) == {"m: f": LONGEST_FUNCTION + 1}
