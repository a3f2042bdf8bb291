"""The statistical examples find what was put into their data."""

from __future__ import annotations

import numpy as np
from example_files import example, png_size


def test_weibull(tmp_path, capsys):
    picture = tmp_path / "weibull.png"
    fit = example("weibull").main(["--patients", "300", "--plot", str(picture)])
    png_size(picture)
    assert fit.success
    true = example("weibull").TRUE
    z = np.append(fit.x["beta"] - true["beta"], fit.x["log_shape"] - true["log_shape"])
    z /= np.append(fit.standard_errors["beta"], fit.standard_errors["log_shape"])
    assert np.abs(z).max() < 3.0
    np.testing.assert_allclose(fit.jac, 0.0, atol=1e-4)
    assert "std. error" in capsys.readouterr().out


def test_standard_errors_are_those_of_repeated_samples():
    """Estimates from a hundred samples spread as the Hessian of one says."""
    import autodiff

    weibull = example("weibull")
    estimates = []
    for seed in range(100):
        data = weibull.patients(300, seed)
        fit = autodiff.minimize(
            weibull.negative_log_likelihood, {"beta": np.zeros(3), "log_shape": 0.0}, data
        )
        estimates.append(fit.vector)
    found = np.std(estimates, axis=0)
    wanted = np.append(fit.standard_errors["beta"], fit.standard_errors["log_shape"])
    np.testing.assert_allclose(found, wanted, rtol=0.25)


def test_eight_schools(tmp_path):
    picture = tmp_path / "eight_schools.png"
    table, rhat = example("eight_schools").main(
        ["--draws", "1000", "--chains", "2", "--plot", str(picture)]
    )
    png_size(picture)
    assert rhat.max() < 1.05
    # What long runs of other samplers give: 4.4 and 3.6.
    np.testing.assert_allclose(table["mean"].mean(), 4.4, atol=0.5)
    np.testing.assert_allclose(table["spread"].mean(), 3.6, atol=0.5)


def test_gaussian_process(tmp_path, capsys):
    picture = tmp_path / "process.png"
    fit, inside = example("gaussian_process").main(["--points", "40", "--plot", str(picture)])
    png_size(picture)
    assert fit.success
    np.testing.assert_allclose(fit.jac, 0.0, atol=1e-4)
    np.testing.assert_allclose(np.exp(fit.x["log_noise"]), 0.15, rtol=0.3)
    assert inside > 0.8
    assert "95 %" in capsys.readouterr().out
