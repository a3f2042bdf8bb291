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

from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import CycleError, Emitter, substitute

__all__ = ["batch", "pack", "stack"]

_WORTH_PACKING = 4  # rows multiplied by a packed weight that pay for copying it side by side
_SMALL_SUM = 2048  # elements that biases are added to at once; more should not leave registers
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
    emitter = Emitter(program)
    parts: dict[Value, list[Value]] = {root: [] for root in sums}
    rest = {root: list(terms) for root, terms in sums.items()}
    _stack_shared_inputs(emitter, rest, parts, _weight_order(program))
    _stack_transposed(emitter, rest, parts)
    for root, terms in rest.items():
        emitter.at(root)
        _stack_sums(emitter, terms, parts[root])
        if root.shape and root.shape[0] == 1 and len(terms) >= _WORTH_SUMMING:
            terms.sort(key=lambda t: _row_in_stack(emitter, t))
            joined = emitter.concat(terms, 0)
            parts[root].append(emitter.apply("sum", joined, axis=(0,), keepdims=True))
            terms.clear()
    new: dict[Value, Value] = {}
    for root, done in parts.items():
        if done:
            emitter.at(root)
            total, *others = [*done, *rest[root]]
            for other in others:
                total = emitter.apply("add", total, other)
            new[root] = total
    return substitute(program, new)


_Terms = dict[Value, list[Value]]


def _stack_shared_inputs(e: Emitter, rest: _Terms, parts: _Terms, order: dict[Value, int]) -> None:
    """Σ_k g_k w_k': the gradient of an input that several weights read."""
    worth: Counter[frozenset[Value]] = Counter()
    packed = {root: [t for t in terms if _packs(t)] for root, terms in rest.items()}
    for terms in packed.values():
        if len(terms) > 1:
            worth[frozenset(t.inputs[1] for t in terms)] += terms[0].shape[0]
    for root, terms in packed.items():
        if worth[frozenset(t.inputs[1] for t in terms)] < _WORTH_PACKING or len(terms) < 2:
            continue
        e.at(root)
        terms.sort(key=lambda t: order[t.inputs[1]])
        lefts = e.concat([t.inputs[0] for t in terms], 1)
        rights = e.concat([t.inputs[1] for t in terms], 0)
        parts[root].append(e.apply("matmul", lefts, rights))
        _remove(rest[root], terms)


def _stack_transposed(e: Emitter, rest: _Terms, parts: _Terms) -> None:
    """Σ_t x_t' g_t as [x_1; x_2; ...]' [g_1; g_2; ...]: the gradient of a shared weight.

    Weights that read the same x_t (the gates of a cell) take their columns of one stack.
    """
    by_inputs: dict[tuple[Value, ...], list[tuple[Value, list[Value]]]] = {}
    for root, terms in rest.items():
        stacked = [t for t in terms if _is_product(t) and t.inputs[0].op == "transpose"]
        if len(stacked) > 1:
            stacked.sort(key=_rank_of_left)
            xs = tuple(t.inputs[0].inputs[0] for t in stacked)
            by_inputs.setdefault(xs, []).append((root, stacked))
            _remove(terms, stacked)
    for xs, members in by_inputs.items():
        e.at(members[-1][0])
        left = e.transpose(e.concat(xs, 0))
        members.sort(
            key=lambda m: max((o for _, o in e.part_of.get(m[1][-1].inputs[1], ())), default=0)
        )  # as they lie side by side already
        sides = [[m[1][t].inputs[1] for m in members] for t in range(len(xs))]
        stack_of_sides = e.concat([e.concat(side, 1) for side in sides], 0)
        start = 0
        for root, terms in members:
            stop = start + terms[0].inputs[1].shape[1]
            right = e.slice(stack_of_sides, 1, start, stop)
            parts[root].append(e.apply("matmul", left, right))
            start = stop


def _stack_sums(e: Emitter, terms: list[Value], parts: list[Value]) -> None:
    """Σ_t sum(g_t) over rows as the sum over the rows of [g_1; g_2; ...]."""
    summed = [t for t in terms if t.op == "sum" and 0 in t.attribute("axis")]
    alike = [t for t in summed if _sums_alike(t, summed[0])]
    if len(alike) > 1:
        _remove(terms, alike)
        alike.sort(key=lambda t: _row_in_stack(e, t.inputs[0]))
        joined = e.concat([t.inputs[0] for t in alike], 0)
        parts.append(e.emit(alike[0].producer.op, [joined]))  # type: ignore[union-attr]


def _remove(terms: list[Value], gone: Sequence[Value]) -> None:
    dead = set(gone)
    terms[:] = [t for t in terms if t not in dead]


def _rank_of_left(product: Value) -> int:
    x = product.inputs[0].inputs[0]
    return x.producer.rank if x.producer is not None else -1


def _row_in_stack(e: Emitter, value: Value) -> tuple[int, int]:
    """The order in which values have been stacked before, else that of their recording."""
    for whole, offset in e.part_of.get(value, ()):
        if whole.attribute("axis") == 0:
            return 0, offset
        for _, row in e.part_of.get(whole, ()):
            return 0, row
    return 1, value.producer.rank if value.producer is not None else -1


def _packs(value: Value) -> bool:
    return _is_product(value) and _is_weight(value.inputs[1])


def _sums_alike(x: Value, y: Value) -> bool:
    a, b = x.inputs[0], y.inputs[0]
    same_op = (
        x.producer is not None
        and y.producer is not None
        and (x.producer.op.key() == y.producer.op.key())
    )
    return same_op and len(a.shape) == len(b.shape) and a.shape[1:] == b.shape[1:]


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
    """Products of one value with several weights become one product, and slices of it.

    If a bias is added to each of them, the biases are packed and added at once, too.
    """
    order = _weight_order(program)
    uses = program.uses()
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
        whole = emitter.apply("matmul", left, emitter.concat([p.inputs[1] for p in products], 1))
        biased = [_with_bias(p, uses) for p in products]
        targets = products
        if all(biased) and whole.size <= _SMALL_SUM:
            sums, biases = zip(*[b for b in biased if b is not None], strict=True)
            rows = [emitter.reshape(b, (1, b.size)) for b in biases]
            whole = emitter.apply("add", whole, emitter.concat(rows, 1))
            targets = list(sums)
        start = 0
        for target in targets:
            stop = start + target.shape[1]
            new[target] = emitter.slice(whole, 1, start, stop)
            start = stop
    return substitute(program, new)


def _with_bias(product: Value, uses: dict[Value, list[Instruction]]) -> tuple[Value, Value] | None:
    """The sum of `product` and a row that is known before the program begins, and that row."""
    readers = uses.get(product, ())
    if len(readers) != 1 or readers[0].op.name != "add":
        return None
    total = readers[0].output
    (bias,) = [x for x in total.inputs if x is not product] or [product]
    is_row = bias.shape in ((1, product.shape[1]), (product.shape[1],))
    return (total, bias) if bias.kind != "computed" and is_row else None


# ---- batch ----------------------------------------------------------------------------


def batch(program: Program) -> Program:
    """Products of several independent values with one weight become one product."""
    by_right: dict[Value, list[Value]] = {}
    for instruction in program.instructions:
        if _is_product(instruction.output) and instruction.inputs[0].op != "transpose":
            by_right.setdefault(instruction.inputs[1], []).append(instruction.output)
    emitter = Emitter(program)
    groups = [
        _batched(emitter, right, products)
        for right, products in by_right.items()
        if len(products) > 1 and not _depend(program, products)
    ]
    try:
        return substitute(program, {v: new for group in groups for v, new in group.items()})
    except CycleError:  # each may be done, but not all: they depend on each other
        return substitute(program, max(groups, key=len))


def _batched(e: Emitter, right: Value, products: list[Value]) -> dict[Value, Value]:
    e.at(products[0])
    products.sort(key=lambda p: _row_in_stack(e, p.inputs[0]))
    product = e.apply("matmul", e.concat([p.inputs[0] for p in products], 0), right)
    new: dict[Value, Value] = {}
    start = 0
    for p in products:
        stop = start + p.shape[0]
        new[p] = e.slice(product, 0, start, stop)
        start = stop
    return new


def _depend(program: Program, products: Sequence[Value]) -> bool:
    """Whether an operand of one product needs the result of another."""
    tainted = set(products)
    for instruction in program.instructions:
        if not tainted.isdisjoint(instruction.inputs):
            if instruction.output in tainted:
                return True
            tainted.add(instruction.output)
    return any(p.inputs[0] in tainted or p.inputs[1] in tainted for p in products)
