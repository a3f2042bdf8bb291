"""Files that lie: what is loaded from them takes no more memory than what it is loaded into."""

from __future__ import annotations

import gzip
import io
import os
import signal
import socket
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import data, zipped
from autodiff.errors import DataError, SaveError
from autodiff.save import load, save

LARGE = 40 << 20
SMALL = 5 << 20


def peak(work: Callable[[], object]) -> int:
    """The most bytes that are in use at a time while this runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(path: Path, match: str, parameters: Any = None) -> None:
    """Loading is refused, changes nothing, and takes little memory."""
    parameters = parameters or {"w": autodiff.Tensor(np.ones(3))}
    before = {name: x.value.copy() for name, x in parameters.items()}

    def work() -> None:
        with pytest.raises(SaveError, match=match):
            load(path, parameters)

    assert peak(work) < SMALL
    for name, x in parameters.items():
        np.testing.assert_array_equal(x.value, before[name])


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


THREE = npy(np.arange(3.0))


def archive(
    path: Path, entries: list[tuple[str, list[bytes]]], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    """A zip file with entries in pieces, so that large ones are made of little."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, pieces in entries:
            with file.open(name, "w") as entry:
                for piece in pieces:
                    entry.write(piece)
    return path


def changed(path: Path, **fields: int) -> Path:
    """The first entry's line of the directory, changed."""
    places = {"flags": (8, "H"), "method": (10, "H"), "crc": (16, "I"), "packed": (20, "I"),
              "size": (24, "I"), "offset": (42, "I")}  # fmt: skip
    content = bytearray(path.read_bytes())
    start = content.find(b"PK\1\2")
    for name, value in fields.items():
        at, kind = places[name]
        struct.pack_into(f"<{kind}", content, start + at, value)
    path.write_bytes(content)
    return path


ZEROS = [bytes(1 << 20)] * (LARGE >> 20)


# ---- archives ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_what_can_be_unpacked_piece_by_piece(tmp_path, method):
    path = archive(tmp_path / "m.npz", [("w.npy", [THREE, *ZEROS])], method)
    name = "bzip2" if method == zipfile.ZIP_BZIP2 else "LZMA"
    refused(path, f"'w.npy' is packed with {name}; store or deflate it")
    changed(path, size=len(THREE), crc=zlib.crc32(THREE))
    refused(path, f"packed with {name}")


def test_deflated_zeros(tmp_path):
    path = archive(tmp_path / "m.npz", [("w.npy", [THREE, *ZEROS])])
    assert path.stat().st_size < LARGE / 500
    refused(path, "'w.npy' is damaged: it is longer than it says")
    refused(changed(path, size=len(THREE), crc=zlib.crc32(THREE)), "longer than it says")
    refused(changed(path, size=5), "shorter than its content says")


@pytest.mark.parametrize("length", [1 << 15, (1 << 16) - 1, LARGE, (1 << 32) - 1])
def test_large_headers_of_arrays(tmp_path, length):
    head = b"\x93NUMPY\2\0" + struct.pack("<I", length)
    if length < 1 << 16:
        head = b"\x93NUMPY\1\0" + struct.pack("<H", length)
    path = archive(tmp_path / "m.npz", [("w.npy", [head, *[b" " * (1 << 20)] * 40])])
    refused(path, f"its header takes {length} bytes")


@pytest.mark.parametrize("shape", [(10**9,), (3, 10**9), (0,), (), (2**62, 8), (-3,), (3.0,)])
def test_shapes_are_compared_before_anything_is_made(tmp_path, shape):
    text = str({"descr": "<f8", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    refused(archive(tmp_path / "m.npz", [("w.npy", [head, *ZEROS])]), "'w' has shape|readable")


@pytest.mark.parametrize("descr", ["|V1000000000", "<U250000000", "|O", "<f4", [("a", "<f8", 9)]])
def test_types_are_compared_before_anything_is_made(tmp_path, descr):
    text = str({"descr": descr, "fortran_order": False, "shape": (3,)}).encode().ljust(117) + b"\n"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    refused(archive(tmp_path / "m.npz", [("w.npy", [head, *ZEROS])]), "'w' is of type")


def test_large_notes(tmp_path):
    text = {"descr": f"<U{LARGE // 4}", "fortran_order": False, "shape": ()}
    head = str(text).encode().ljust(117) + b"\n"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head
    entries = [("w.npy", [THREE]), ("__autodiff__.npy", [head, *ZEROS])]
    refused(archive(tmp_path / "m.npz", entries), "longer than the model's")
    for note in (b"[" * 50_000, b"1" * 10_000, b"[]", b"null", b'{"version": 1}', b"{}"):
        entries[1] = ("__autodiff__.npy", [npy(np.array(note.decode()))])
        refused(archive(tmp_path / "m.npz", entries), "readable|another version")


def test_large_directories(tmp_path):
    line = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 9, 8, *[0] * 6)
    n = 60_000
    directory = b"".join(line + f"{i:04}.npy".encode() for i in range(n))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n, n, len(directory), 0, 0)
    path = tmp_path / "m.npz"
    path.write_bytes(directory + end)
    refused(path, f"its directory of {n} entries is larger")


def test_directories_that_lie(tmp_path):
    path = archive(tmp_path / "m.npz", [("w.npy", [THREE])])
    whole = path.read_bytes()
    for at in range(whole.find(b"PK\1\2"), len(whole)):
        for value in (0, 1, 0x7F, 0xFF):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            w = autodiff.Tensor(np.ones(3))
            try:
                load(path, {"w": w})
            except SaveError:
                assert w.value.tolist() == [1.0, 1.0, 1.0]
            else:
                assert w.value.tolist() == [0.0, 1.0, 2.0]


def test_what_cannot_be_read_is_named(tmp_path):
    path = archive(tmp_path / "m.npz", [("w.npy", [THREE])], zipfile.ZIP_STORED)
    for flag in (1, 1 << 6, 1 << 13):
        refused(changed(path, flags=flag), "'w.npy' is encrypted")
    refused(changed(path, flags=0, method=93), "packed with Zstandard")
    refused(changed(path, method=1), "packed with method 1")
    refused(changed(path, method=0, crc=7), "its checksum is wrong")
    refused(changed(path, crc=zlib.crc32(THREE), packed=9), "shorter than it says")
    refused(changed(path, packed=len(THREE), offset=7), "no entry where it should be")
    refused(changed(path, offset=0xFFFFFF), "truncated")
    load(changed(path, offset=0), {"w": autodiff.Tensor(np.ones(3))})


def test_what_others_write_is_read(tmp_path, rng):
    path = tmp_path / "m.npz"
    values = {"a": rng.normal(size=(300, 200)), "b": np.array(3.0), "c": np.zeros((0, 3)),
              "d": np.asfortranarray(rng.normal(size=(40, 30, 20))),
              "e": np.zeros(100_000), "f": rng.normal(size=9).astype(">f8")}  # fmt: skip
    for write in (np.savez, np.savez_compressed):
        write(path, **values)
        with zipfile.ZipFile(path, "a") as file:
            file.comment = b"made by hand"
        loaded = {name: autodiff.Tensor(shape=x.shape) for name, x in values.items()}
        load(path, loaded)
        for name, x in values.items():
            np.testing.assert_array_equal(loaded[name].value, x)


def test_archives_with_wide_numbers(tmp_path):
    """Sizes, offsets and the directory's place in 64 bits, as large archives have them."""
    path = archive(tmp_path / "m.npz", [("w.npy", [THREE])])
    content = path.read_bytes()
    start, end = content.find(b"PK\1\2"), content.find(b"PK\5\6")
    line = bytearray(content[start:end])
    packed, size = struct.unpack_from("<2L", line, 20)
    struct.pack_into("<2L", line, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<L", line, 42, 0xFFFFFFFF)
    extra = struct.pack("<2H", 0x5455, 1) + b"x" + struct.pack("<2H3Q", 1, 24, size, packed, 0)
    struct.pack_into("<H", line, 30, len(extra))
    line += extra
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(line), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(line), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(content[:start] + line + wide + locator + tail)
    w = autodiff.Tensor(np.ones(3))
    load(path, {"w": w})
    np.testing.assert_array_equal(w.value, [0.0, 1.0, 2.0])
    line[-24:] = b""
    struct.pack_into("<H", line, 30, 9)
    struct.pack_into("<H", line, len(line) - 2, 0)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(line), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(line), 1)
    path.write_bytes(content[:start] + line + wide + locator + tail)
    refused(path, "an entry lacks its size")


@pytest.mark.parametrize("limit", [1, 100, 300, 500])
def test_large_archives_are_written(tmp_path, monkeypatch, limit):
    """As if sizes and offsets from so many bytes on took 64 bits."""
    monkeypatch.setattr(zipped, "_FROM", limit)
    path, values = tmp_path / "m.npz", {"a": np.arange(3.0), "\u00e4": np.arange(40.0)}
    save(path, {name: autodiff.Tensor(x) for name, x in values.items()})
    with np.load(path) as found:
        for name, x in values.items():
            np.testing.assert_array_equal(found[name], x)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
    loaded = {name: autodiff.Tensor(shape=x.shape) for name, x in values.items()}
    load(path, loaded)
    np.testing.assert_array_equal(loaded["a"].value, values["a"])


def test_archives_of_many_entries(tmp_path):
    path = tmp_path / "m.zip"
    with open(path, "wb") as made:
        zipped.write(made, ((f"{i}", (b"x",)) for i in range(70_000)))
    with zipfile.ZipFile(path) as file:
        assert len(file.namelist()) == 70_000
        assert file.read("69999") == b"x"
    with open(path, "rb") as made:
        found = list(zipped.entries(made, "m.zip", 1 << 30))
    assert [entry.name for entry in found] == [f"{i}" for i in range(70_000)]


def test_what_is_loaded_is_held_once(tmp_path):
    path, values = tmp_path / "m.npz", {f"w{i}": np.zeros(1 << 19) for i in range(10)}
    for write in (np.savez, np.savez_compressed):
        write(path, **values)
        parameters = {name: autodiff.Tensor(x) for name, x in values.items()}
        total = sum(x.nbytes for x in values.values())
        assert peak(lambda p=parameters: load(path, p)) < total + SMALL


@pytest.mark.parametrize("length", [LARGE, (1 << 63) + 5, 1 << 40])
def test_large_headers_of_safetensors(tmp_path, length):
    pytest.importorskip("safetensors")
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", length))
        if length == LARGE:
            for piece in ZEROS:
                file.write(piece)
    refused(path, f"its header of {length} bytes is larger than the model's")
    for short in (b"", b"abc", b"\0" * 8):
        path.write_bytes(short)
        refused(path, "not a readable file")


# ---- IDX files --------------------------------------------------------------------------


def idx(*shape: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def refused_idx(path: Path, match: str) -> None:
    def work() -> None:
        with pytest.raises(DataError, match=match):
            data.load_idx(path)

    assert peak(work) < SMALL


def packed(path: Path, pieces: list[bytes]) -> Path:
    with gzip.open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)
    return path


def test_idx_files_that_go_on(tmp_path):
    path = packed(tmp_path / "x", [idx(2, 3), *ZEROS])
    refused_idx(path, "too long: shape .* takes 18 bytes with the header, the file has more")
    path.write_bytes(gzip.compress(idx(6) + bytes(6)) + b"rubbish")
    refused_idx(path, "damaged gzip")
    path.write_bytes(gzip.compress(idx(6)) + gzip.compress(bytes(6)))
    assert data.load_idx(path).shape == (6,)
    path.write_bytes(idx(6) + bytes(1 << 24))
    refused_idx(path, "too long")


@pytest.mark.parametrize("shape", [(1 << 31,), (2**32 - 1,) * 2, (2**32 - 1,) * 30])
def test_idx_files_that_promise_too_much(tmp_path, shape):
    path = packed(tmp_path / "x", [idx(*shape)])
    refused_idx(path, "truncated")
    path.write_bytes(idx(*shape, code=14))
    refused_idx(path, "truncated")


def test_what_an_idx_file_holds_is_held_once(tmp_path):
    n = 20 << 20
    path = packed(tmp_path / "x", [idx(n), *ZEROS[:20]])
    assert peak(lambda: data.load_idx(path)) < n + SMALL
    path = packed(tmp_path / "x", [idx(n // 8, code=14), *ZEROS[:20]])
    assert peak(lambda: data.load_idx(path)) < n + SMALL


# ---- what is no file ----------------------------------------------------------------------


@pytest.fixture
def no_hang() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # full paths may be too long


KINDS = {
    "a pipe": os.mkfifo if hasattr(os, "mkfifo") else None,
    "a folder": os.mkdir,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "in a circle": lambda path: path.symlink_to(path.name),
}


@pytest.mark.skipif(os.name != "posix", reason="has other kinds of files")
@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_no_ordinary_file(tmp_path, monkeypatch, kind, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"m{suffix}"
    KINDS[kind](path)
    before = os.lstat(path)
    parameters = {"w": autodiff.Tensor(np.ones(3))}
    for call in (load, save):
        with pytest.raises(SaveError, match=kind):
            call(path, parameters)
    with pytest.raises(DataError, match=kind):
        data.load_idx(path)
    assert os.listdir(tmp_path) == [path.name]
    assert os.path.samestat(os.lstat(path), before)
