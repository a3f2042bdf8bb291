"""Passes `stack`, `pack` and `batch`: fewer and larger matrix products.

All three rest on one law of block matrices, read in its three directions:

    Σ_t x_t g_t          = [x_1 x_2 ...] [g_1; g_2; ...]     (stack: sums of products)
    [z w_1, z w_2, ...]  = z [w_1 w_2 ...]                   (pack: a shared left operand)
    [h_1 w; h_2 w; ...]  = [h_1; h_2; ...] w                 (batch: a shared right operand)

Stacking is the theme of the project turned into speed: the T gradients that an
unrolled network sends to a shared weight become one product. The concatenations cost
nothing where the layout can let the parts be computed side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autodiff.program.ir import Program, Value
from autodiff.program.passes.rewrite import Emitter, substitute

__all__ = ["batch", "pack", "stack"]

_WORTH_PACKING = 4  # rows multiplied by a packed weight that pay for copying it side by side
_WORTH_SUMMING = 3  # rows that are better stacked and summed than added one by one


def _is_product(value: Value) -> bool:
    return value.op == "matmul" and all(len(x.shape) == 2 for x in value.inputs)


def _is_weight(value: Value) -> bool:
    """Known before the program begins, but for a transpose."""
    if value.op == "transpose":
        value = value.inputs[0]
    return value.kind != "computed"


# ---- stack ----------------------------------------------------------------------------


def stack(program: Program) -> Program:
    """Sums of products become one product, sums of sums one sum."""
    sums = _sums(program)
    order = _weight_order(program)
    worth: Counter[frozenset[Value]] = Counter()
    for terms in sums.values():
        packed = [t for t in terms if _packs(t)]
        if len(packed) > 1:
            worth[frozenset(t.inputs[1] for t in packed)] += packed[0].shape[0]
    emitter = Emitter()
    new: dict[Value, Value] = {}
    for root, terms in sums.items():
        emitter.at(root)
        left = list(terms)
        parts: list[Value] = []
        stacked = [t for t in left if _is_product(t) and t.inputs[0].op == "transpose"]
        if len(stacked) > 1:
            parts.append(_stack_products(emitter, stacked))
            left = [t for t in left if t not in set(stacked)]
        packed = [t for t in left if _packs(t)]
        if worth[frozenset(t.inputs[1] for t in packed)] >= _WORTH_PACKING and len(packed) > 1:
            packed.sort(key=lambda t: order[t.inputs[1]])
            lefts = emitter.concat([t.inputs[0] for t in packed], 1)
            rights = emitter.concat([t.inputs[1] for t in packed], 0)
            parts.append(emitter.apply("matmul", lefts, rights))
            left = [t for t in left if t not in set(packed)]
        summed = [t for t in left if t.op == "sum" and 0 in t.attribute("axis")]
        alike = [t for t in summed if _sums_alike(t, summed[0])]
        if len(alike) > 1:
            joined = emitter.concat([t.inputs[0] for t in alike], 0)
            parts.append(emitter.emit(alike[0].producer.op, [joined]))  # type: ignore[union-attr]
            left = [t for t in left if t not in set(alike)]
        if root.shape and root.shape[0] == 1 and len(left) >= _WORTH_SUMMING:
            joined = emitter.concat(left, 0)
            parts.append(emitter.apply("sum", joined, axis=(0,), keepdims=True))
            left = []
        if parts:
            total, *others = [*parts, *left]
            for other in others:
                total = emitter.apply("add", total, other)
            new[root] = total
    return substitute(program, new)


def _packs(value: Value) -> bool:
    return _is_product(value) and _is_weight(value.inputs[1])


def _sums_alike(x: Value, y: Value) -> bool:
    a, b = x.inputs[0], y.inputs[0]
    same_op = x.producer is not None and y.producer is not None and (
        x.producer.op.key() == y.producer.op.key()
    )
    return same_op and len(a.shape) == len(b.shape) and a.shape[1:] == b.shape[1:]


def _stack_products(e: Emitter, terms: Sequence[Value]) -> Value:
    """Σ x_t' g_t as [x_1; x_2; ...]' [g_1; g_2; ...]."""
    xs = e.concat([t.inputs[0].inputs[0] for t in terms], 0)
    gs = e.concat([t.inputs[1] for t in terms], 0)
    return e.apply("matmul", e.transpose(xs), gs)


def _sums(program: Program) -> dict[Value, list[Value]]:
    """For every largest sum of values of one shape, its terms in order."""
    uses = program.uses()
    outputs = set(program.outputs)
    inside: set[Value] = set()
    sums: dict[Value, list[Value]] = {}
    for instruction in reversed(program.instructions):
        root = instruction.output
        if root.op != "add" or root in inside:
            continue
        terms: list[Value] = []
        pending = list(root.inputs)[::-1]
        while pending:
            value = pending.pop()
            single = len(uses.get(value, ())) == 1 and value not in outputs
            if value.op == "add" and value.shape == root.shape and single:
                inside.add(value)
                pending.extend(value.inputs[::-1])
            else:
                terms.append(value)
        if all(t.shape == root.shape for t in terms):
            sums[root] = terms
    return dict(reversed(sums.items()))


def _weight_order(program: Program) -> dict[Value, int]:
    """A number for every weight, the same for its transpose: by first use."""
    order: dict[Value, int] = {}
    for instruction in program.instructions:
        for x in (*instruction.inputs, instruction.output):
            if _is_weight(x):
                base = x.inputs[0] if x.op == "transpose" else x
                order[x] = order.setdefault(base, len(order))
    return order


# ---- pack -----------------------------------------------------------------------------


def pack(program: Program) -> Program:
    """Products of one value with several weights become one product, and slices of it."""
    order = _weight_order(program)
    by_left: dict[Value, list[Value]] = {}
    for instruction in program.instructions:
        if _packs(instruction.output):
            by_left.setdefault(instruction.inputs[0], []).append(instruction.output)
    worth: Counter[frozenset[Value]] = Counter()
    for left, products in by_left.items():
        worth[frozenset(p.inputs[1] for p in products)] += left.shape[0]
    emitter = Emitter()
    new: dict[Value, Value] = {}
    for left, products in by_left.items():
        if len(products) < 2 or worth[frozenset(p.inputs[1] for p in products)] < _WORTH_PACKING:
            continue
        emitter.at(products[0])
        products.sort(key=lambda p: order[p.inputs[1]])
        product = emitter.apply(
            "matmul", left, emitter.concat([p.inputs[1] for p in products], 1)
        )
        start = 0
        for p in products:
            stop = start + p.shape[1]
            new[p] = emitter.slice(product, 1, start, stop)
            start = stop
    return substitute(program, new)


# ---- batch ----------------------------------------------------------------------------


def batch(program: Program) -> Program:
    """Products of several independent values with one weight become one product."""
    by_right: dict[Value, list[Value]] = {}
    for instruction in program.instructions:
        if _is_product(instruction.output) and instruction.inputs[0].op != "transpose":
            by_right.setdefault(instruction.inputs[1], []).append(instruction.output)
    emitter = Emitter()
    new: dict[Value, Value] = {}
    for right, products in by_right.items():
        if len(products) < 2 or _depend(program, products):
            continue
        emitter.at(products[0])
        product = emitter.apply(
            "matmul", emitter.concat([p.inputs[0] for p in products], 0), right
        )
        start = 0
        for p in products:
            stop = start + p.shape[0]
            new[p] = emitter.slice(product, 0, start, stop)
            start = stop
    # Two groups may each be independent and yet depend on each other: one at a time then.
    return substitute(program, new)


def _depend(program: Program, products: Sequence[Value]) -> bool:
    """Whether an operand of one product needs the result of another."""
    tainted = set(products)
    for instruction in program.instructions:
        if not tainted.isdisjoint(instruction.inputs):
            if instruction.output in tainted:
                return True
            tainted.add(instruction.output)
    return any(p.inputs[0] in tainted or p.inputs[1] in tainted for p in products)
