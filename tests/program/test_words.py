"""Code as words, and back: exact, and nothing else is taken for words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_type_hints

import numpy as np
import pytest

from autodiff.errors import VerificationError
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import KINDS, Operand
from autodiff.program.code.kinds.call_back import CallBack, Given
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.kinds.cumulative import Cumulative
from autodiff.program.code.kinds.flatnonzero import Flatnonzero
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.join_numbers import JoinNumbers
from autodiff.program.code.kinds.last_of import LastOf
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.code.kinds.positions import Positions
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows, RowsGradient
from autodiff.program.code.kinds.scatter_rows import ScatterRows
from autodiff.program.code.kinds.search import Search
from autodiff.program.code.kinds.take import Take
from autodiff.program.code.words import MAGIC, from_words, to_words

X, Y, Z = Operand(1, 2), Operand(2, 3), Operand(0, 4)
NAN = np.frombuffer(np.uint64(0x7FF8_0000_0000_1234).tobytes(), float)[0].item()

FIELDS: dict[Any, Any] = {
    int: 3, float: -0.0, bool: True, str: "name", Operand: X, Operand | None: None,
    tuple[int, ...]: (2, -1),
}  # fmt: skip


def instruction_of(kind: type) -> Any:
    """One with some value in each field, by the annotations."""
    hints = get_type_hints(kind)
    return kind(*[FIELDS[hints[field.name]] for field in dataclasses.fields(kind)])


EACH = [
    Map((), (), (), 0.0),
    Map(
        (3, 4),
        (Window(X, (4, 1)), Window(Y, (0, -1)), Window(Z, (4, 1), True)),
        (Apply("add", (0, 1), -1), Apply("_tanh_slope", (-1, 0), 2), Apply("exp", (0,), -2)),
        13.5,
    ),
    Copy((2, 2), X, (2, 1), Z, (-1, 2)),
    Gemm(True, False, 2, 3, 4, -0.0, None, X, 2, Y, 3, NAN, Z, 3, (), (), (), ()),
    Gemm(False, True, 2, 3, 4, 0.1, Y, X, 2, Y, 3, math.inf, Z, 3, (5, 6), (1, 2), (0, 0), (6, 1)),
    Reduce("max", 1, 2, 3, X, Z),
    Rows("logsumexp", 4, 5, 1, X, Z),
    RowsGradient("_max_gradient", 2, 3, 4, X, Y, X, Z),
    RowsGradient("_softmax_gradient", 2, 3, 4, X, Y, None, Z),
    Cumulative("cumsum", 2, 3, 4, True, X, None, Z),
    Cumulative("_recurrence", 2, 3, 4, False, X, Y, Z),
    Take(3, 2**40, 4, X, Y, Z),
    ScatterRows(3, 2, 4, X, Y, Z),
    Take(3, 2, 4, X, Y, Z, 5),
    JoinNumbers(3, 4, 5, X, Y, Z),
    Flatnonzero(4, 3, X, Z),
    Positions("argsort", 3, 4, X, Z),
    Search(4, 6, True, X, Y, Z),
    LastOf(3, 5, False, X, Z),
    CallBack("_own_call", 2, (Given(X, (3, 0)), Given(Y, ())), (Given(Z, (2, 3)),)),
    CallBack("_own_gradient_0", 0, (), (Given(Z, ()), Given(X, (0,)))),
]
EACH += [instruction_of(k) for k in KINDS.values() if k not in set(map(type, EACH))]


def code_of(*instructions: Any) -> Code:
    return Code(
        arena_size=17,
        arguments=[(), (3, 4), (0,)],
        buffers=[np.zeros(3)],
        instructions=list(instructions),
        results=[(Z, (2, 3)), (X, ())],
    )


def test_words_are_exact() -> None:
    code = code_of(*EACH)
    words = to_words(code)
    assert words.dtype == np.int64
    arena_size, arguments, instructions, results = from_words(words)
    assert (arena_size, arguments, results) == (17, code.arguments, code.results)
    assert [type(i) for i in instructions] == [type(i) for i in EACH]
    # (repr tells 0 from -0 and True from 1; bytes tell one NaN from another.)
    assert repr(instructions) == repr(EACH)
    again = dataclasses.replace(code, instructions=instructions)
    assert to_words(again).tobytes() == words.tobytes()


def test_a_program_of_nothing() -> None:
    assert from_words(to_words(Code())) == (0, [], [], [])


def test_the_layout_of_the_words() -> None:
    words = to_words(code_of(Reduce("sum", 1, 2, 3, X, Z))).tolist()
    assert words[:4] == [MAGIC, 1, len(words), 2]
    assert MAGIC == 0x6175746F64696666
    names = [6, int.from_bytes(b"reduce", "little"), 3, int.from_bytes(b"sum", "little")]
    assert words[4:8] == names
    arguments = [17, 3, 0, 2, 3, 4, 1, 0]
    reduce = [0, 8, 1, 1, 2, 3, 1, 2, 0, 4]
    assert words[8:] == [*arguments, 1, 1, *reduce, 2, 0, 4, 2, 2, 3, 1, 2, 0]


def changed(words: np.ndarray, at: int, to: int) -> np.ndarray:
    words = words.copy()
    words[at] = to
    return words


SUM = to_words(code_of(Reduce("sum", 1, 2, 3, X, Z)))
PRODUCT = to_words(code_of(EACH[3]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros(0, np.int64), "word 0: they end here"),
        (SUM.astype(np.int32), "int64"),
        (SUM.reshape(1, -1), "shape"),
        (changed(SUM, 0, 0), "begin"),
        (changed(SUM, 1, 2), "version 2"),
        (changed(SUM, 2, 99), "there must be 99"),
        (SUM[:-1], "there must be"),
        (changed(SUM[:-1], 2, len(SUM) - 1), "they end here"),
        (changed(np.append(SUM, 0), 2, len(SUM) + 1), "something follows"),
        (changed(SUM, 3, -1), "word 3: -1 is no number"),
        (changed(SUM, 3, 2**60), "is no number"),
        (changed(SUM, 4, -1), "a name of -1 bytes"),
        (changed(SUM, 4, 2**60), "a name of"),
        (changed(SUM, 4, 2), "padded"),
        (changed(SUM, 5, 0xFF), "UTF-8"),
        (changed(SUM, 8, -1), "is no number"),  # arena
        (changed(SUM, 9, -1), "is no number"),  # arguments
        (changed(SUM, 10, -1), "is no number"),
        (changed(SUM, 12, -3), "is no shape"),
        (changed(SUM, 16, -1), "is no number"),  # buffers
        (changed(SUM, 17, -1), "is no number"),  # instructions
        (changed(SUM, 18, 2), "instruction 0, .*there is no name 2"),
        (changed(SUM, 18, -1), "there is no name -1"),
        (changed(SUM, 18, 1), "there is no kind 'sum'"),
        (changed(SUM, 19, 7), "reduce has 7 words, it must have 8"),
        (changed(SUM, 19, 9), "reduce has 9 words, it must have 8"),
        (changed(SUM, 20, 9), "there is no name 9"),
        (changed(SUM, 28, -1), "is no number"),  # results
        (changed(PRODUCT, 18, 2), "2 is neither 0 nor 1"),
    ],
)
def test_other_words_are_refused(words: np.ndarray, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        from_words(words)


def test_any_change_is_refused_or_understood(rng: np.random.Generator) -> None:
    words = to_words(code_of(*EACH))
    for _ in range(2000):
        number = rng.choice([-2, -1, 0, 1, 2, 2**62, -(2**63)])
        new = changed(words, rng.integers(len(words)), number)
        try:
            arena_size, arguments, instructions, results = from_words(new)
        except VerificationError:
            continue
        code = Code(arena_size, arguments, [np.zeros(3)], instructions, results=results)
        assert len(to_words(code)) > 0
