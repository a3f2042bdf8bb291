"""Flat code as 64-bit words, and back: what the loader in C reads (``csrc/load.c``).

Magic number, version, number of words in all; a table of names; the size of the arena, the shapes
of the arguments, the number of buffers (which travel beside the words); the instructions, each
with the number of its kind's name and of the words that follow; the results.

A field is encoded by its annotation: a number is one word (a float by its bits), a name its
number in the table, an operand two words (space -1: None), a tuple its length and then its items, a
record its fields in order. Code that an instruction owns is written as the whole is, from the size
of the arena on; but after the number of its buffers comes, for each, its space around.

Functions that instructions call travel beside the words, too, and the words have their numbers.
They are Python's: a program that calls some cannot leave its process as words.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
import types
import typing
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from autodiff.array import Shape
from autodiff.errors import VerificationError
from autodiff.program.code.flat import Code, Operand, Region
from autodiff.program.code.kind import Kind
from autodiff.program.code.kinds import KINDS

__all__ = ["MAGIC", "VERSION", "Words", "from_words", "to_words"]

MAGIC = int.from_bytes(b"autodiff", "big")
VERSION = 1

Words = NDArray[np.int64]

_NOWHERE = -1, 0  # an operand that is None
_DEEPEST = 64  # code within code


def to_words(code: Code) -> Words:
    """Everything about `code` that the executor needs, but for the buffers."""
    names = _Names()
    body = _body(code, (), names)
    head = [MAGIC, VERSION, 0, len(names)]
    for name in names:
        head += _name_words(name)
    head[2] = len(head) + len(body)
    return np.frombuffer(array("q", head + body), np.int64)


def _body(code: Code | Region, spaces: Sequence[int], names: _Names) -> list[int]:
    """From the size of the arena to the last result; spaces : the buffers of a region."""
    body: list[int] = [code.arena_size, len(code.arguments)]
    for shape in code.arguments:
        body += (len(shape), *shape)
    body += len(code.buffers), *spaces, len(code.instructions)
    for instruction in code.instructions:
        kind: Any = type(instruction)
        number = names[kind.name]
        words = _encoder(kind)(instruction, names)
        body += number, len(words), *words
    body.append(len(code.results))
    for place, shape in code.results:
        body += (*place, len(shape), *shape)
    return body


class _Names(dict[str, int]):
    """Numbers of names, by their first use."""

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        return number


def _name_words(name: str) -> list[int]:
    data = name.encode()
    padded = data + bytes(-len(data) % 8)
    return [len(data), *struct.unpack(f"<{len(padded) // 8}q", padded)]


# ---- encoders: one expression for a kind, made from its annotations ----

Encoder = Callable[[Any, _Names], tuple[int, ...]]


@functools.cache
def _encoder(kind: Any) -> Encoder:
    words = ", ".join(_words_of(hint, f"r.{name}") for name, hint in _fields(kind))
    names = {"bits": _bits, "chain": chain.from_iterable, "nowhere": _NOWHERE, "region": _region}
    return eval(f"lambda r, names: ({words},)", names)  # type: ignore[no-any-return]


def _words_of(hint: Any, value: str, depth: int = 0) -> str:
    """The words of `value`, an expression: items of a tuple's display."""
    if hint is int:
        return value
    if hint is bool:
        return f"1 if {value} else 0"
    if hint is float:
        return f"bits({value})"
    if hint is str:
        return f"names[{value}]"
    if hint == Operand | None:
        return f"*({value} or nowhere)"
    if hint is Region:
        return f"*region({value}, names)"
    item = _item_of(hint)
    if item is int:
        return f"len({value}), *{value}"
    if item is not None:
        inner = _words_of(item, f"x{depth}", depth + 1)
        return f"len({value}), *chain([({inner},) for x{depth} in {value}])"
    parts = _fields(hint)
    if all(part is int for _, part in parts):
        return f"*{value}"
    return ", ".join(_words_of(part, f"{value}[{i}]", depth) for i, (_, part) in enumerate(parts))


def _region(region: Region, names: _Names) -> list[int]:
    return _body(region, region.buffers, names)


def _bits(number: float) -> int:
    return int(_QWORD.unpack(_DOUBLE.pack(number))[0])


_DOUBLE, _QWORD = struct.Struct("<d"), struct.Struct("<q")


def _item_of(hint: Any) -> Any:
    """Of tuple[x, ...] x; None if it is no such tuple."""
    if isinstance(hint, types.GenericAlias) and typing.get_origin(hint) is tuple:
        item, ellipsis = typing.get_args(hint)
        assert ellipsis is Ellipsis, hint
        return item
    return None


@functools.cache
def _fields(record: Any) -> list[tuple[str, Any]]:
    """Names and types of the fields of a kind, or of a named tuple."""
    hints = typing.get_type_hints(record)
    if dataclasses.is_dataclass(record):
        return [(f.name, hints[f.name]) for f in dataclasses.fields(record)]
    return [(name, hints[name]) for name in record._fields]


# ---- decoding ----


def from_words(
    words: Words,
) -> tuple[int, list[Shape], list[Kind], list[tuple[Operand, Shape]]]:
    """The size of the arena, the shapes of the arguments, the instructions and the results.

    Raises
    ------
    VerificationError
        If the words are not those of code; it says at which word.
    """
    return _Reader(words).code()


class _Reader:
    def __init__(self, words: Words) -> None:
        self.at = 0
        self.end = len(words)
        self.where = ""
        self.depth = 0  # of the code that is read, within other code
        if words.dtype != np.int64 or words.ndim != 1:
            self.fail(f"words are int64 in a row, not {words.dtype} of shape {words.shape}")
        self.words: list[int] = words.tolist()
        self.names: list[str] = []

    def fail(self, message: str) -> NoReturn:
        raise VerificationError(f"words of a program: {self.where}at word {self.at}: {message}")

    def code(self) -> tuple[int, list[Shape], list[Kind], list[tuple[Operand, Shape]]]:
        if self.word() != MAGIC:
            self.fail("they do not begin as those of a program do")
        if (version := self.word()) != VERSION:
            self.fail(f"they are of version {version}, this library reads {VERSION}")
        if (length := self.word()) != self.end:
            self.fail(f"there are {self.end} words, there must be {length}")
        self.names = [self.text() for _ in range(self.count())]
        if len(set(self.names)) < len(self.names):
            self.fail("a name is there twice")
        arena_size, arguments = self.beginning()
        self.count(1 << 62)  # buffers: they travel beside the words
        instructions = []
        for number in range(self.count()):
            self.where = f"instruction {number}, "
            instructions.append(self.instruction())
        self.where = ""
        results = self.results()
        if self.at != self.end:
            self.fail("something follows the last result")
        return arena_size, arguments, instructions, results

    def beginning(self) -> tuple[int, list[Shape]]:
        arena_size = self.count(1 << 62)
        return arena_size, [self.shape() for _ in range(self.count())]

    def results(self) -> list[tuple[Operand, Shape]]:
        return [(self.read(Operand), self.shape()) for _ in range(self.count())]

    def region(self) -> Region:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"code within code, more than {_DEEPEST} deep")
        arena_size, arguments = self.beginning()
        spaces = [self.word() for _ in range(self.count())]
        instructions = [self.instruction() for _ in range(self.count())]
        results = self.results()
        self.depth -= 1
        return Region(
            arena_size, tuple(arguments), tuple(spaces), tuple(instructions), tuple(results)
        )

    def instruction(self) -> Kind:
        name = self.name()
        kind: Any = KINDS.get(name)
        if kind is None:
            self.fail(f"there is no kind {name!r}")
        length = self.count()
        end = self.at + length
        made: Kind = kind(*[self.read(hint) for _, hint in _fields(kind)])
        if self.at != end:
            self.fail(f"{name} has {length} words, it must have {length + self.at - end}")
        return made

    # ---- fields ----

    def word(self) -> int:
        if self.at == self.end:
            self.fail("they end here")
        self.at += 1
        return self.words[self.at - 1]

    def count(self, most: int | None = None) -> int:
        """How many of something follow, each of at least one word unless `most` is given."""
        n = self.word()
        if n < 0 or n > (self.end - self.at if most is None else most):
            self.at -= 1
            self.fail(f"{n} is no number of things that can follow")
        return n

    def text(self) -> str:
        n_bytes = self.word()
        n_words = -(-n_bytes // 8)
        if n_bytes < 0 or n_words > self.end - self.at:
            self.fail(f"a name of {n_bytes} bytes")
        data = struct.pack(f"<{n_words}q", *self.words[self.at : self.at + n_words])
        self.at += n_words
        if any(data[n_bytes:]):
            self.fail("a name is not padded with zeros")
        try:
            return data[:n_bytes].decode()
        except UnicodeDecodeError:
            self.fail("a name is not UTF-8")

    def name(self) -> str:
        number = self.word()
        if not 0 <= number < len(self.names):
            self.fail(f"there is no name {number}")
        return self.names[number]

    def flag(self) -> bool:
        word = self.word()
        if word not in (0, 1):
            self.fail(f"{word} is neither 0 nor 1")
        return word == 1

    def shape(self) -> Shape:
        shape = tuple([self.word() for _ in range(self.count())])
        if shape and min(shape) < 0:
            self.fail(f"{shape} is no shape")
        return shape

    def operand(self) -> Operand | None:
        space, offset = self.word(), self.word()
        if space != -1:
            return Operand(space, offset)
        if offset:
            self.fail("no operand has offset 0")
        return None

    def read(self, hint: Any) -> Any:
        if hint is int:
            return self.word()
        if hint is bool:
            return self.flag()
        if hint is float:
            return _DOUBLE.unpack(_QWORD.pack(self.word()))[0]
        if hint is str:
            return self.name()
        if hint == Operand | None:
            return self.operand()
        if hint is Region:
            return self.region()
        item = _item_of(hint)
        if item is not None:
            return tuple([self.read(item) for _ in range(self.count())])
        return hint(*[self.read(part) for _, part in _fields(hint)])
