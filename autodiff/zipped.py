"""Zip archives: written piece by piece, and read within bounded memory, whatever lies they hold.

Of an archive's directory only so much is kept as its reader expects. An entry is a stream: what
is asked for is unpacked, and no more, whatever sizes the archive claims. (`zipfile` reads the
directory, and what bzip2 and LZMA unpack, as a whole; and after Ctrl-C it raises an error of its
own.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from autodiff.errors import SaveError

__all__ = ["Entry", "Stream", "entries", "write"]

_CHUNK = 1 << 16
_KEPT = 400  # bytes that an Entry takes, without its name
_STORED, _DEFLATED = 0, 8
_METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UTF8 = 1 << 11
_WIDE = 0xFFFFFFFF  # stands for a number that takes 64 bits, and is elsewhere
_FROM = 0xFFFFFFFF  # such a number
_VERSION, _UNIX = 45, 3 << 8
_NEW_YEAR_1980 = 1 << 5 | 1

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_DIRECTORY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


class Entry(NamedTuple):
    """What the directory says of an entry."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def entries(file: BinaryIO, path: str, room: int) -> Iterator[Entry]:
    """The entries of an archive; those that take more than `room` bytes are refused."""
    start, n = _find_directory(file, path)
    for _ in range(n):
        head = _DIRECTORY.unpack(_exactly(file, path, start, _DIRECTORY.size))
        signature, flags, method, crc, packed, full = head[0], *head[3:5], *head[7:10]
        n_name, n_extra, n_comment, offset = *head[10:13], head[16]
        if signature != b"PK\1\2":
            raise SaveError(f"{path}: damaged: the directory of the archive is no directory")
        text = _exactly(file, path, start + _DIRECTORY.size, n_name + n_extra)
        is_utf8 = flags & _UTF8 or text[:n_name].isascii()
        name = text[:n_name].decode("utf-8" if is_utf8 else "cp437")
        full, packed, offset = _wide(text[n_name:], [full, packed, offset], path)
        room -= len(text) + _KEPT
        if room < 0:
            raise SaveError(f"{path}: its directory of {n} entries is larger than the model's")
        start += _DIRECTORY.size + n_name + n_extra + n_comment
        yield Entry(name, flags, method, crc, packed, full, offset)


def _find_directory(file: BinaryIO, path: str) -> tuple[int, int]:
    """Where the directory begins, and how many entries it has."""
    length = file.seek(0, 2)
    tail = _exactly(file, path, max(0, length - _END.size - 0xFFFF), -1)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise SaveError(f"{path}: not a readable file of its format: it is no zip archive")
    _, *_, n, size, start, _ = _END.unpack_from(tail, at)
    end = length - len(tail) + at
    if n == 0xFFFF or _WIDE in (size, start):
        where = end - _LOCATOR64.size
        signature, _, where, _ = _LOCATOR64.unpack(_exactly(file, path, where, _LOCATOR64.size))
        if signature == b"PK\6\7":
            found = _END64.unpack(_exactly(file, path, where, _END64.size))
            end, (n, size, start) = where, found[-3:]
    if start + size > end:
        raise SaveError(f"{path}: damaged: the directory lies outside of the archive")
    return start, n


def _wide(extra: bytes, numbers: list[int], path: str) -> list[int]:
    """Sizes and offset, those that need more than 32 bits from the extra field."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [w for (w,) in struct.iter_unpack("<Q", extra[4 : 4 + size // 8 * 8])]
            try:
                return [wide.pop(0) if x == _WIDE else x for x in numbers]
            except IndexError:
                raise SaveError(f"{path}: damaged: an entry lacks its size") from None
        extra = extra[4 + size :]
    return numbers


def _exactly(file: BinaryIO, path: str, start: int, size: int) -> bytes:
    if start >= 0:
        file.seek(start)
        found = file.read(size)
        if size < 0 or len(found) == size:
            return found
    raise SaveError(f"{path}: not a readable file of its format: it is truncated")


class Stream:
    """The content of one entry, unpacked as it is read."""

    def __init__(self, file: BinaryIO, path: str, entry: Entry) -> None:
        self.what = f"{path}: {entry.name!r}"
        if entry.flags & _ENCRYPTED:
            raise SaveError(f"{self.what} is encrypted; store it without a password")
        if entry.method not in (_STORED, _DEFLATED):
            method = _METHODS.get(entry.method, f"method {entry.method}")
            raise SaveError(f"{self.what} is packed with {method}; store or deflate it")
        head = _LOCAL.unpack(_exactly(file, path, entry.offset, _LOCAL.size))
        if head[0] != b"PK\3\4":
            raise SaveError(f"{self.what} is damaged: there is no entry where it should be")
        self._file = file
        self._entry = entry
        self._at = entry.offset + _LOCAL.size + head[9] + head[10]
        self._packed_left = entry.packed
        self._left = entry.size
        self._crc = 0
        self._inflate = zlib.decompressobj(-15) if entry.method == _DEFLATED else None

    def read(self, n: int) -> bytes:
        """The next n bytes."""
        content = bytearray(n)
        self.fill(memoryview(content))
        return bytes(content)

    def fill(self, target: memoryview) -> None:
        """Fill all of `target`, which is one of bytes."""
        done = 0
        if len(target) > self._left:
            raise SaveError(f"{self.what} is damaged: it is shorter than its content says")
        self._left -= len(target)
        while done < len(target):
            piece = self._unpacked(min(len(target) - done, _CHUNK))
            if not piece:
                raise SaveError(f"{self.what} is damaged: it is shorter than it says")
            target[done : done + len(piece)] = piece
            self._crc = zlib.crc32(piece, self._crc)
            done += len(piece)

    def finish(self) -> None:
        """Raise SaveError unless all has been read, and its checksum is right."""
        if self._left or self._unpacked(1):
            raise SaveError(f"{self.what} is damaged: it is longer than it says")
        if self._crc != self._entry.crc:
            raise SaveError(f"{self.what} is damaged: its checksum is wrong")

    def _unpacked(self, n: int) -> bytes:
        """At most n bytes, n > 0; none at the end."""
        if self._inflate is None:
            return self._packed(n)
        while not self._inflate.eof:
            source = self._inflate.unconsumed_tail or self._packed(_CHUNK)
            piece = self._inflate.decompress(source, n)
            if piece:
                return piece
            if not source:
                raise SaveError(f"{self.what} is damaged: it is truncated")
        return b""

    def _packed(self, n: int) -> bytes:
        self._file.seek(self._at)
        piece = self._file.read(min(n, self._packed_left))
        self._at += len(piece)
        self._packed_left -= len(piece)
        return piece


# ---- writing ----------------------------------------------------------------------------


def write(file: BinaryIO, content: Iterable[tuple[str, Sequence[bytes | memoryview]]]) -> None:
    """Write an archive of stored entries, each a name and pieces of bytes, to an empty file.

    They carry no time of day: the same content makes the same file.
    """
    directory, offset = [], 0
    for name, pieces in content:
        crc, size = 0, sum(len(piece) for piece in pieces)
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
        stored = name.encode()
        flags = 0 if stored.isascii() else _UTF8
        common = flags, _STORED, 0, _NEW_YEAR_1980, crc
        sizes, extra = _narrow(size, size)
        local = _LOCAL.pack(b"PK\3\4", _VERSION, *common, *sizes, len(stored), len(extra))
        for piece in (local, stored, extra, *pieces):
            file.write(piece)
        (*sizes, where), wide = _narrow(size, size, offset)
        line = _DIRECTORY.pack(b"PK\1\2", _UNIX | _VERSION, _VERSION, *common, *sizes, len(stored),
                               len(wide), 0, 0, 0, 0o600 << 16, where)  # fmt: skip
        directory.append(line + stored + wide)
        offset += len(local) + len(stored) + len(extra) + size
    file.writelines(directory)
    file.write(_end(len(directory), sum(map(len, directory)), offset))


def _narrow(*numbers: int) -> tuple[list[int], bytes]:
    """The numbers in 32 bits, and the extra field that holds those which need more."""
    wide = [x for x in numbers if x >= _FROM]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    return [_WIDE if x >= _FROM else x for x in numbers], extra


def _end(n: int, size: int, start: int) -> bytes:
    end = _END.pack(b"PK\5\6", 0, 0, *[min(n, 0xFFFF)] * 2, *_narrow(size, start)[0], 0)
    if n < 0xFFFF and max(size, start) < _FROM:
        return end
    wide = _END64.pack(b"PK\6\6", _END64.size - 12, _VERSION, _VERSION, 0, 0, n, n, size, start)
    return wide + _LOCATOR64.pack(b"PK\6\7", 0, start + size, 1) + end
