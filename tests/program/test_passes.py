"""What each pass does, seen in the program and in the code; and that it does it alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import check

import autodiff
from autodiff import Tensor, nn, ops
from autodiff.program.code.kinds.map import Map
from autodiff.program.ir import Program
from autodiff.program.passes import PASSES, improve
from autodiff.program.step import Recording


def record(make: Callable[[], Any], *arguments: Any, without: Any = ()) -> Recording:
    recording: Recording = autodiff.compile(make(), without=without).recording(*arguments)
    return recording


def op_counts(program: Program) -> Counter[str]:
    return Counter(i.op.name for i in program.instructions)


def products(program: Program) -> list[tuple[int, ...]]:
    return [i.output.shape for i in program.instructions if i.op.name in ("matmul", "product_add")]


def maps(recording: Recording) -> Counter[str]:
    maps = [i for i in recording.code.instructions if isinstance(i, Map)]
    return Counter(apply.op for i in maps for apply in i.applications)


def kinds(recording: Recording) -> Counter[str]:
    return Counter(getattr(i, "op", i.name) for i in recording.code.instructions)


def only(name: str) -> list[str]:
    """All other passes off; the decisions of the lowering stay."""
    return [p for p in PASSES if p != name and p not in ("fuse", "in_place", "reuse")]


# ---- steps -----------------------------------------------------------------------------


def shared_weight() -> Any:
    """Σ_t tanh(x_t w) with one weight; its gradient is assigned."""
    w, sent = Tensor(np.ones((3, 2))), Tensor(np.ones((3, 2)))

    def step(xs: Any) -> Any:
        loss: Any = 0.0
        h: Any = np.ones((1, 3))
        for x in xs:
            y = ops.tanh((h * x) @ w)
            h = ops.concat([y, y[:, :1]], axis=1)  # one after the other: no batch
            loss = loss + y.sum()
        autodiff.backward(loss)  # the last h takes no part
        sent.assign(w.gradient)
        return loss

    return step


def gates() -> Any:
    """Four products of one value."""
    weights = [Tensor(np.ones((3, 5))) for _ in range(4)]

    def step(x: Any) -> Any:
        z = ops.tanh(x)
        return sum(ops.sigmoid(z @ w) for w in weights)

    return step


def outputs() -> Any:
    """A weight that is read by independent rows, and the same op on each."""
    w, b = Tensor(np.ones((3, 2))), Tensor(np.ones((1, 2)))

    def step(xs: Any, targets: Any) -> Any:
        loss: Any = 0.0
        for x, target in zip(xs, targets, strict=True):
            loss = loss + ops.square(ops.tanh(x @ w + b) - target).sum()
        return loss

    return step


def update() -> Any:
    """A large weight whose gradient only its update reads."""
    w = Tensor(np.ones((40, 50)))

    def step(x: Any) -> Any:
        loss = ops.square(x @ w).sum()
        loss.backward()
        w.assign(w.value - 0.1 * w.gradient)
        return loss

    return step


# ---- passes ----------------------------------------------------------------------------


def test_simplify_shares_folds_and_drops() -> None:
    def make() -> Any:
        w, half = Tensor(np.ones((4, 4))), np.full(4, 0.5)

        def step(x: Any) -> Any:
            ops.exp(x)  # nobody wants it
            twice = ops.tanh(x @ w) + ops.tanh(x @ w)
            return (twice * (half + 0.5)).T.T.reshape(-1).reshape(4, 4) / 1.0

        return step

    recording = record(make, np.ones((4, 4)), without=only("simplify"))
    assert op_counts(recording.improved) == {"matmul": 1, "tanh": 1, "add": 1}
    kept = op_counts(record(make, np.ones((4, 4)), without=PASSES).improved)
    assert kept["matmul"] == 2
    assert kept["exp"] == 0  # recorded programs are in order, without what nothing needs


def test_simplify_uses_a_repeated_operand_as_it_is() -> None:
    def make() -> Any:
        b = Tensor(np.ones((1, 4)))
        return lambda x: x * ops.broadcast_to(b, (3, 4))

    for name, repeats in (("simplify", 0), ("stack", 1)):
        recording = record(make, np.ones((3, 4)), without=only(name))
        assert op_counts(recording.improved)["broadcast_to"] == repeats


def test_stack_makes_gradients_of_a_shared_weight_one_product() -> None:
    xs = np.ones((6, 1, 3))
    recording = record(shared_weight, xs)
    assert products(recording.improved).count((3, 2)) == 1
    assert products(record(shared_weight, xs, without=["stack", "accumulate"]).improved).count(
        (3, 2)
    ) == len(xs)
    (product,) = [i for i in recording.improved.instructions if i.output.shape == (3, 2)
                  and i.op.name == "matmul"]  # fmt: skip
    assert product.inputs[0].shape == (3, len(xs))
    assert product.inputs[1].shape == (len(xs), 2)


def test_stacking_needs_few_copies() -> None:
    # The parts are computed side by side in the arena; inputs and what two stacks hold are copied.
    make, x = lstm(12, 4)
    assert maps(record(make, x, x))["stop_gradient"] <= 2 * 12 + 4


def test_pack_makes_the_gates_one_product() -> None:
    x = np.ones((8, 3))
    assert products(record(gates, x).improved) == [(8, 20)]
    assert products(record(gates, x, without=["pack"]).improved) == [(8, 5)] * 4
    assert kinds(record(gates, x))["gemm"] == 1


def test_pack_leaves_what_does_not_pay() -> None:
    assert products(record(gates, np.ones((1, 3))).improved) == [(1, 5)] * 4


def test_batch_makes_independent_products_one() -> None:
    arguments = np.ones((7, 2, 3)), np.ones((7, 2, 2))
    assert products(record(outputs, *arguments).improved) == [(14, 2)]
    assert products(record(outputs, *arguments, without=["batch"]).improved) == [(2, 2)] * 7


def test_rows_does_the_same_op_once_for_all() -> None:
    arguments = np.ones((7, 2, 3)), np.ones((7, 2, 2))
    done = op_counts(record(outputs, *arguments).improved)
    assert done["tanh"] == done["subtract"] == done["square"] == done["sum"] == 1
    loose = op_counts(record(outputs, *arguments, without=["rows"]).improved)
    assert loose["tanh"] == 7


def test_rows_of_other_steps_are_not_taken_for_each_other(rng: np.random.Generator) -> None:
    def build() -> Any:
        def step(xs: Any, ys: Any) -> Any:
            backwards = [ops.tanh(x * y) for x, y in zip(xs[::-1], ys, strict=True)]
            shifted = [x - y for x, y in zip(xs[1:], ys[:-1], strict=True)]
            along = [ops.exp(x * y) for x, y in zip(xs, ys, strict=True)]
            crossed = [ops.exp(xs[i] + ys[j]) for i, j in ((0, 1), (1, 0), (2, 3), (3, 2))]
            return [ops.concat(rows, axis=0) for rows in (backwards, shifted, along, crossed)]

        return step, []

    check(build, (rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3))))


def test_accumulate_stores_no_gradient_of_a_large_weight() -> None:
    x = np.ones((3, 40))
    recording = record(update, x)
    assert op_counts(recording.improved)["product_add"] == 1
    assert recording.code.arena_size < 2000
    other = record(update, x, without=["accumulate"])
    assert op_counts(other.improved)["product_add"] == 0
    assert other.code.arena_size >= 2000


def test_accumulate_adds_a_product_onto_another() -> None:
    def make() -> Any:
        v, w = Tensor(np.ones((3, 5))), Tensor(np.ones((4, 5)))
        return lambda x, y: x @ v + ops.tanh(y) @ w

    arguments = np.ones((2, 3)), np.ones((2, 4))
    done = op_counts(record(make, *arguments, without=only("accumulate")).improved)
    assert done["product_add"] == 1
    assert done["add"] == 0


def test_combine_multiplies_and_adds_in_one_map() -> None:
    def make() -> Any:
        return lambda x, y, z: x * y + z - y * z

    arguments = [np.ones(9)] * 3
    done = maps(record(make, *arguments))
    assert done["multiply"] == 0
    assert done["_multiply_add"] == done["_multiply_subtract"] == 1
    assert maps(record(make, *arguments, without=["combine"]))["multiply"] == 2


def test_legalise_groups_neighbouring_axes() -> None:
    def make() -> Any:
        return lambda x: (x.sum(axis=(0, 1)), x.mean(axis=(0, 2)), ops.softmax(x, axis=0),
                          ops.logsumexp(x, axis=(0, 1)), ops.softmax(x, axis=(0, 2)),
                          x.max(axis=(0, 2)))  # fmt: skip

    program = record(make, np.ones((2, 3, 4)), without=PASSES).improved
    for i in program.instructions:
        if i.op.name in ("sum", "max"):
            axis = i.op.attributes["axis"]
            assert axis == tuple(range(axis[0], axis[-1] + 1))
        assert i.op.name != "mean"
        if i.op.name in ("softmax", "logsumexp"):
            axis = i.op.attributes["axis"]
            assert axis == tuple(range(axis[0], axis[-1] + 1))


def test_passes_that_have_nothing_to_do_change_nothing() -> None:
    def make() -> Any:
        w = Tensor(np.ones((3, 3)))
        return lambda x: ops.exp(ops.tanh(x @ w))

    recording = record(make, np.ones((2, 3)))
    for _, program in improve(recording.recorded):
        assert op_counts(program) == {"matmul": 1, "tanh": 1, "exp": 1}


# ---- decisions of the lowering ---------------------------------------------------------


def chain() -> Any:
    w = Tensor(np.ones((30, 30)))

    def step(x: Any) -> Any:
        for _ in range(5):
            x = ops.sin(ops.tanh(x) * 0.5 + 1.0)
        w.assign(w.value * 0.9 + x)
        return x.sum()

    return step


def test_fuse_gathers_elementwise_ops_in_runs() -> None:
    x = np.ones((30, 30))
    assert kinds(record(chain, x)) == {"map": 2, "sum": 1}  # the update comes last
    loose = record(chain, x, without=["fuse"])
    assert kinds(loose)["map"] == sum(maps(loose).values()) > 15


def test_in_place_needs_no_copies() -> None:
    x = np.ones((30, 30))
    assert maps(record(chain, x))["stop_gradient"] == 0
    assert maps(record(chain, x, without=["in_place"]))["stop_gradient"] == 1
    assert maps(record(update, np.ones((3, 40))))["stop_gradient"] == 0


def test_reuse_makes_the_arena_smaller() -> None:
    x = np.ones((30, 30))
    shared = record(chain, x, without=["fuse"]).code.arena_size
    apart = record(chain, x, without=["fuse", "reuse"]).code.arena_size
    assert shared <= 4 * 912
    assert apart >= 15 * 900


def test_what_only_a_run_uses_needs_no_memory() -> None:
    assert record(chain, np.ones((30, 30))).code.arena_size <= 912 + 8


# ---- an LSTM ---------------------------------------------------------------------------


def lstm(n_steps: int, n_batch: int) -> tuple[Callable[[], Any], np.ndarray]:
    def make() -> Any:
        cell, head = nn.LSTM(2, 5, random=1), nn.FeedForward(5, 2, random=2)
        optimiser = autodiff.optim.SGD([*cell.parameters(), *head.parameters()], 0.1)

        def step(window: Any, target: Any) -> Any:
            h, c = cell.initial_state(n_batch)
            loss: Any = 0.0
            for x, y in zip(window, target, strict=True):
                h, c = cell(x, h, c)
                loss = loss + ops.square(head(h) - y).sum()
            loss.backward()
            optimiser.step()
            return loss

        return step

    return make, np.ones((n_steps, n_batch, 2))


@pytest.mark.parametrize("n_batch", [1, 4])
def test_instructions_of_an_lstm(n_batch: int) -> None:
    make, x = lstm(6, n_batch)
    counts = kinds(record(make, x, x))
    # Forward: a product, the packed biases and a run a step; backward a product and a run;
    # then the stacked ones.
    assert counts["gemm"] <= 2 * 6 + 6
    assert counts["map"] <= 3 * 6 + 8
    assert sum(kinds(record(make, x, x, without=PASSES)).values()) > 6 * sum(counts.values())


def test_recording_takes_time_in_proportion_to_the_steps() -> None:
    def seconds(n_steps: int) -> float:
        make, x = lstm(n_steps, 1)
        best = 1e9
        for _ in range(2):
            start = time.process_time()
            record(make, x, x)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(320) < 2.5 * 8 * seconds(40)


# ---- the listing -----------------------------------------------------------------------


def test_the_listing() -> None:
    w = Tensor(np.ones((3, 2)), name="weights")
    rate = Tensor(0.5, name="rate", constant=True)

    @autodiff.compile
    def step(x: Any) -> Any:
        y = ops.tanh(x @ w)
        y.name = "hidden"
        loss = ops.square(y).sum()
        loss.backward()
        w.assign(w.value - rate.value * w.gradient)
        return loss

    before = w.value.tolist()
    text = step.program(np.ones((4, 3)))
    assert w.value.tolist() == before  # nothing is run
    head, body = text.split("\n\n")
    assert [line.split()[0] for line in head.splitlines()] == ["recorded", "improved", "code"]
    assert "bytes of arena" in head
    lines = body.splitlines()
    assert len(lines) == len(step.recording(np.ones((4, 3))).code.instructions)
    assert "argument0[0] · weights" in lines[0]
    assert "tanh" in lines[1]
    assert "hidden" in lines[1]
    assert any("weights -= rate" in line or "weights += -1 rate" in line for line in lines)
