"""Parameters to a file and back: `.npz` and `.safetensors`.

:func:`save` writes all or nothing: the file appears under its name when it is complete and
on the disk, so a process killed half-way leaves the old file as it was. :func:`load`
changes all parameters or none: it reads and compares everything before it assigns.

A tensor known under several names (tied weights) is written once; the other names are kept
in the file's metadata, and loading insists that the same names are tied in the model.
Values come back bit by bit. Both formats are ordinary ones: ``numpy.load`` and other
programs read the files, and files of theirs are read here if names, shapes and
types fit.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from autodiff.array import Array, Shape
from autodiff.errors import SaveError
from autodiff.node import Tensor

__all__ = ["load", "save"]

METADATA = "__autodiff__"  # the entry of a .npz file that holds the aliases
VERSION = 1
_MAX_NPY_HEADER = 1 << 16


class HasNamedParameters(Protocol):
    """Anything that lists its parameters by name, as modules do."""

    def named_parameters(self) -> Any:
        """A mapping, or an iterable of pairs, of names and tensors.

        If it has an option ``ties``, it is asked for every name of a shared tensor.
        """
        ...


Parameters = Mapping[str, Tensor] | HasNamedParameters


def save(path: str | os.PathLike[str], parameters: Parameters) -> None:
    """Write parameters to `path`; an existing file is replaced at once or not at all.

    Parameters
    ----------
    path : ends in ``.npz`` or ``.safetensors``, which decides the format. The second needs
        the package `safetensors` (``pip install autodiff[safetensors]``).
    parameters : a dictionary from names to tensors, or anything with
        ``named_parameters()``. Tensors of an optimiser's state may be among them.

    Raises
    ------
    SaveError
        If the suffix is unknown, a name cannot be stored, or `safetensors` is missing.
    UnassignedError
        If a tensor has no value. In either case nothing has been written.

    Examples
    --------
    >>> import os, tempfile
    >>> import autodiff
    >>> w = autodiff.Tensor([[1.0, 2.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     save(path, {"encoder.w": w, "decoder.w": w})
    ...     w.assign([[0.0, 0.0]])
    ...     load(path, {"encoder.w": w, "decoder.w": w})
    >>> w.value
    array([[1., 2.]])
    """
    target = os.path.realpath(path)
    write = _format_of(target).write
    tensors = _named(parameters)
    first = _first_names(tensors)
    stored = {name: tensors[name].value for name in dict.fromkeys(first.values())}
    aliases = {name: to for name, to in first.items() if name != to}
    note = json.dumps({"version": VERSION, "aliases": aliases})
    _replace_atomically(target, lambda file: write(file, stored, note))


def load(path: str | os.PathLike[str], parameters: Parameters) -> None:
    """Read `path`, written by :func:`save`, into the same tensors.

    Parameters
    ----------
    path, parameters : as for :func:`save`; the tensors need not have values yet.

    Raises
    ------
    SaveError
        If the file is truncated or damaged, an entry is missing or too many, has another
        shape or another type than float64, or other names are tied than in the model.
        No parameter has changed then.
    FileNotFoundError
    """
    source = os.path.realpath(path)
    read = _format_of(source).read
    tensors = _named(parameters)
    first = _first_names(tensors)
    try:
        arrays = read(source, _Wanted(source, tensors, first))
    except (SaveError, FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # whatever a reader meets in a damaged file
        raise SaveError(f"{source}: not a readable file of its format: {error}") from error
    for name, array in arrays.items():
        tensors[name].assign(array)


# ---- names and ties -------------------------------------------------------------------


def _named(parameters: Parameters) -> dict[str, Tensor]:
    if isinstance(parameters, Mapping):
        listed: Any = parameters
    else:
        list_them = parameters.named_parameters
        options = {"ties": True} if "ties" in inspect.signature(list_them).parameters else {}
        listed = list_them(**options)
    pairs: Iterable[tuple[Any, Any]] = listed.items() if isinstance(listed, Mapping) else listed
    tensors: dict[str, Tensor] = {}
    for name, tensor in pairs:
        if not isinstance(tensor, Tensor):
            raise SaveError(f"{name!r} is a {type(tensor).__name__}, not a Tensor")
        if not isinstance(name, str) or not _is_storable(name):
            raise SaveError(f"{name!r} cannot be the name of a stored parameter")
        if name in tensors:
            raise SaveError(f"two parameters are called {name!r}")
        tensors[name] = tensor
    return tensors


def _is_storable(name: str) -> bool:
    # Zip archives cut names at NUL and turn the separator of some systems into '/'.
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    forbidden = not name or name in (METADATA, "__metadata__") or "\0" in name or "\\" in name
    return not forbidden and len(name.encode()) < 1 << 15


def _first_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """For every name the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


class _Wanted:
    """What a file must hold to be loaded; each method raises SaveError if it does not."""

    def __init__(self, path: str, tensors: Mapping[str, Tensor], first: Mapping[str, str]) -> None:
        self.path = path
        self.tensors = tensors
        self.first = first

    def check_names(self, stored: Iterable[str], note: str | None) -> None:
        """The names in the file, and which of them are tied, are the model's."""
        stored = list(stored)
        in_file = {name: name for name in stored}
        if len(in_file) != len(stored):
            raise SaveError(f"{self.path}: an entry is there twice")
        in_file |= self._aliases(note, in_file)
        for problem, differing in (
            ("lacks", self.first.keys() - in_file.keys()),
            ("has, but the model lacks,", in_file.keys() - self.first.keys()),
        ):
            if differing:
                raise SaveError(f"{self.path} {problem} {_listed(differing)}")
        for names, others, where in (
            (self.first, in_file, "the model, but not in the file"),
            (in_file, self.first, "the file, but not in the model"),
        ):
            partner: dict[str, str] = {}
            for name, first in names.items():
                if partner.setdefault(first, others[name]) != others[name]:
                    raise SaveError(f"{self.path}: {name!r} is tied to {first!r} in {where}")

    def _aliases(self, note: str | None, stored: Mapping[str, str]) -> dict[str, str]:
        if note is None:
            return {}
        content = json.loads(note)
        if content.get("version") != VERSION:
            raise SaveError(f"{self.path}: written by another version of this library")
        aliases = content["aliases"]
        for name, to in aliases.items():
            if name in stored or to not in stored:
                raise SaveError(f"{self.path}: damaged: {name!r} stands for {to!r}")
        return dict(aliases)

    def check_array(self, name: str, shape: Shape, dtype: np.dtype[Any] | str) -> None:
        """Shape and type of entry `name` are those of the tensor."""
        tensor = self.tensors[name]
        if shape != tensor.shape:
            raise SaveError(
                f"{self.path}: {name!r} has shape {shape} in the file, {tensor.describe()} has "
                f"shape {tensor.shape}"
            )
        if dtype != "F64" and not (isinstance(dtype, np.dtype) and _is_float64(dtype)):
            raise SaveError(f"{self.path}: {name!r} is of type {dtype} in the file, not float64")


def _is_float64(dtype: np.dtype[Any]) -> bool:
    return dtype.newbyteorder("=") == np.float64


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(repr, names[:10])) + more


# ---- the two formats ------------------------------------------------------------------


class _Format(NamedTuple):
    write: Callable[[BinaryIO, dict[str, Array], str], None]
    read: Callable[[str, _Wanted], dict[str, Array]]


def _write_npz(file: BinaryIO, arrays: dict[str, Array], note: str) -> None:
    # By hand, as numpy.savez cannot store an array called "file". Entries carry no time
    # of day, so equal parameters make equal files.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in [*arrays.items(), (METADATA, np.array(note))]:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read_npz(path: str, wanted: _Wanted) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        entries = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in entries:
                raise SaveError(f"{path}: unexpected entry {info.filename!r}")
            entries[name] = info
        note = entries.pop(METADATA, None)
        text = None if note is None else str(_npy(archive, note))
        wanted.check_names(entries, text)
        for name, info in entries.items():
            if info.file_size > 8 * wanted.tensors[name].size + _MAX_NPY_HEADER:
                raise SaveError(f"{path}: {name!r} is larger than its tensor")
            array = _npy(archive, info)
            wanted.check_array(name, array.shape, array.dtype)
            arrays[name] = array
    return arrays


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    return np.load(io.BytesIO(archive.read(info)), allow_pickle=False)  # read() checks the CRC


def _safetensors(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SaveError(
            "the format .safetensors needs the package safetensors: "
            "pip install autodiff[safetensors]; .npz needs nothing"
        ) from error


def _write_safetensors(file: BinaryIO, arrays: dict[str, Array], note: str) -> None:
    file.write(_safetensors("safetensors.numpy").save(arrays, {METADATA: note}))


def _read_safetensors(path: str, wanted: _Wanted) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with _safetensors("safetensors").safe_open(path, framework="np") as file:
        names = list(file.keys())
        wanted.check_names(names, (file.metadata() or {}).get(METADATA))
        for name in names:
            entry = file.get_slice(name)
            wanted.check_array(name, tuple(entry.get_shape()), entry.get_dtype())
            arrays[name] = file.get_tensor(name)
    return arrays


_FORMATS = {
    ".npz": _Format(_write_npz, _read_npz),
    ".safetensors": _Format(_write_safetensors, _read_safetensors),
}


def _format_of(path: str) -> _Format:
    suffix = os.path.splitext(path)[1]
    if suffix not in _FORMATS:
        raise SaveError(f"{path}: the name must end in {' or '.join(_FORMATS)}")
    return _FORMATS[suffix]


# ---- all or nothing -------------------------------------------------------------------


def _replace_atomically(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a new file in the same folder, then give it the name `path`."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    # os.open and not tempfile: the new file gets the usual permissions, not 0600.
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with open(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, os.stat(path).st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):  # not every file system lets a folder be synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
