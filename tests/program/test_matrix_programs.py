"""Linear algebra in programs: all ways to run them, what the verifier holds them to, how few."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from compare import check
from mutants import field_mutants, with_fields

import autodiff
import autodiff.numpy as anp
from autodiff import Tensor
from autodiff.errors import VerificationError
from autodiff.program.code.kinds import KINDS
from autodiff.program.code.stack import OfStack
from autodiff.program.code.verify import verify_code
from autodiff.scipy import linalg as asl

la = anp.linalg
OF_STACKS = {name for name, kind in KINDS.items() if issubclass(kind, OfStack)}


def everything(a: Any, b: Any) -> list[Any]:
    """Each kind at least once, of a stack of two matrices, positive definite, and columns."""
    low = la.cholesky(a)
    sign, logarithm = la.slogdet(a + b @ anp.swapaxes(b, -1, -2))
    tri = anp.stack([0.1 * b[..., 0], 3.0 + b[..., 0], 0.2 * b[..., 1]], axis=-2)
    factor = asl.cholesky_banded(tri[..., 1:, :], lower=True)
    return [
        asl.cho_solve((low, True), b), la.solve(a, b), la.solve(anp.swapaxes(a, -1, -2), b),
        sign * logarithm, la.det(a), *la.eigh(a), *la.svd(b, full_matrices=False), *la.qr(b),
        la.pinv(b), asl.expm(0.1 * a), asl.sqrtm(a), asl.solve_sylvester(a, a, a),
        asl.solve_banded((1, 1), tri, b), asl.cho_solve_banded((factor, True), b), factor,
    ]  # fmt: skip


def numbers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    u = np.linalg.qr(rng.normal(size=(2, 4, 4)))[0]
    a = (u * [1.0, 2.1, 2.9, 4.2]) @ np.swapaxes(u, -1, -2)
    return a, np.linalg.qr(rng.normal(size=(2, 4, 2)))[0] * [1.0, 0.5]


def build() -> Any:
    w = Tensor(np.ones(()))

    def step(a: Any, b: Any) -> Any:
        results = everything(a * w, b * w)
        loss = sum((anp.sin(x)).sum() for x in results)
        loss.backward()
        w.assign(w.value - 1e-3 * w.gradient)
        return loss, results

    return step, [w]


def test_every_way_gives_the_same(rng: np.random.Generator) -> None:
    recording = check(build, *[numbers(rng) for _ in range(2)], variants=[(), ("simplify",)],
                      rtol=1e-9)  # fmt: skip
    assert {i.name for i in recording.code.instructions} >= OF_STACKS
    for instruction in recording.code.instructions:
        if isinstance(instruction, OfStack):
            assert instruction.text(str).startswith(instruction.name)
            assert instruction.title().startswith(instruction.name)


def test_mutants_are_rejected(rng: np.random.Generator) -> None:
    step, _ = build()
    recording = autodiff.compile(step).recording(*numbers(rng))
    code = recording.code
    tried = set()
    for number, instruction in enumerate(code.instructions):
        if not isinstance(instruction, OfStack) or instruction.name in tried:
            continue
        tried.add(instruction.name)
        for what, fields in field_mutants(instruction, code, rng):
            if dataclasses.replace(instruction, **fields) == instruction:
                continue
            mutant = with_fields(code, number, **fields)
            try:
                verify_code(mutant, recording.improved)
            except VerificationError:
                continue
            pytest.fail(f"accepted: {instruction.name}, {what}")
    assert tried == OF_STACKS


def likelihood(theta: Any, d: Any, y: Any) -> Any:
    """Of a Gaussian process, but for a constant."""
    k = anp.exp(theta[0] - 0.5 * d * anp.exp(-2.0 * theta[1]))
    low = la.cholesky(k + anp.exp(2.0 * theta[2]) * np.eye(len(y)))
    alpha = asl.cho_solve((low, True), y)
    return 0.5 * (y @ alpha) + anp.log(anp.diagonal(low)).sum()


def test_a_gaussian_process_takes_few_instructions(rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 2))
    d = ((x[:, None] - x) ** 2.0).sum(-1)
    y = np.sin(x.sum(1))
    theta = np.array([0.2, -0.1, -1.0])
    f = autodiff.value_and_grad(likelihood)
    step = autodiff.compile(f)
    value, gradient = step(theta, d, y)
    k = np.exp(theta[0] - 0.5 * d * np.exp(-2.0 * theta[1])) + np.exp(2.0 * theta[2]) * np.eye(20)
    wanted = 0.5 * y @ np.linalg.solve(k, y) + 0.5 * np.linalg.slogdet(k)[1]
    np.testing.assert_allclose(value, wanted, rtol=1e-11)
    np.testing.assert_allclose(gradient, f(theta, d, y)[1], rtol=1e-11)
    names = [i.name for i in step.recording(theta, d, y).code.instructions]
    assert names.count("cholesky") == names.count("cholesky_gradient") == 1
    assert names.count("solve_triangular") == 4
    assert len(names) <= 42
    hessian = autodiff.hessian(likelihood)(theta, d, y)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9)
    compiled = autodiff.compile(autodiff.hessian(likelihood))(theta, d, y)
    np.testing.assert_allclose(compiled, hessian, rtol=1e-9, atol=1e-9)
