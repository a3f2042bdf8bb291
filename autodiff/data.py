"""Small data sets, and batches: points on a circle, spirals, handwritten digits, IDX files.

With this module one can make small data sets to learn from (:func:`trigonometric`,
:func:`spiral`), load handwritten digits (:func:`digits` from scikit-learn, :func:`mnist` from the
standard files, any other IDX file by :func:`load_idx`), and cut data into what a training
loop wants (:func:`windows`, :func:`one_hot`, :func:`batches`).

Nothing is downloaded. All arrays are new and float64, but for :func:`load_idx`'s; labels are
integers. Whatever is random is drawn from a generator that the caller gives, or from a fixed
seed. Needs NumPy only; no other module of the package needs it.

Examples
--------
>>> train, test = spiral(50)
>>> for rows in batches(len(train.x), 60, random=1):
...     print(train.x[rows].shape, one_hot(train.labels[rows]).shape)
(60, 2) (60, 3)
(60, 2) (60, 3)
"""

from __future__ import annotations

import gzip
import importlib
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autodiff.array import Array
from autodiff.errors import DataError
from autodiff.files import open_file

__all__ = [
    "Labelled",
    "batches",
    "digits",
    "load_idx",
    "mnist",
    "one_hot",
    "spiral",
    "trigonometric",
    "windows",
]

Integers: TypeAlias = NDArray[np.int64]
PathLike: TypeAlias = str | os.PathLike[str]
Random: TypeAlias = np.random.Generator | int


class Labelled(NamedTuple):
    """Samples and their classes: `x`, shape (n, n_features), and `labels`, shape (n,)."""

    x: Array
    labels: Integers


# ---- made up --------------------------------------------------------------------------


def trigonometric(n: int, frequency: float = 0.05, start: int = 0) -> Array:
    """Points (cos 2πft, sin 2πft) for t = start, start + 1, ...

    Parameters
    ----------
    n : number of points.
    frequency : turns a step; the default, the post's, takes 20 points for one turn.
    start : the first t.

    Returns
    -------
    Array, shape (n, 2)

    Examples
    --------
    >>> trigonometric(3, frequency=0.25).round(12)
    array([[ 1.,  0.],
           [ 0.,  1.],
           [-1.,  0.]])
    """
    angle = 2.0 * math.pi * frequency * np.arange(start, start + n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def windows(sequence: Array, n_steps: int) -> tuple[Array, Array]:
    """All windows of a sequence, each with its target: the same window one step later.

    Parameters
    ----------
    sequence : shape (n, ...), n > n_steps.
    n_steps : points in a window.

    Returns
    -------
    inputs, targets : arrays, shape (n - n_steps, n_steps, ...)

    Raises
    ------
    DataError
        If the sequence is too short for one window and the point after it.

    Examples
    --------
    >>> inputs, targets = windows(np.arange(4.0), 2)
    >>> inputs
    array([[0., 1.],
           [1., 2.]])
    >>> targets
    array([[1., 2.],
           [2., 3.]])
    """
    sequence = np.asarray(sequence, dtype=np.float64)
    n_windows = len(sequence) - n_steps
    if n_steps < 1 or n_windows < 1:
        raise DataError(f"windows: {len(sequence)} points hold no window of {n_steps} and a next")
    index = np.arange(n_windows)[:, None] + np.arange(n_steps)
    return sequence[index], sequence[index + 1]


def spiral(
    n_points: int = 200,
    n_classes: int = 3,
    *,
    turns: float = 0.75,
    noise: float = 0.03,
    test: float = 0.2,
    random: Random = 0,
) -> tuple[Labelled, Labelled]:
    """Interleaved spiral arms in the plane, one class an arm, cut into two disjoint parts.

    The radius grows from 0.1 to 1 along an arm, the angle by `turns` turns.

    Parameters
    ----------
    n_points : points of each class, training and test part together.
    n_classes : arms, evenly spread.
    turns : how far each arm winds.
    noise : standard deviation of what is added to each coordinate.
    test : the share of each class that goes into the test part.
    random : generator or seed.

    Returns
    -------
    train, test : Labelled
        In random order. No point is in both.

    Raises
    ------
    DataError
        If a part of a class would be empty.

    Examples
    --------
    >>> train, test = spiral(10, 2, test=0.3)
    >>> train.x.shape, sorted(test.labels.tolist())
    ((14, 2), [0, 0, 0, 1, 1, 1])
    """
    random = np.random.default_rng(random)
    n_test = round(test * n_points)
    if n_classes < 1 or not 0 < n_test < n_points:
        raise DataError(
            f"spiral: {n_points} points a class cannot be cut into a training part and a test "
            f"part of {n_test}, for {n_classes} classes"
        )
    along = (np.arange(n_points) + 0.5) / n_points
    radius = 0.1 + 0.9 * along
    parts: list[list[tuple[Array, Integers]]] = [[], []]
    for label in range(n_classes):
        angle = 2.0 * math.pi * (turns * along + label / n_classes)
        arm = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        arm += noise * random.standard_normal(arm.shape)
        order = random.permutation(n_points)
        for part, rows in zip(parts, (order[n_test:], order[:n_test]), strict=True):
            part.append((arm[rows], np.full(len(rows), label, dtype=np.int64)))
    train, held_out = (_shuffled(part, random) for part in parts)
    return train, held_out


def _shuffled(arms: list[tuple[Array, Integers]], random: np.random.Generator) -> Labelled:
    x = np.concatenate([points for points, _ in arms])
    labels = np.concatenate([classes for _, classes in arms])
    order = random.permutation(len(x))
    return Labelled(x[order], labels[order])


# ---- handwritten digits ---------------------------------------------------------------


def digits() -> Labelled:
    """Real handwritten digits: scikit-learn's 1,797 images of 8 x 8 pixels, in [0, 1].

    The images come with the package (UCI ML, "Optical recognition of handwritten digits").

    Returns
    -------
    Labelled
        `x` of shape (1797, 64), rows of pixels one after the other.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> images, labels = digits()  # doctest: +SKIP
    >>> images.shape, labels[:3].tolist()  # doctest: +SKIP
    ((1797, 64), [0, 1, 2])
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(
            f"data.digits needs scikit-learn, pip install 'autodiff[examples]' ({error})"
        ) from error
    pixels, labels = datasets.load_digits(return_X_y=True)
    return Labelled(pixels / 16.0, labels.astype(np.int64))


def mnist(folder: PathLike) -> tuple[Labelled, Labelled]:
    """Training and test part of MNIST, or of any data set in the same four files.

    Parameters
    ----------
    folder : holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``; each may be spelled with a
        dot (``train-images.idx3-ubyte``) and may be gzipped (``.gz``).

    Returns
    -------
    train, test : Labelled
        `x` of shape (n, 784), rows of pixels one after the other, in [0, 1].

    Raises
    ------
    DataError
        If a file is missing or damaged, or the files do not fit each other.

    Examples
    --------
    >>> train, test = mnist("folder")  # doctest: +SKIP
    >>> train.x.shape, test.labels.shape  # doctest: +SKIP
    ((60000, 784), (10000,))
    """
    train, test = (_images_and_labels(Path(folder), part) for part in ("train", "t10k"))
    if train.x.shape[1] != test.x.shape[1]:
        raise DataError(
            f"{folder}: training images have {train.x.shape[1]} pixels, test images "
            f"{test.x.shape[1]}"
        )
    return train, test


def _images_and_labels(folder: Path, part: str) -> Labelled:
    image_file, images = _load_part(folder, f"{part}-images", n_axes=3)
    label_file, labels = _load_part(folder, f"{part}-labels", n_axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"{image_file} has {len(images)} images, {label_file} has {len(labels)} labels"
        )
    pixels = images.reshape(len(images), images.shape[1] * images.shape[2])
    return Labelled(pixels / 255.0, labels.astype(np.int64))


def _load_part(folder: Path, stem: str, n_axes: int) -> tuple[Path, NDArray[Any]]:
    names = [
        f"{stem}{mark}idx{n_axes}-ubyte{packed}" for mark in ("-", ".") for packed in ("", ".gz")
    ]
    for name in names:
        path = folder / name
        if path.is_file():
            array = load_idx(path)
            if array.ndim != n_axes or array.dtype != np.uint8:
                raise DataError(
                    f"{path}: holds {array.dtype} of shape {array.shape}, not unsigned bytes "
                    f"with {n_axes} axes"
                )
            return path, array
    raise DataError(f"{folder}: there is none of {', '.join(names)}")


_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_AXES = 64  # NumPy's limit
_MOST_PACKED = 1032  # bytes that one byte of a deflated file can stand for


def load_idx(path: PathLike) -> NDArray[Any]:
    """Read one IDX file, the format of MNIST, gzipped or not (its content tells).

    The file is two zero bytes, a type, the number of axes, the size of each axis as four
    bytes, then exactly the elements, all of it most significant byte first.

    Returns
    -------
    array
        Of the file's type and shape, in the machine's byte order.

    Raises
    ------
    DataError
        If the file cannot be read, is no ordinary or no IDX file, or is shorter or longer than
        it says. No more memory is taken than the header asks for, and the file can fill.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "two-by-three.idx")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    ...     load_idx(path)
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    name = os.fsdecode(path)
    try:
        with open_file(name, DataError) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            length = os.fstat(file.fileno()).st_size
            if not packed:
                return _read_idx(name, file, length)
            with gzip.GzipFile(fileobj=file) as content:
                return _read_idx(name, content, _MOST_PACKED * length)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_idx(path: str, file: Any, most: int) -> NDArray[Any]:
    """The array in a file of at most so many bytes: what the header says, and not a byte more."""
    dtype, shape = _idx_header(path, file)
    header = 4 + 4 * len(shape)
    n_bytes = math.prod(shape) * dtype.itemsize
    takes = f"shape {shape} of {dtype.name} takes {header + n_bytes} bytes with the header"
    if header + n_bytes > most:
        raise DataError(f"{path}: truncated: {takes}, the file has no more than {most}")
    try:
        array = np.empty(shape, dtype)
    except (ValueError, MemoryError) as error:  # sizes beyond NumPy's, or the machine's
        raise DataError(f"{path}: shape {shape} is not possible ({error})") from error
    target, done = array.reshape(-1).view(np.uint8), 0
    while done < n_bytes:
        piece = file.read(min(n_bytes - done, 1 << 20))
        if not piece:
            raise DataError(f"{path}: truncated: {takes}, the file has {header + done}")
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    if file.read(1):
        raise DataError(f"{path}: too long: {takes}, the file has more")
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _idx_header(path: str, file: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    start = file.read(4)
    if len(start) < 4 or start[0] or start[1]:
        raise DataError(f"{path}: no IDX file: it begins with {start.hex(' ') or 'nothing'}")
    code, n_axes = start[2], start[3]
    if code not in _IDX_TYPES:
        known = ", ".join(f"{c:#04x}" for c in _IDX_TYPES)
        raise DataError(f"{path}: unknown IDX type {code:#04x}; known are {known}")
    if not 1 <= n_axes <= _MAX_AXES:
        raise DataError(f"{path}: {n_axes} axes; an IDX file has 1 to {_MAX_AXES}")
    sizes = file.read(4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise DataError(
            f"{path}: truncated: the header of {n_axes} axes takes {4 + 4 * n_axes} bytes, the "
            f"file has {4 + len(sizes)}"
        )
    return np.dtype(_IDX_TYPES[code]), tuple(np.frombuffer(sizes, ">u4").tolist())


# ---- for training loops ---------------------------------------------------------------


def one_hot(labels: Any, n_classes: int | None = None) -> Array:
    """Rows of the identity: 1 at the label, 0 elsewhere.

    Parameters
    ----------
    labels : integers in 0 ... n_classes - 1, of any shape.
    n_classes : the largest label + 1 if not given.

    Returns
    -------
    Array, shape (*labels.shape, n_classes)

    Raises
    ------
    DataError
        If a label is not an integer, or there is no such class.

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    numbers = np.asarray(labels)
    if numbers.size == 0 and n_classes is not None:
        return np.zeros((*numbers.shape, n_classes))
    if numbers.dtype.kind not in "iu" or numbers.size == 0:
        raise DataError(
            f"one_hot: labels must be integers, they are {numbers.dtype} of shape {numbers.shape}"
        )
    low, high = int(numbers.min()), int(numbers.max())
    count = high + 1 if n_classes is None else n_classes
    if low < 0 or high >= count:
        raise DataError(f"one_hot: labels are {low} ... {high}, classes are 0 ... {count - 1}")
    rows = np.zeros((numbers.size, count))
    rows[np.arange(numbers.size), numbers.reshape(-1)] = 1.0
    return rows.reshape(*numbers.shape, count)


def batches(
    n: int, size: int, random: Random | None = None, *, drop_last: bool = False
) -> Iterator[Integers]:
    """Cut 0 ... n - 1 into batches of indices: one epoch.

    Parameters
    ----------
    n : number of samples.
    size : of a batch; the last one is smaller if `size` does not divide n.
    random : generator or seed for a random order; without it, in order.
    drop_last : leave a smaller last batch out, as a graph of one fixed shape needs.

    Returns
    -------
    iterator of integer arrays, one for each batch

    Raises
    ------
    DataError
        If `size` is less than 1, or no batch is left.

    Examples
    --------
    >>> [rows.tolist() for rows in batches(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    if size < 1 or n < 0 or (drop_last and size > n):
        raise DataError(f"batches: {n} samples hold no batch of {size}")
    order = np.arange(n) if random is None else np.random.default_rng(random).permutation(n)
    stop = n - n % size if drop_last else n
    return (order[i : i + size] for i in range(0, stop, size))
