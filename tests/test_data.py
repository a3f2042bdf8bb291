"""Data: generators, splits, the IDX format to the byte, batches."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import data
from autodiff.errors import AutodiffError, DataError

CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    elements = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, CODES[array.dtype.name], array.ndim]) + sizes + elements


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ---- made up --------------------------------------------------------------------------


def test_trigonometric_points_lie_on_the_circle_in_order():
    points = data.trigonometric(21)
    np.testing.assert_allclose(np.hypot(*points.T), 1.0, rtol=1e-15)
    np.testing.assert_allclose(points[[0, 5, 10]], [[1, 0], [0, 1], [-1, 0]], atol=1e-15)
    np.testing.assert_allclose(points[20], points[0], atol=1e-15)
    np.testing.assert_array_equal(data.trigonometric(16, start=5), points[5:])


def test_windows_and_targets_are_one_step_apart():
    inputs, targets = data.windows(data.trigonometric(12), 5)
    assert inputs.shape == targets.shape == (7, 5, 2)
    np.testing.assert_array_equal(inputs[3], data.trigonometric(5, start=3))
    np.testing.assert_array_equal(targets[3], data.trigonometric(5, start=4))
    np.testing.assert_array_equal(targets[-1, -1], data.trigonometric(1, start=11)[0])


@pytest.mark.parametrize(("n", "steps"), [(5, 5), (0, 1), (3, 0), (3, -1)])
def test_windows_refuses_what_holds_none(n, steps):
    with pytest.raises(DataError, match="windows"):
        data.windows(np.zeros((n, 2)), steps)


def test_spiral_parts_are_disjoint_and_balanced():
    train, test = data.spiral(50, 3, noise=0.0)
    rows = {tuple(point) for point in train.x} | {tuple(point) for point in test.x}
    assert len(rows) == 150  # no point twice, within or across the parts
    assert np.bincount(train.labels).tolist() == [40, 40, 40]
    assert np.bincount(test.labels).tolist() == [10, 10, 10]


def test_spiral_arms_are_rotations_of_each_other():
    train, test = data.spiral(50, 3, noise=0.0)
    x, labels = np.concatenate([train.x, test.x]), np.concatenate([train.labels, test.labels])
    c, s = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    turned = x[labels == 0] @ np.array([[c, s], [-s, c]])

    def by_radius(points: np.ndarray) -> np.ndarray:
        return points[np.argsort(np.hypot(*points.T))]

    np.testing.assert_allclose(by_radius(turned), by_radius(x[labels == 1]), atol=1e-14)


def test_spiral_is_fixed_by_its_seed():
    first, again, other = data.spiral(random=3), data.spiral(random=3), data.spiral(random=4)
    np.testing.assert_array_equal(first[0].x, again[0].x)
    np.testing.assert_array_equal(first[1].labels, again[1].labels)
    assert not np.array_equal(first[0].x, other[0].x)


@pytest.mark.parametrize(
    "options", [{"test": 0.0}, {"test": 1.0}, {"n_classes": 0}, {"n_points": 1}]
)
def test_spiral_refuses_an_empty_part(options):
    with pytest.raises(DataError, match="spiral"):
        data.spiral(**options)


def test_digits_are_real_and_scaled():
    x, labels = data.digits()
    assert x.shape == (1797, 64)
    assert x.dtype == np.float64
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert set(labels.tolist()) == set(range(10))
    # the first image of the set is a zero: dark in the middle, bright round it
    ring = x[0].reshape(8, 8)
    assert labels[0] == 0
    assert ring[3:5, 3].max() < 0.2 < ring[3:5, 2].min()


def test_digits_without_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"autodiff\[examples\]"):
        data.digits()


# ---- IDX files ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_round_trip(tmp_path, dtype, pack):
    array = np.arange(-6, 18).reshape(2, 3, 4).astype(dtype)
    path = write(tmp_path / "file", pack(idx_bytes(array)))
    read = data.load_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)
    read[0] = 1  # the array is the caller's own


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_idx_any_shape_and_any_wrong_length(tmp_path_factory, shape, draw):
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    content = idx_bytes(array)
    path = tmp_path_factory.mktemp("idx") / "file"
    np.testing.assert_array_equal(data.load_idx(write(path, content)), array)
    assert data.load_idx(path).shape == tuple(shape)
    cut = draw.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError):
        data.load_idx(write(path, content[:cut]))
    with pytest.raises(DataError, match="too long"):
        data.load_idx(write(path, content + b"\0"))


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "no IDX file"),
        (b"PK\3\4", "no IDX file: it begins with 50 4b 03 04"),
        (b"\0\1" + GOOD[2:], "no IDX file"),
        (b"\1\0" + GOOD[2:], "no IDX file"),
        (b"\0\0\x0a\2" + GOOD[4:], "unknown IDX type 0x0a"),
        (b"\0\0\x08\0" + GOOD[4:], "0 axes"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "255 axes"),
        (GOOD[:11], "truncated: the header of 2 axes takes 12 bytes, the file has 11"),
        (GOOD[:-1], r"truncated: shape \(2, 3\) of uint8 takes 18 bytes with the header, .* 17"),
        (GOOD + b"x", "too long"),
        (b"\0\0\x08\3" + b"\xff" * 12, "truncated"),
        (b"\0\0\x08\4" + bytes(4) + b"\xff" * 12, "not possible"),
        (PACKED[:-9], "damaged gzip"),
        (PACKED[:-5] + b"12345", "damaged gzip"),
        (PACKED[:10] + b"\xff" * 20, "damaged gzip"),
        (b"\x1f\x8b rubbish rubbish", "damaged gzip"),
        (gzip.compress(GOOD[:-1], mtime=0), "truncated"),
    ],
)
def test_idx_damage_is_named(tmp_path, content, message):
    path = write(tmp_path / "train-file", content)
    with pytest.raises(DataError, match=message) as raised:
        data.load_idx(path)
    assert str(path) in str(raised.value)


def test_idx_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        data.load_idx(tmp_path / "none")
    with pytest.raises(DataError, match="is a folder"):
        data.load_idx(tmp_path)
    assert issubclass(DataError, (AutodiffError, ValueError))


# ---- MNIST ----------------------------------------------------------------------------


def images(n: int, side: int = 4) -> np.ndarray:
    return (np.arange(n * side * side) % 256).astype(np.uint8).reshape(n, side, side)


def mnist_folder(folder: Path, mark: str = "-", gz: bool = False, **other: np.ndarray) -> Path:
    arrays = {
        "train-images": images(20),
        "train-labels": (np.arange(20) % 10).astype(np.uint8),
        "t10k-images": images(5),
        "t10k-labels": np.arange(5).astype(np.uint8),
    }
    arrays.update({name.replace("_", "-"): array for name, array in other.items()})
    for name, array in arrays.items():
        axes = 3 if name.endswith("images") else 1
        content = idx_bytes(array)
        file = folder / f"{name}{mark}idx{axes}-ubyte{'.gz' if gz else ''}"
        write(file, gzip.compress(content) if gz else content)
    return folder


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("gz", [False, True])
def test_mnist_by_any_of_its_names(tmp_path, mark, gz):
    train, test = data.mnist(mnist_folder(tmp_path, mark, gz))
    assert train.x.shape == (20, 16)
    assert test.x.shape == (5, 16)
    assert train.labels.tolist() == [*range(10)] * 2
    np.testing.assert_array_equal(train.x, images(20).reshape(20, 16) / 255.0)
    assert (train.x.min(), train.x.max()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"train_labels": np.zeros(19, np.uint8)}, "20 images, .* 19 labels"),
        ({"t10k_images": images(5, 5)}, "16 pixels, test images 25"),
        ({"train_images": images(20).astype(np.int32)}, "int32 of shape"),
        ({"t10k_labels": np.zeros((5, 1), np.uint8)}, r"uint8 of shape \(5, 1\)"),
    ],
)
def test_mnist_files_that_do_not_fit(tmp_path, other, message):
    with pytest.raises(DataError, match=message):
        data.mnist(mnist_folder(tmp_path, **other))


def test_mnist_missing_file_lists_the_names(tmp_path):
    (mnist_folder(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte, .*idx1-ubyte\.gz"):
        data.mnist(tmp_path)


@pytest.mark.skipif("MNIST" not in os.environ, reason="MNIST=folder with the real files not set")
def test_real_mnist():
    train, test = data.mnist(os.environ["MNIST"])
    assert (train.x.shape, test.x.shape) == ((60000, 784), (10000, 784))
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert train.x.mean() == pytest.approx(0.1306604762738431, rel=1e-12)


# ---- for training loops ---------------------------------------------------------------


def test_one_hot_rows_of_the_identity():
    np.testing.assert_array_equal(data.one_hot([1, 0, 2]), np.eye(3)[[1, 0, 2]])
    np.testing.assert_array_equal(data.one_hot(np.uint8([1]), 4), [[0.0, 1.0, 0.0, 0.0]])
    assert data.one_hot([[0, 1], [2, 0], [1, 1]], 5).shape == (3, 2, 5)
    assert data.one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "n", "message"),
    [
        ([0, 3], 3, r"labels are 0 ... 3, classes are 0 ... 2"),
        ([-1, 1], 3, "labels are -1"),
        ([0.0, 1.0], 3, "float64"),
        ([True], 2, "bool"),
        ([], None, "must be integers"),
        (np.zeros(0, np.int64), None, "must be integers"),
    ],
)
def test_one_hot_refuses_what_is_no_class(labels, n, message):
    with pytest.raises(DataError, match=message):
        data.one_hot(labels, n)


@given(st.integers(0, 50), st.integers(1, 60), st.integers(0, 5) | st.none())
def test_batches_give_each_sample_once(n, size, seed):
    parts = list(data.batches(n, size, seed))
    assert sorted(i for rows in parts for i in rows) == list(range(n))
    assert all(len(rows) == size for rows in parts[:-1])


def test_batches_random_order_and_fixed_size():
    random = np.random.default_rng(0)
    first = [rows.tolist() for rows in data.batches(10, 4, random, drop_last=True)]
    second = [rows.tolist() for rows in data.batches(10, 4, random, drop_last=True)]
    assert [len(rows) for rows in first] == [4, 4]
    assert first != second
    assert [rows.tolist() for rows in data.batches(5, 2)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("n", "size", "drop"), [(5, 0, False), (-1, 2, False), (3, 4, True)])
def test_batches_refuses_what_holds_none(n, size, drop):
    with pytest.raises(DataError, match="batches"):
        data.batches(n, size, drop_last=drop)
