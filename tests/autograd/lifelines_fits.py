"""Fits lifelines' models as its documentation does, on one of three libraries; prints JSON.

    python lifelines_fits.py hips|eager|compiled

Printed are the coefficients of each fitter, and of some the time of its likelihood with gradient.
"""

# ruff: noqa: E402 - the library is chosen first
from __future__ import annotations

import json
import sys
import timeit
import warnings

warnings.simplefilter("ignore")
if sys.argv[1] != "hips":
    import autodiff.autograd

    autodiff.autograd.install(compile=sys.argv[1] == "compiled")

import lifelines
import lifelines.fitters
import numpy as np
from lifelines.datasets import load_diabetes, load_rossi, load_waltons

asked = []  # what the fitters asked for: function and arguments
original = lifelines.fitters.value_and_grad


def noting(function):
    both = original(function)

    def call(*arguments, **named):
        asked.append((both, arguments, named))
        return both(*arguments, **named)

    return call


lifelines.fitters.value_and_grad = noting

waltons, rossi, diabetes = load_waltons(), load_rossi(), load_diabetes()
T, E = waltons["T"], waltons["E"]
left, right = diabetes["left"], diabetes["right"]


def of_times(fitter):
    return fitter.fit(T, E).params_.to_numpy()


def of_rossi(fitter, **named):
    return fitter.fit(rossi, "week", "arrest", **named).params_.to_numpy()


FITS = {
    "Weibull": lambda: of_times(lifelines.WeibullFitter()),
    "Exponential": lambda: of_times(lifelines.ExponentialFitter()),
    "LogNormal": lambda: of_times(lifelines.LogNormalFitter()),
    "LogLogistic": lambda: of_times(lifelines.LogLogisticFitter()),
    "GeneralizedGamma": lambda: of_times(lifelines.GeneralizedGammaFitter()),
    "PiecewiseExponential": lambda: of_times(lifelines.PiecewiseExponentialFitter([20, 40])),
    "Spline": lambda: of_times(lifelines.SplineFitter([6, 20, 40, 75])),
    "MixtureCure": lambda: of_times(lifelines.MixtureCureFitter(lifelines.WeibullFitter())),
    "Weibull, intervals": lambda: (
        lifelines.WeibullFitter().fit_interval_censoring(left, right).params_.to_numpy()
    ),
    "LogNormal, intervals": lambda: (
        lifelines.LogNormalFitter().fit_interval_censoring(left, right).params_.to_numpy()
    ),
    "LogLogistic, left": lambda: (
        lifelines.LogLogisticFitter().fit_left_censoring(T, E).params_.to_numpy()
    ),
    "WeibullAFT": lambda: of_rossi(lifelines.WeibullAFTFitter()),
    "WeibullAFT, ancillary": lambda: of_rossi(lifelines.WeibullAFTFitter(), ancillary=True),
    "LogNormalAFT": lambda: of_rossi(lifelines.LogNormalAFTFitter()),
    "LogLogisticAFT": lambda: of_rossi(lifelines.LogLogisticAFTFitter()),
    "PiecewiseExponentialRegression": lambda: of_rossi(
        lifelines.PiecewiseExponentialRegressionFitter(breakpoints=[25.0])
    ),
    "CoxPH, penalised": lambda: of_rossi(lifelines.CoxPHFitter(penalizer=0.1, l1_ratio=0.5)),
    "CoxPH, spline": lambda: of_rossi(
        lifelines.CoxPHFitter(baseline_estimation_method="spline", n_baseline_knots=3)
    ),
    "CoxPH, piecewise": lambda: of_rossi(
        lifelines.CoxPHFitter(baseline_estimation_method="piecewise", breakpoints=[25])
    ),
    "non-parametric": lambda: (
        lifelines.KaplanMeierFitter()
        .fit_interval_censoring(left, right)
        .survival_function_.to_numpy()[:20]
    ),
}
TIMED = ("Weibull", "LogLogistic", "Spline", "WeibullAFT", "LogLogisticAFT")

coefficients, microseconds = {}, {}
for name, fit in FITS.items():
    asked.clear()
    coefficients[name] = np.ravel(fit()).tolist()
    if name in TIMED:
        both, arguments, named = asked[-1]
        for _ in range(4):
            both(*arguments, **named)
        times = timeit.repeat(lambda: both(*arguments, **named), number=5, repeat=20)  # noqa: B023
        microseconds[name] = min(times) / 5 * 1e6
print(json.dumps({"coefficients": coefficients, "microseconds": microseconds}))
