"""The package as a user meets it: what it exports, how it chooses a back end, what import costs."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import autodiff

ROOT = Path(autodiff.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "autodiff.")
    if not module.name.rpartition(".")[2].startswith("_")
)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that imports this very package."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTODIFF_")}
    env |= {"PYTHONPATH": str(ROOT.parent), **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_all_is_complete_and_documented() -> None:
    assert len(set(autodiff.__all__)) == len(autodiff.__all__)
    for name in autodiff.__all__:
        assert getattr(autodiff, name).__doc__, name
    public = {
        name
        for name in dir(autodiff)  # with those that are imported when they are first used
        if not name.startswith("_") and not inspect.ismodule(getattr(autodiff, name))
    }
    assert public - {"annotations", "TYPE_CHECKING"} == set(autodiff.__all__)


OF_NUMPY = (
    "autodiff.numpy", "autodiff.scipy", "autodiff.autograd.numpy", "autodiff.autograd.scipy"
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_docstrings_and_true_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except (ImportError, autodiff.errors.BackendError) as error:
        pytest.skip(str(error))
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), public
    tests, flags = doctest.DocTestFinder(exclude_empty=True), doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags | doctest.ELLIPSIS)
    for test in tests.find(module):
        if not (test.name.startswith(OF_NUMPY) and test.name != name):  # NumPy's own examples
            runner.run(test)
    assert runner.summarize().failed == 0


def test_importing_it_is_light() -> None:
    code = "import sys, autodiff; print(*[m for m in sys.modules if '.' not in m])"
    result = python(code, AUTODIFF_BACKEND="reference")
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert "autodiff" in loaded
    assert not loaded & {"scipy", "matplotlib", "sklearn", "tqdm", "graphviz", "safetensors"}


def test_every_module_is_an_attribute_and_loaded_late() -> None:
    names = {name.split(".")[1] for name in MODULES}
    code = f"""if True:
        import sys, autodiff
        before = {{name.split(".")[1] for name in sys.modules if name.startswith("autodiff.")}}
        print(*sorted({names} - before))
        for name in {names}:
            assert name in dir(autodiff), name
            assert getattr(autodiff, name) is sys.modules["autodiff." + name], name
            assert vars(autodiff)[name] is getattr(autodiff, name), name
        assert autodiff.save.save.__module__ == "autodiff.save"
    """
    result = python(code, AUTODIFF_BACKEND="reference")
    assert result.returncode == 0, result.stderr
    assert {"data", "draw", "nn", "optim", "save"} <= set(result.stdout.split())


@pytest.mark.parametrize("first", ["nn", "save", "optim"])
def test_a_late_module_can_be_had_in_each_way_of_importing(first: str) -> None:
    for code in (
        f"import autodiff; a = autodiff.{first}; import autodiff.{first}",
        f"import autodiff.{first}; a = autodiff.{first}",
        f"from autodiff import {first} as a; import autodiff",
        f"import autodiff, importlib; a = importlib.import_module('autodiff.{first}')",
        f"from autodiff import *; import autodiff; a = autodiff.{first}",
    ):
        result = python(f"{code}; import sys; assert a is sys.modules['autodiff.{first}']")
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nope", "autodiff has no attribute 'nope'"),
        ("Adam", "autodiff has no attribute 'Adam'; it is autodiff.optim.Adam"),
        ("ShapeError", "autodiff has no attribute 'ShapeError'; it is autodiff.errors.ShapeError"),
        ("squared_eror", "did you mean autodiff.nn.squared_error?"),
        ("gradient", "did you mean autodiff.gradients?"),
        ("__wrapped__", "autodiff has no attribute '__wrapped__'"),
    ],
)
def test_a_name_that_is_not_there(name: str, says: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(autodiff, name)
    assert str(caught.value).endswith(says)
    assert caught.value.name == name
    assert not hasattr(autodiff, name)
    result = python(f"import autodiff; autodiff.{name}")
    assert result.stderr.rstrip().endswith(says)  # and Python guesses nothing of its own


# ---- the choice of a back end ------------------------------------------------------------


def test_back_ends_by_name() -> None:
    assert autodiff.available_backends()[-1] == "reference"
    for name in autodiff.available_backends():
        backend = autodiff.get_backend(name)
        assert backend.name == name
        assert autodiff.get_backend(name) is backend
        assert autodiff.get_backend(backend) is backend
        assert name in repr(backend)


def test_use_backend_nests_and_is_undone() -> None:
    before = autodiff.get_backend()
    first, second = object(), object()
    with autodiff.use_backend(first) as chosen:  # type: ignore[arg-type]
        assert chosen is first
        assert autodiff.get_backend() is first
        with contextlib.suppress(KeyError), autodiff.use_backend(second):  # type: ignore[arg-type]
            assert autodiff.get_backend() is second
            raise KeyError
        assert autodiff.get_backend() is first
        with autodiff.use_backend("reference"):
            assert autodiff.get_backend().name == "reference"
    assert autodiff.get_backend() is before


def test_use_backend_holds_in_its_thread_and_task_only() -> None:
    before, mine, seen = autodiff.get_backend(), object(), []
    with autodiff.use_backend(mine):  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: seen.append(autodiff.get_backend()))
        thread.start()
        thread.join()
    assert seen == [before]

    async def task(own: object) -> bool:
        with autodiff.use_backend(own):  # type: ignore[arg-type]
            await asyncio.sleep(0)
            return autodiff.get_backend() is own

    async def both() -> list[bool]:
        return await asyncio.gather(*(task(object()) for _ in range(5)))

    assert asyncio.run(both()) == [True] * 5


def test_the_default_can_be_set() -> None:
    before = autodiff.get_backend()
    try:
        autodiff.set_default_backend("reference")
        assert autodiff.get_backend().name == "reference"
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(autodiff.get_backend().name))
        thread.start()
        thread.join()
        assert seen == ["reference"]
    finally:
        autodiff.set_default_backend(before)


def test_the_environment_chooses() -> None:
    code = "import autodiff; print(autodiff.get_backend().name)"
    for name in autodiff.available_backends():
        result = python(code, AUTODIFF_BACKEND=name)
        assert result.stdout.strip() == name, result.stderr
    result = python(code, AUTODIFF_BACKEND="abacus")
    assert "BackendError" in result.stderr
    assert "'abacus'" in result.stderr


def test_without_the_extension_it_warns_once_and_works() -> None:
    code = """if True:
        import sys, warnings
        sys.modules["autodiff._core"] = None
        import autodiff
        assert autodiff.available_backends() == ("reference",)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert autodiff.Tensor([1.0]).sum().item() == 1.0
            assert autodiff.Tensor([1.0]).sum().item() == 1.0
        print(len(caught), caught[0].message)
    """
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 ")
    assert "reference back end" in result.stdout
