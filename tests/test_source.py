"""Source lints: patterns that have bitten this project or the ones it learnt from."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

import autodiff

PACKAGE = Path(autodiff.__file__).parent
TESTS = Path(__file__).parent
CSRC = TESTS.parent / "csrc"

PYTHON = sorted(PACKAGE.rglob("*.py"))
TEST_FILES = sorted(TESTS.rglob("*.py"))
C_FILES = sorted(p for s in ("*.c", "*.h", "*.inc", "*.def") for p in CSRC.rglob(s))
CYTHON = sorted(p for s in ("*.pyx", "*.pxi", "*.pxd") for p in CSRC.rglob(s))
GENERATED = {"_core.c"}

needs_csrc = pytest.mark.skipif(not CSRC.is_dir(), reason="no csrc next to the tests")


def short(path: Path) -> str:
    # An installed package does not lie beside its tests.
    root = PACKAGE.parent if path.is_relative_to(PACKAGE) else TESTS.parent
    return str(path.relative_to(root))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), short(path))


# ---- imports run one way ---------------------------------------------------------------
# A module may import, at its top, what is on a lower floor, or on its own floor if listed
# before it. `TYPE_CHECKING` blocks are free, and so are imports within functions that are
# listed here with the reason.

FLOORS: list[list[str]] = [
    ["errors", "forks"],
    ["array"],
    ["refusal"],
    ["op"],
    ["apply"],
    ["remembered"],
    ["declare"],
    ["ops"],
    ["served"],
    ["methods", "protocols"],
    ["backend", "operators"],
    ["graph.clock", "graph.unfinished", "graph.lines"],
    ["graph.naming"],
    ["graph.state"],
    ["graph.several"],
    ["graph.observer", "graph.order", "graph.waiting"],
    ["graph.walk", "graph.making", "graph.memory", "graph.forward"],
    ["graph.plans"],
    ["graph.backward"],
    ["graph.copies"],
    ["graph.node"],
    ["graph.differentiate"],
    ["fold", "program", "nn", "optim", "data", "draw", "check", "save", "anomaly", "threads"],
    [""],  # the package itself
]
LATE: dict[tuple[str, str], str] = {
    ("graph.node", "draw"): "Node.graph() draws: a convenience",
}


def part(module: str) -> str:
    """The part of the package a module belongs to: autodiff.ops.shape is of `ops`.

    The modules of the graph are parts of their own.
    """
    first, _, rest = module.removeprefix("autodiff").lstrip(".").partition(".")
    return module.removeprefix("autodiff.") if first == "graph" and rest else first


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Modules of this package that are imported, and whether at the module's top."""

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.partition(".")[0] == "autodiff":
                        yield alias.name, top
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "relative import"
                if child.module in ("autodiff", "autodiff.graph"):
                    for alias in child.names:
                        yield f"{child.module}.{alias.name}", top
                elif (child.module or "").startswith("autodiff."):
                    yield child.module or "", top
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, top and not inner)

    yield from walk(tree, True)


def floor(name: str) -> int:
    for number, names in enumerate(FLOORS):
        if name in names:
            return number
    return len(FLOORS) - 2  # a new module is taken for an upper one


@pytest.mark.parametrize("path", PYTHON, ids=short)
def test_imports_run_one_way(path: Path) -> None:
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    mine = part(module.removesuffix(".__init__"))
    for imported, top in imports(parsed(path)):
        theirs = part(imported)
        if theirs in (mine, "_core") or (theirs == "" and not top):
            continue
        if not top and (mine, theirs) in LATE:
            continue
        where = PACKAGE.joinpath(*theirs.split("."))
        if where.with_suffix(".py").exists() or where.is_dir():
            assert floor(theirs) <= floor(mine), f"{module} imports {imported}, which is above it"


def imported_modules(tree: ast.Module) -> set[str]:
    """The modules of this package that a module imports, at its top and anywhere else."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in MODULES else node.module or "" for name in within)
    return found & MODULES.keys()


MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PYTHON
}


def circles(reads: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import one another, directly or by way of others."""

    def reached(module: str) -> set[str]:
        seen: set[str] = set()
        stack = [module]
        while stack:
            for other in reads.get(stack.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return seen

    all_reached = {module: reached(module) for module in reads}
    found = {
        tuple(sorted(m for m in reads if module in all_reached[m] and m in all_reached[module]))
        for module in reads
    }
    return sorted(list(circle) for circle in found if circle)


def test_no_module_is_imported_in_a_circle() -> None:
    reads = {
        module: imported_modules(parsed(path)) - {"autodiff"} for module, path in MODULES.items()
    }
    for mine, theirs in LATE:
        reads[f"autodiff.{mine}"].discard(f"autodiff.{theirs}")
    assert circles(reads) == []


def test_circles_are_found() -> None:
    reads = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert circles(reads) == [["b", "c"], ["e"]]
    tree = ast.parse("if TYPE_CHECKING:\n    from autodiff.graph import clock\n")
    assert imported_modules(tree) == {"autodiff.graph.clock"}


# ---- nobody reads another's privates ------------------------------------------------------

FOREIGN = {"_getframe", "_current_frames", "_is_owned", "_at_fork_reinit", "_NoValue", "_replace"}
"""Of Python's and NumPy's own."""

_ARRAY = "to its user a recorded value is an array, with an array's names only"
_DESCRIPTOR = "a descriptor keeps its numbers with the optimiser that it belongs to"
READS_PRIVATES: dict[tuple[str, str], str] = {
    ("autodiff/program/recorder.py", "_recorder"): _ARRAY,
    ("autodiff/program/recorder.py", "_value"): _ARRAY,
    ("autodiff/program/stand_ins.py", "_value"): _ARRAY,
    ("autodiff/hyperparameter.py", "_numbers"): _DESCRIPTOR,
    ("autodiff/hyperparameter.py", "_of_user"): _DESCRIPTOR,
    ("autodiff/hyperparameter.py", "_unused"): _DESCRIPTOR,
}
"""Modules that may read a private name of another, with the reason."""


def own_names(tree: ast.Module) -> set[str]:
    """What a module defines: globals, functions, classes, and the attributes of its classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
        elif isinstance(node, ast.Assign) and "__slots__" in map(ast.unparse, node.targets):
            names.update(c.value for c in ast.walk(node) if isinstance(c, ast.Constant))
    return names


def privates_of_others(tree: ast.Module) -> set[str]:
    """Names with an underscore that a module reads or sets, and that are none of its own."""
    own = own_names(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("autodiff."):
            found.update(alias.name for alias in node.names)
    return {x for x in found - own - FOREIGN if x.startswith("_") and not x.endswith("__")}


@pytest.mark.parametrize("path", PYTHON, ids=short)
def test_no_module_reads_the_privates_of_another(path: Path) -> None:
    allowed = {name for module, name in READS_PRIVATES if module == short(path)}
    assert privates_of_others(parsed(path)) == allowed


def test_privates_of_others_are_found() -> None:
    text = """
from autodiff.apply import _a, b
class C:
    __slots__ = ("_c",)
    def f(self, x):
        self._d = x._c + x._d + x.__dict__ + self._g
        x._e = x.f._f
"""
    assert privates_of_others(ast.parse(text)) == {"_a", "_e", "_f", "_g"}


def test_only_back_ends_and_programs_know_the_extension() -> None:
    for path in PYTHON:
        if path.parent.name in ("backend", "program", "code", "passes") or path.name in (
            "memory.py",
            "forks.py",
            "threads.py",
        ):
            continue
        # Statements only: comments may speak of it.
        names = [name for name, _ in imports(parsed(path))]
        assert "autodiff._core" not in names, short(path)


# ---- Python ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PYTHON, *TEST_FILES], ids=short)
def test_identifiers_are_ascii(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        names = [
            getattr(node, field)
            for field in ("id", "name", "attr", "arg", "asname")
            if isinstance(getattr(node, field, None), str)
        ]
        for name in names:
            assert name.isascii(), f"{short(path)}: {name}"


# Too long, for now. Remove the line of whichever has become short.
LONG = {"autodiff/graph/node.py": 519}


@pytest.mark.parametrize("path", [*PYTHON, *TEST_FILES, *C_FILES, *CYTHON], ids=short)
def test_files_stay_short(path: Path) -> None:
    if path.name in GENERATED:
        pytest.skip("generated")
    lines = path.read_text(encoding="utf-8").count("\n")
    limit = LONG.get(short(path), 500)
    assert lines <= limit, f"{short(path)} has {lines} lines, {limit} is the limit: cut it in two"


@pytest.mark.parametrize("path", PYTHON, ids=short)
def test_the_library_does_not_print_or_catch_everything(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exec", "breakpoint"), short(path)
        if isinstance(node, ast.ExceptHandler):
            where = f"{short(path)}:{node.lineno}"
            assert node.type is not None, f"{where}: bare except"


def constant_assertions(tree: ast.Module) -> list[int]:
    """Lines of assertions that can never fail."""
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        test = node.test
        constant = isinstance(test, ast.Constant) and bool(test.value)
        tuple_ = isinstance(test, ast.Tuple) and bool(test.elts)
        same = (
            isinstance(test, ast.Compare)
            and len(test.comparators) == 1
            and isinstance(test.ops[0], ast.Eq)
            and ast.dump(test.left) == ast.dump(test.comparators[0])
        )
        if constant or tuple_ or same:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("path", TEST_FILES, ids=short)
def test_no_assertion_is_a_constant(path: Path) -> None:
    assert constant_assertions(parsed(path)) == []


def test_constant_assertions_are_found() -> None:
    bad = "assert True\nassert (x == 1, 'message')\nassert x == x\nassert 'text'\n"
    good = "assert x == y\nassert x\nassert False\nassert ()\n"
    assert constant_assertions(ast.parse(bad)) == [1, 2, 3, 4]
    assert constant_assertions(ast.parse(good)) == []


@pytest.mark.parametrize("path", TEST_FILES, ids=short)
def test_no_test_hides_another(path: Path) -> None:
    tree = parsed(path)
    for scope in [tree, *[n for n in tree.body if isinstance(n, ast.ClassDef)]]:
        names = [n.name for n in scope.body if isinstance(n, ast.FunctionDef)]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{short(path)}: defined twice, so one of each never runs: {twice}"


def test_no_place_of_one_machine_is_written_down() -> None:
    # In two parts, so that this file does not find itself.
    places = re.compile("/" + r"(home|Users|root|work|tmp)/\w")
    for path in [*PYTHON, *TEST_FILES, *C_FILES, *CYTHON]:
        if path.name not in GENERATED:
            found = places.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{short(path)}: {found}"


# ---- C and Cython ------------------------------------------------------------------------


def code(path: Path) -> str:
    """The text of a C file without comments."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)


@needs_csrc
@pytest.mark.parametrize("path", CYTHON, ids=short)
def test_cdef_functions_say_how_they_fail(path: Path) -> None:
    # Without `noexcept` or `except`, Cython takes the GIL after each call of a void function.
    text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
    for match in re.finditer(
        r"^ *cdef (?:inline )?([^\n=:]*?)(\w+)\((.*?)\)([^\n]*)$", text, re.M | re.S
    ):
        kind, name, _, tail = match.groups()
        if "(" in kind or "struct" in kind or not kind.strip():
            continue
        returns_object = not re.search(r"void|int|double|size_t|bint|char|float|long|\*", kind)
        if returns_object:
            continue
        assert re.search(r"noexcept|except", tail), f"{short(path)}: {name}"


def gradients_that_are_restrict(text: str) -> list[str]:
    """Parameters named like a gradient (gx, gy, ga ...), not const, that claim no aliasing."""
    found = re.findall(
        r"(?<!const )double *\* *(?:restrict|__restrict\w*|AD_RESTRICT) +(\w+)", text
    )
    return [name for name in found if re.fullmatch(r"g[a-z]?\w*", name)]


@needs_csrc
@pytest.mark.parametrize("path", C_FILES, ids=short)
def test_gradients_may_overlap(path: Path) -> None:
    # x * x: both gradients go to the same place.
    assert gradients_that_are_restrict(code(path)) == []


def test_restrict_gradients_are_found() -> None:
    assert gradients_that_are_restrict("void f(double *restrict gx, double *z)") == ["gx"]
    assert gradients_that_are_restrict("void f(const double *restrict g, double *restrict z)") == []


@needs_csrc
@pytest.mark.parametrize("path", [*C_FILES, *CYTHON], ids=short)
def test_c_is_ascii_outside_comments(path: Path) -> None:
    text = (
        code(path)
        if path in C_FILES
        else re.sub(r'#[^\n]*|""".*?"""', "", path.read_text(), flags=re.S)
    )
    for number, line in enumerate(text.splitlines(), 1):
        odd = [unicodedata.name(c, "?") for c in line if not c.isascii()]
        inside_text = re.sub(r'"[^"]*"|\'[^\']*\'', "", line)
        if odd:
            assert inside_text.isascii(), f"{short(path)}:{number}: {odd}"


@needs_csrc
def test_no_flag_changes_arithmetic_or_the_machine() -> None:
    for path in [
        *C_FILES,
        *CYTHON,
        *TESTS.parent.glob("setup.py"),
        *TESTS.parent.glob("pyproject.toml"),
    ]:
        if path.name in GENERATED:
            continue
        text = code(path) if path in C_FILES else re.sub(r"#[^\n]*", "", path.read_text())
        for flag in ("-ffast-math", "-march=native", "-Ofast", "-funsafe-math"):
            assert flag not in text, f"{short(path)}: {flag}"
