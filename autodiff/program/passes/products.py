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
from dataclasses import dataclass, field
from typing import Any

from autodiff.op import BoundOp
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.arrange import regroup
from autodiff.program.passes.rewrite import Emitter, substitute

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
    return _Stack(program).run()


@dataclass
class _Terms:
    """The terms of a sum, by what can be done with them: values as they were before the pass."""

    packed: list[tuple[Value, Value]] = field(default_factory=list)  # g, w: products of weights
    lefts: tuple[Value, ...] = ()  # x_t of x_t' g_t
    rights: tuple[Value, ...] = ()  # and g_t
    sum: BoundOp | None = None  # over rows
    summed: list[Value] = field(default_factory=list)  # the operands of such sums
    rows: list[Value] = field(default_factory=list)  # of which there are many
    rest: list[Value] = field(default_factory=list)

    @property
    def reads(self) -> list[Value]:
        """What the sum is computed from, if all is done."""
        packed = [x for pair in self.packed for x in pair]
        return [*packed, *self.lefts, *self.rights, *self.summed, *self.rows, *self.rest]


class _Stack:
    """One run of the pass."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.offsets: dict[Value, tuple[int, int]] = {}
        self.terms = {root: _Terms(rest=terms) for root, terms in _sums(program).items()}
        self._find_packed()
        for root, terms in self.terms.items():
            _find_stacked(terms)
            _find_summed(terms, root)

    def run(self) -> Program:
        by_lefts: dict[Any, list[Value]] = {}
        for root, terms in self.terms.items():
            if terms.packed or terms.lefts or terms.summed or terms.rows:
                by_lefts.setdefault(terms.lefts or root, []).append(root)
        # Sums over rows go last: their parts may lie in stacks that the others make.
        first = [self.terms[roots[0]] for roots in by_lefts.values()]
        phases = [1 if t.lefts else 2 if t.summed or t.rows else 0 for t in first]
        groups = list(by_lefts.values())
        if any(phase == 2 for phase in phases):
            self.offsets = _offsets(self.program)
        reads = {root: self.terms[root].reads for roots in groups for root in roots}
        return regroup(self.program, groups, self._build, reads, phases)

    def _find_packed(self) -> None:
        """Σ_k g_k w_k': the gradient of an input that several weights read."""
        worth: Counter[frozenset[Value]] = Counter()
        packed: dict[Value, list[Value]] = {}
        for root, terms in self.terms.items():
            products = [t for t in terms.rest if _packs(t)]
            if len(products) > 1:
                packed[root] = products
                worth[frozenset(t.inputs[1] for t in products)] += root.shape[0]
        order = _weight_order(self.program) if packed else {}
        for root, products in packed.items():
            if worth[frozenset(t.inputs[1] for t in products)] >= _WORTH_PACKING:
                products.sort(key=lambda t: order[t.inputs[1]])
                self.terms[root].packed = [_operands(t) for t in products]
                _remove(self.terms[root].rest, products)

    def _build(self, e: Emitter, roots: Sequence[Value], new: dict[Value, Value]) -> list[Value]:
        """Emit the sums of which the stacked products have the same x_t."""
        parts: dict[Value, list[Value]] = {root: [] for root in roots}
        for root in roots:
            if packed := self.terms[root].packed:
                e.at(root)
                lefts = e.concat([_in(new, g) for g, _ in packed], 1)
                rights = e.concat([_in(new, w) for _, w in packed], 0)
                parts[root].append(e.apply("matmul", lefts, rights))
        if self.terms[roots[0]].lefts:
            self._build_stacked(e, roots, new, parts)
        for root in roots:
            self._build_sums(e, root, new, parts[root])
        return [self._total(e, root, new, parts[root]) for root in roots]

    def _build_stacked(
        self,
        e: Emitter,
        roots: Sequence[Value],
        new: dict[Value, Value],
        parts: dict[Value, list[Value]],
    ) -> None:
        """Σ_t x_t' g_t as [x_1; x_2; ...]' [g_1; g_2; ...]: the gradient of a shared weight.

        Weights that read the same x_t (the gates of a cell) take their columns of one stack.
        """
        e.at(roots[-1])
        xs = [_in(new, x) for x in self.terms[roots[0]].lefts]
        left = e.transpose(e.concat(xs, 0))
        sides = {root: [_in(new, g) for g in self.terms[root].rights] for root in roots}
        # As they lie side by side already.
        order = sorted(
            roots, key=lambda r: max((o for _, o in e.part_of.get(sides[r][-1], ())), default=0)
        )
        all_sides = [e.concat([sides[root][t] for root in order], 1) for t in range(len(xs))]
        stack_of_sides = e.concat(all_sides, 0)
        start = 0
        for root in order:
            stop = start + root.shape[1]
            right = e.slice(stack_of_sides, 1, start, stop)
            parts[root].append(e.apply("matmul", left, right))
            start = stop

    def _build_sums(
        self, e: Emitter, root: Value, new: dict[Value, Value], parts: list[Value]
    ) -> None:
        """Σ_t sum(g_t) over rows as the sum over the rows of [g_1; g_2; ...]."""

        def position(x: Value) -> tuple[int, int]:
            return self.offsets.get(x) or _row_in_stack(e, _in(new, x)) or _by_rank(x)

        e.at(root)
        terms = self.terms[root]
        if terms.summed:
            assert terms.sum is not None
            gs = [_in(new, g) for g in sorted(terms.summed, key=position)]
            parts.append(e.emit(terms.sum, [e.concat(gs, 0)]))
        if terms.rows:
            rows = [_in(new, t) for t in sorted(terms.rows, key=position)]
            parts.append(e.apply("sum", e.concat(rows, 0), axis=(0,), keepdims=True))

    def _total(self, e: Emitter, root: Value, new: dict[Value, Value], parts: list[Value]) -> Value:
        e.at(root)
        total, *others = [*parts, *(_in(new, t) for t in self.terms[root].rest)]
        for other in others:
            total = e.apply("add", total, other)
        return total


def _in(new: dict[Value, Value], value: Value) -> Value:
    return new.get(value, value)


def _find_stacked(terms: _Terms) -> None:
    stacked = [t for t in terms.rest if _is_product(t) and t.inputs[0].op == "transpose"]
    if len(stacked) > 1:
        pairs = [_operands(t) for t in sorted(stacked, key=_rank_of_left)]
        terms.lefts = tuple([left.inputs[0] for left, _ in pairs])
        terms.rights = tuple([right for _, right in pairs])
        _remove(terms.rest, stacked)


def _operands(product: Value) -> tuple[Value, Value]:
    left, right = product.inputs
    return left, right


def _find_summed(terms: _Terms, root: Value) -> None:
    summed = [t for t in terms.rest if t.op == "sum" and 0 in t.attribute("axis")]
    alike = [t for t in summed if _sums_alike(t, summed[0])]
    if len(alike) > 1:
        terms.sum = alike[0].producer.op if alike[0].producer is not None else None
        terms.summed = [t.inputs[0] for t in alike]
        _remove(terms.rest, alike)
    if root.shape and root.shape[0] == 1 and len(terms.rest) >= _WORTH_SUMMING:
        terms.rows, terms.rest = terms.rest, []


def _remove(terms: list[Value], gone: Sequence[Value]) -> None:
    dead = set(gone)
    terms[:] = [t for t in terms if t not in dead]


def _rank_of_left(product: Value) -> int:
    x = product.inputs[0].inputs[0]
    return x.producer.rank if x.producer is not None else -1


def _offsets(program: Program) -> dict[Value, tuple[int, int]]:
    """For each value that the program stacks by rows, where: a key to sort by."""
    emitter = Emitter(program)
    found = {x: _row_in_stack(emitter, x) for x in emitter.part_of}
    return {x: key for x, key in found.items() if key is not None}


def _row_in_stack(e: Emitter, value: Value) -> tuple[int, int] | None:
    """The row of a stack in which a value lies, as a key to sort by."""
    for whole, offset in e.part_of.get(value, ()):
        if whole.attribute("axis") == 0:
            return 0, offset
        for _, row in e.part_of.get(whole, ()):
            return 0, row
    return None


def _by_rank(value: Value) -> tuple[int, int]:
    """When a value was recorded: comes after all rows of stacks."""
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
        root = instruction.first
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
        for x in (*instruction.inputs, *instruction.outputs):
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
        product = instruction.first
        if _packs(product):
            by_left.setdefault(instruction.inputs[0], []).append(product)
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
        product = instruction.first
        if _is_product(product) and instruction.inputs[0].op != "transpose":
            by_right.setdefault(instruction.inputs[1], []).append(product)
    groups = [products for products in by_right.values() if len(products) > 1]
    left_of = {p: p.inputs[0] for products in groups for p in products}
    right_of = {p: p.inputs[1] for products in groups for p in products}
    offsets = _offsets(program) if groups else {}

    def build(e: Emitter, products: Sequence[Value], new: dict[Value, Value]) -> Any:
        if len(products) < 2:
            return None
        e.at(products[0])
        lefts = [left_of[p] for p in products]
        order = sorted(lefts, key=lambda x: offsets.get(x) or _by_rank(x))
        whole = e.concat([_in(new, x) for x in dict.fromkeys(order)], 0)
        product = e.apply("matmul", whole, _in(new, right_of[products[0]]))
        rows: dict[Value, Value] = {}
        start = 0
        for x in dict.fromkeys(order):
            rows[x] = e.slice(product, 0, start, start + x.shape[0])
            start += x.shape[0]
        return [rows[x] for x in lefts]

    return regroup(program, groups, build)
