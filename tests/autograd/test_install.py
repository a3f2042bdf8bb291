"""`autodiff.autograd.install` makes `import autograd` mean this package."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import autodiff.autograd

MODULES = """
    autograd autograd.numpy autograd.numpy.linalg autograd.numpy.random autograd.numpy.fft
    autograd.numpy.numpy_boxes autograd.numpy.numpy_vjps autograd.numpy.numpy_vspaces
    autograd.numpy.numpy_wrapper autograd.scipy autograd.scipy.special autograd.scipy.stats
    autograd.scipy.stats.norm autograd.scipy.stats.t autograd.scipy.stats.gamma
    autograd.scipy.linalg autograd.scipy.signal autograd.scipy.integrate autograd.extend
    autograd.core autograd.tracer autograd.builtins autograd.differential_operators
    autograd.wrap_util autograd.util autograd.misc autograd.misc.flatten
    autograd.misc.optimizers autograd.misc.fixed_points autograd.misc.tracers autograd.test_util
""".split()  # noqa: SIM905


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_module_is_entered_and_taken_out_again() -> None:
    code = f"""if True:
        import importlib, sys
        import autodiff.autograd
        autodiff.autograd.install()
        autodiff.autograd.install()
        assert sys.modules["autograd"] is autodiff.autograd
        for name in {MODULES}:
            module = importlib.import_module(name)
            assert module is sys.modules["autodiff." + name], name
            assert module.__spec__.name == "autodiff." + name, name
        import autograd.numpy as np, autograd.numpy.random as npr
        from autograd import grad
        from autograd.scipy.stats import norm
        import autograd.scipy.stats.norm as same
        assert callable(norm.rvs) and callable(same.rvs)
        print(grad(lambda x: np.exp(2.0 * x))(0.0))
        try:
            import autograd.nothing
        except ModuleNotFoundError as error:
            print(error.name)
        autodiff.autograd.uninstall()
        autodiff.autograd.uninstall()
        print(*[m for m in sys.modules if m.partition(".")[0] == "autograd"])
    """
    assert python(code).split("\n") == ["2.0", "autograd.nothing"]


def test_the_real_one_is_not_replaced_unless_forced() -> None:
    code = """if True:
        import sys, types
        sys.modules["autograd"] = real = types.ModuleType("autograd")
        sys.modules["autograd.numpy"] = types.ModuleType("autograd.numpy")
        import autodiff.autograd as ours
        try:
            ours.install()
        except RuntimeError as error:
            print(error)
        assert sys.modules["autograd"] is real
        ours.install(force=True)
        import autograd, autograd.numpy
        assert autograd is ours and autograd.numpy is ours.numpy
    """
    message = python(code)
    assert "imported already" in message
    assert "force=True" in message


def test_what_there_is_has_hips_names() -> None:
    theirs = pytest.importorskip("autograd")
    if theirs is autodiff.autograd:
        pytest.skip("it is installed as autograd")
    for name in vars(theirs):
        thing = getattr(theirs, name)
        if not name.startswith("_") and not isinstance(thing, types.ModuleType):
            assert hasattr(autodiff.autograd, name), name


def test_functions_are_recorded_if_they_can_be() -> None:
    code = """if True:
        import numpy as onp
        import autodiff.autograd
        autodiff.autograd.install(compile=True)
        import autograd.numpy as np
        from autograd import grad, hessian, value_and_grad
        from types import SimpleNamespace
        runs, raised = SimpleNamespace(n=0), []
        def f(x, data, mask):
            runs.n += 1
            return np.sum(np.exp(x[0] * data[mask]) * x[1])
        data, mask = onp.array([0.5, 1.0, -1.0]), onp.array([True, False, True])
        def exact(x, data):
            e = onp.exp(x[0] * data[mask])
            return onp.sum(e) * x[1], [onp.sum(data[mask] * e) * x[1], onp.sum(e)]
        both = value_and_grad(f)
        for i in range(30):
            x = onp.array([0.1 * i, 2.0])
            value, gradient = both(x, data, mask)
            assert type(value) is onp.float64 and type(gradient) is onp.ndarray
            onp.testing.assert_allclose(value, exact(x, data)[0])
            onp.testing.assert_allclose(gradient, exact(x, data)[1])
        assert runs.n < 6, runs.n
        for i in range(30):  # other data each time
            value, gradient = both(x, data * i, mask)
            onp.testing.assert_allclose(gradient, exact(x, data * i)[1])
        data[0] = 7.0  # in place
        onp.testing.assert_allclose(both(x, data, mask)[1], exact(x, data)[1])
        def branches(x):
            return x**2 if x > 0 else -x
        derivative = grad(branches)
        print([float(derivative(x)) for x in (1.0, -1.0, 2.0, -3.0, 4.0, -5.0)])
        second = hessian(lambda x: np.sum(x**3))
        for i in range(5):
            onp.testing.assert_allclose(second(onp.array([1.0, i])), onp.diag([6.0, 6.0 * i]))
        wrong = grad(lambda x: x + onp.ones(2) @ onp.ones(3))
        for i in range(4):
            try:
                wrong(1.0)
            except ValueError:
                raised.append(1)
        print(len(raised))
    """
    assert python(code).split("\n") == ["[2.0, -1.0, 4.0, -1.0, 8.0, -1.0]", "4"]
