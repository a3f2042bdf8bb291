"""Parameters to a file and back: `.npz` and `.safetensors`.

:func:`save` writes all or nothing: the file appears under its name when it is complete and
on the disk, so a process killed half-way leaves the old file as it was. :func:`load`
changes all parameters or none: it reads and compares everything before it assigns.

What is saved is of one moment, even if other threads replay compiled steps. A file is not
trusted: :func:`load` takes no more memory than the model needs, whatever the file says.

A tensor known under several names (tied weights) is written once; the other names are kept
in the file's metadata, and loading insists that the same names are tied in the model.
Values come back bit by bit. Both formats are ordinary ones: ``numpy.load`` and other
programs read the files, and files of theirs are read here if names, shapes and
types fit.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from autodiff import zipped
from autodiff.array import Array, Shape, as_float64
from autodiff.errors import SaveError
from autodiff.files import check_target, open_file, replace_atomically
from autodiff.graph.memory import assign_together, snapshots
from autodiff.graph.node import Tensor
from autodiff.zipped import Entry, Stream

__all__ = ["load", "save"]

METADATA = "__autodiff__"  # the entry of a .npz file that holds the aliases
VERSION = 1
_MAX_NPY_HEADER = 10_000  # NumPy's own limit
_SMALL = 1 << 16  # what a file may take beyond what the model needs


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
        If the suffix is unknown, a name cannot be stored, `safetensors` is missing, the
        arguments are of another kind, or there is something else than a file at `path`.
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
    target, write = _real_path("save", path), _format_of(path).write
    tensors = _named("save", parameters)
    check_target(target, SaveError)
    first = _first_names(tensors)
    names = list(dict.fromkeys(first.values()))
    stored = dict(zip(names, snapshots([tensors[name] for name in names]), strict=True))
    aliases = {name: to for name, to in first.items() if name != to}
    note = json.dumps({"version": VERSION, "aliases": aliases})
    replace_atomically(target, lambda file: write(file, stored, note))


def load(path: str | os.PathLike[str], parameters: Parameters) -> None:
    """Read `path`, written by :func:`save`, into the same tensors.

    Parameters
    ----------
    path, parameters : as for :func:`save`; the tensors need not have values yet.

    Raises
    ------
    SaveError
        If the file is truncated or damaged, an entry is missing or too many, has another
        shape or another type than float64, is encrypted or packed with something else than
        deflate, or other names are tied than in the model; or if there is something else than
        a file at `path`. No parameter has changed then.
    FileNotFoundError, PermissionError
    """
    source, read = _real_path("load", path), _format_of(path).read
    tensors = _named("load", parameters)
    first = _first_names(tensors)
    try:
        arrays = read(source, _Wanted(source, tensors, first))
    except (SaveError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever a reader meets in a damaged file
        raise SaveError(f"{source}: not a readable file of its format: {error}") from error
    assign_together([tensors[name] for name in arrays], list(arrays.values()))


# ---- names and ties -------------------------------------------------------------------


def _real_path(what: str, path: Any) -> str:
    try:
        return os.path.realpath(os.fsdecode(path))
    except (TypeError, ValueError) as error:  # another kind, or it holds NUL
        raise SaveError(
            f"{what}: {path!r:.100} is no path of a file; give a string or a pathlib.Path, "
            "then the parameters"
        ) from error


def _named(what: str, parameters: Any) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, tensor in _pairs(what, parameters):
        if not isinstance(tensor, Tensor):
            raise SaveError(f"{name!r} is a {type(tensor).__name__}, not a Tensor")
        if not isinstance(name, str) or not _is_storable(name):
            raise SaveError(f"{name!r} cannot be the name of a stored parameter")
        if name in tensors:
            raise SaveError(f"two parameters are called {name!r}")
        tensors[name] = tensor
    return tensors


def _pairs(what: str, parameters: Any) -> list[tuple[Any, Any]]:
    listed: Any = parameters
    if not isinstance(parameters, Mapping):
        list_them = getattr(parameters, "named_parameters", None)
        if isinstance(parameters, type) or not callable(list_them):
            kind = "class" if isinstance(parameters, type) else type(parameters).__name__
            raise SaveError(
                f"{what}: {parameters!r:.100} (a {kind}) is nothing with named parameters; give "
                'a dictionary from names to tensors, {"w": w}, or a module'
            )
        listed = list_them(**({"ties": True} if _knows_ties(list_them) else {}))
    try:
        return [(name, x) for name, x in (listed.items() if hasattr(listed, "items") else listed)]
    except (TypeError, ValueError) as error:
        raise SaveError(
            f"{what}: named_parameters() must list pairs of a name and a tensor, it gave "
            f"{listed!r:.100}"
        ) from error


def _knows_ties(list_them: Callable[..., Any]) -> bool:
    try:
        return "ties" in inspect.signature(list_them).parameters
    except (TypeError, ValueError):  # of an extension
        return False


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
        # Every form in which names stand in a file, tied ones too, is shorter than this.
        longest = max((len(name) for name in tensors), default=0)
        self.room = _SMALL + sum(2000 + 50 * (len(name) + longest) for name in tensors)

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
    # By hand, as numpy.savez cannot store an array called "file".
    entries: dict[str, NDArray[Any]] = {**arrays, METADATA: np.array(note)}
    zipped.write(file, ((f"{name}.npy", _npy(array)) for name, array in entries.items()))


def _npy(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue(), array.reshape(-1).view(np.uint8).data


def _read_npz(path: str, wanted: _Wanted) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with open_file(path, SaveError) as file:
        found: dict[str, Entry] = {}
        for entry in zipped.entries(file, path, wanted.room):
            name = entry.name.removesuffix(".npy")
            if name == entry.name or name in found:
                raise SaveError(f"{path}: unexpected entry {entry.name!r}")
            found[name] = entry
        note = found.pop(METADATA, None)
        text = None if note is None else _read_note(Stream(file, path, note), wanted.room)
        wanted.check_names(found, text)
        for name, entry in found.items():
            stream = Stream(file, path, entry)
            shape, is_fortran, dtype = _npy_header(stream)
            wanted.check_array(name, shape, dtype)
            arrays[name] = _npy_content(stream, shape, is_fortran, dtype)
    return arrays


def _npy_header(stream: Stream) -> tuple[Shape, bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and type."""
    magic = stream.read(8)
    lengths = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}
    if magic not in lengths:
        raise SaveError(f"{stream.what} is damaged: it is no array")
    length = stream.read(lengths[magic])
    n = int.from_bytes(length, "little")
    if n > _MAX_NPY_HEADER:
        raise SaveError(f"{stream.what} is damaged: its header takes {n} bytes")
    read = np.lib.format.read_array_header_1_0
    if len(length) == 4:
        read = np.lib.format.read_array_header_2_0
    return read(io.BytesIO(length + stream.read(n)))


def _npy_content(stream: Stream, shape: Shape, is_fortran: bool, dtype: np.dtype[Any]) -> Array:
    array = np.empty(shape[::-1] if is_fortran else shape, dtype)
    stream.fill(array.reshape(-1).view(np.uint8).data)
    stream.finish()
    return as_float64(array.T if is_fortran else array)


def _read_note(stream: Stream, room: int) -> str:
    """The metadata, an array that is one text."""
    shape, _, dtype = _npy_header(stream)
    if shape != () or dtype.kind != "U" or dtype.itemsize > 4 * room:
        raise SaveError(f"{stream.what} is damaged: it is no text, or longer than the model's")
    content = stream.read(dtype.itemsize)
    stream.finish()
    return str(np.frombuffer(content, dtype)[0]) if content else ""


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
    safe_open = _safetensors("safetensors").safe_open
    with open_file(path, SaveError) as plain:
        head = plain.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8:
        raise SaveError(f"{path}: not a readable file of its format: it is truncated")
    if length > wanted.room:
        raise SaveError(f"{path}: its header of {length} bytes is larger than the model's")
    arrays: dict[str, Array] = {}
    with safe_open(path, framework="np") as file:
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


def _format_of(path: str | os.PathLike[str]) -> _Format:
    suffix = os.path.splitext(os.fsdecode(path))[1]
    if suffix not in _FORMATS:
        raise SaveError(f"{path}: the name must end in {' or '.join(_FORMATS)}")
    return _FORMATS[suffix]
