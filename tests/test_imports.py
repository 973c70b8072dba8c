"""The order of the modules, held: imports point only downwards, and heavy libraries wait until they are needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import alloop

PACKAGE = Path(alloop.__file__).parent
FAMILIES = {"strategies", "tuning", "augmenters", "annotators", "consensus", "stopping", "executors"}
LAYERS = (
    {"errors", "records", "seeds", "files", "hints", "progress", "modeling_alloop"},
    {"registry", "config", "metrics", "efficiency", "ingest", "exporting"}
    | {"languages", "pretrained", "similar", "studio"},
    {"strategies", "tuning", "augmenters", "annotators", "stopping", "consensus", "store"},
    {"work"},
    {"executors"},
    {"advice", "anchoring", "augmentation", "checks", "pace", "project", "shelf"},
    {"repeats", "steps"},
    {"agreement"},
    {"reports"},
    {"rounds", "intake", "predicting", "figures", "adapting", "crossvalidation", "livecurves", "modelcard"},
    {"leaving", "outgoing", "doctor", "suggesting", "watching", "comparing", "simulating", "plots"},
    {"classifier", "serving", "searching", "pages"},
    {"auditing"},
    {"cli", "alloop"},
)
LAYER = {module: number for number, modules in enumerate(LAYERS) for module in modules}
LATE = {"torch", "transformers", "peft", "accelerate", "nlpaug", "modAL", "sklearn", "scipy", "datasets", "matplotlib"}
LATE |= {"cleanlab", "crowdkit", "krippendorff", "py3langid", "nltk", "pandas", "httpx"}
LATE |= {"starlette", "uvicorn", "label_studio_sdk", "optuna", "plotly"}
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"classifier", "modeling_alloop"}  # made of classes of heavy libraries, so they wait as a whole


def name_of(path: Path) -> str:
    """Where a file belongs: the module or package right below alloop, or alloop itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "alloop" if first == "__init__" else first


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every absolute name a tree imports, wherever it stands, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def imported_at_once(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What is imported when the module is: outside functions, and not only for the type checker."""
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(ast.Module([node], []))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not is_for_types:
            yield from imported_at_once(node)


def inner(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The modules of alloop that a tree imports, as `name_of` calls them."""
    for name, line in imports(tree):
        parts = name.split(".")
        if parts[0] == "alloop":
            yield (parts[1] if len(parts) > 1 and parts[1] in LAYER else "alloop"), line


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_only_downwards(path):
    here = name_of(path)
    assert here in LAYER, f"{here} has no place among LAYERS"
    for there, line in inner(parsed(path)):
        is_down = LAYER[there] < LAYER[here] or there == here
        assert is_down, f"{path.relative_to(PACKAGE)}:{line}: {here} imports {there}, which is not below it"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_imports_neither_another_family_nor_the_store(family):
    for path in sorted((PACKAGE / family).glob("*.py")):
        others = {there for there, _ in inner(parsed(path))} & (FAMILIES | {"store"}) - {family}
        assert not others, f"{path.relative_to(PACKAGE)} imports {others}"


def test_only_the_store_speaks_sql():
    speak = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for name, _ in imports(parsed(path))
        if name.split(".")[0] in ("sqlite3", "sqlite_utils")
    }
    assert speak == {"store.py"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if name_of(path) not in HEAVY], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_heavy_libraries_are_imported_only_where_they_are_used(path):
    at_once = {(name, line) for name, line in imported_at_once(parsed(path))}
    early = {one for one in at_once if one[0].split(".")[0] in LATE or set(one[0].split(".")) & HEAVY}
    assert not early, f"{path.relative_to(PACKAGE)} imports at the top: {early}"


def test_the_reader_of_imports_sees_through_every_way_to_write_them():
    code = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch
def late():
    import peft
try:
    import nlpaug
finally:
    pass
"""
    assert {name for name, _ in imports(ast.parse(code))} >= {"torch", "peft", "nlpaug"}
    assert {name for name, _ in imported_at_once(ast.parse(code))} == {"typing.TYPE_CHECKING", "nlpaug"}
    assert [there for there, _ in inner(ast.parse("from alloop import store\nimport alloop.tuning.tfidf"))] == [
        "store",
        "tuning",
    ]


def test_help_loads_no_heavy_library():
    code = f"""
import sys
sys.argv = ["alloop", "--help"]
from alloop.cli import main
try:
    code = main()
except SystemExit as end:
    code = end.code
print("loaded:", *sorted(set(sys.modules) & set({sorted(LATE)})), file=sys.stderr)
sys.exit(code)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Usage" in ran.stdout
    assert ran.stderr.splitlines()[-1].strip() == "loaded:"
