"""Files: bits come back, ties are kept, and nothing is ever half done."""

from __future__ import annotations

import builtins
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import autodiff
from autodiff import nn
from autodiff import save as save_module
from autodiff.errors import SaveError, UnassignedError
from autodiff.save import load, save

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model{request.param}"


def tensors(**values):
    return {name: autodiff.Tensor(value) for name, value in values.items()}


def snapshot(parameters):
    return {name: tensor.value.tobytes() for name, tensor in parameters.items()}


def odd_values():
    bits = np.array([0x7FF8_0000_DEAD_BEEF, 0xFFF0_0000_0000_0000, 1, 1 << 63], dtype=np.uint64)
    return bits.view(np.float64).reshape(2, 2)


# ---- round trips ----------------------------------------------------------------------


def test_bits_come_back(path):
    values = {
        "odd": odd_values(),
        "scalar": 0.1,
        "empty": np.zeros((0, 3)),
        "three.axes": np.arange(24.0).reshape(2, 3, 4),
        "file": np.ones(3),  # a parameter of numpy.savez
        "w": np.array([1.0]),
        "w.npy": np.array([2.0]),
        'Größe "µ"/0': np.array([3.0]),
    }
    saved = {name: autodiff.Tensor(value) for name, value in values.items()}
    save(path, saved)
    loaded = {name: autodiff.Tensor(shape=t.shape) for name, t in saved.items()}
    load(str(path), loaded)
    assert snapshot(loaded) == snapshot(saved)


def test_load_restores_into_the_same_tensors(path):
    w = autodiff.Tensor([1.0, 2.0], name="w")
    loss = autodiff.sum(w * w)
    save(path, {"w": w})
    w.assign([5.0, 5.0])
    assert loss.value == 50.0
    load(path, {"w": w})
    assert loss.forward() == 5.0


def test_equal_parameters_make_equal_files(path):
    save(path, tensors(a=[1.0], b=[2.0]))
    first = path.read_bytes()
    save(path, tensors(a=[1.0], b=[2.0]))
    assert path.read_bytes() == first


def test_named_parameters_of_a_module(path):
    class Model:
        def __init__(self):
            self.w = autodiff.Tensor([1.0])

        def named_parameters(self):
            yield "w", self.w

    model, other = Model(), Model()
    model.w.assign([7.0])
    save(path, model)
    load(path, other)
    assert other.w.value == 7.0


def test_ties_of_a_module_are_kept(path):
    class Tied(nn.Module):
        def __init__(self, tied):
            self.encoder = autodiff.Tensor([1.0])
            self.decoder = self.encoder if tied else autodiff.Tensor([2.0])

    save(path, Tied(True))
    load(path, Tied(True))
    with pytest.raises(SaveError, match="'decoder' is tied to 'encoder' in the file, but not"):
        load(path, Tied(False))
    lstm, other = nn.LSTM(2, 3, random=0), nn.LSTM(2, 3, random=1)
    save(path, lstm)
    load(path, other)
    assert snapshot(other.named_parameters()) == snapshot(lstm.named_parameters())


def test_numpy_reads_npz(tmp_path):
    save(tmp_path / "m.npz", tensors(w=[1.0, 2.0]))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["w"], [1.0, 2.0])


@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_files_of_numpy_are_read(tmp_path, dtype):
    np.savez(tmp_path / "m.npz", w=np.asfortranarray([[1.0, 2.0], [3.0, 4.0]], dtype=dtype))
    parameters = tensors(w=np.zeros((2, 2)))
    load(tmp_path / "m.npz", parameters)
    np.testing.assert_array_equal(parameters["w"].value, [[1.0, 2.0], [3.0, 4.0]])


# ---- ties -----------------------------------------------------------------------------


def test_tied_weights_are_written_once(path):
    w = autodiff.Tensor(np.zeros(1000))
    save(path, {"a": w, "b": w, "c": w})
    assert path.stat().st_size < 12_000
    other, spare = autodiff.Tensor(np.ones(1000)), autodiff.Tensor([1.0])
    load(path, {"c": other, "a": other, "b": other})  # another name comes first
    assert not other.value.any()
    with pytest.raises(SaveError, match="'spare'"):
        load(path, {"c": other, "a": other, "b": other, "spare": spare})


def test_many_long_names_of_tied_weights(path):
    w = autodiff.Tensor([1.0])
    names = [100 * 'µ"é' + f"{i}\U0001f600" for i in range(300)]
    save(path, dict.fromkeys(names, w))
    other = autodiff.Tensor([0.0])
    load(path, dict.fromkeys(names, other))
    assert other.value == 1.0


def test_ties_must_agree(path):
    w, v, u = (autodiff.Tensor([float(i)]) for i in range(3))
    save(path, {"a": w, "b": w, "c": v})
    for parameters, message in [
        ({"a": w, "b": v, "c": u}, "'b' is tied to 'a' in the file, but not in the model"),
        ({"a": w, "b": w, "c": w}, "'c' is tied to 'a' in the model, but not in the file"),
        ({"a": w, "b": v, "c": v}, "tied"),
        ({"a": v, "b": w, "c": v}, "tied"),
    ]:
        before = snapshot(parameters)
        with pytest.raises(SaveError, match=message):
            load(path, parameters)
        assert snapshot(parameters) == before


# ---- what load refuses ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": [0.0], "b": [[0.0, 0.0]], "c": 0.0}, "lacks 'c'"),
        ({"a": [0.0]}, "the model lacks, 'b'"),
        ({"a": [0.0], "b": [0.0, 0.0]}, r"'b' has shape \(1, 2\) in the file"),
        ({"a": 0.0, "b": [[0.0, 0.0]]}, r"'a' has shape \(1,\) in the file"),
        ({}, "the model lacks, 'a', 'b'"),
    ],
)
def test_names_and_shapes_must_agree(path, parameters, message):
    save(path, tensors(a=[1.0], b=[[1.0, 2.0]]))
    parameters = tensors(**parameters)
    before = snapshot(parameters)
    with pytest.raises(SaveError, match=message):
        load(path, parameters)
    assert snapshot(parameters) == before


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex128, np.bool_])
def test_types_must_agree(path, dtype):
    arrays = {"a": np.ones(2), "b": np.ones(2, dtype)}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        if dtype is np.complex128:
            pytest.skip("no such type in safetensors")
        from safetensors.numpy import save_file

        save_file(arrays, path)
    parameters = tensors(a=[0.0, 0.0], b=[0.0, 0.0])
    with pytest.raises(SaveError, match=r"'b' is of type .*, not float64"):
        load(path, parameters)
    assert not parameters["a"].value.any()


def test_pickles_are_not_opened(tmp_path):
    np.savez(tmp_path / "m.npz", w=np.array([print], dtype=object))
    with pytest.raises(SaveError, match="'w' is of type object in the file"):
        load(tmp_path / "m.npz", tensors(w=[0.0]))


def test_every_truncation_is_refused(path):
    save(path, tensors(a=np.ones(3), b=np.ones(4)))
    whole = path.read_bytes()
    parameters = tensors(a=np.zeros(3), b=np.zeros(4))
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(SaveError):
            load(path, parameters)
        assert not any(t.value.any() for t in parameters.values())


def test_flipped_bits_change_all_or_nothing(tmp_path):
    path = tmp_path / "m.npz"
    save(path, tensors(a=np.ones(3), b=np.ones(4)))
    whole = path.read_bytes()
    good = [np.ones(3).tobytes(), np.ones(4).tobytes()]
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        parameters = tensors(a=np.zeros(3), b=np.zeros(4))
        try:
            load(path, parameters)
        except SaveError:
            assert not any(t.value.any() for t in parameters.values())
        else:  # a byte that says nothing, such as a date
            assert list(snapshot(parameters).values()) == good


def rewritten(path, change):
    """The archive with `change` applied to its dictionary of entries."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(entries):
            archive.writestr(zipfile.ZipInfo(name), content)


def npy(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: [*entries, ("notes.txt", b"")], "unexpected entry 'notes.txt'"),
        (lambda entries: [(n, npy(np.ones(9000)) if n == "a.npy" else c) for n, c in entries],
         r"'a' has shape \(9000,\) in the file"),
        (lambda entries: [(n, c[:-3] if n == "a.npy" else c) for n, c in entries], "shorter"),
        (lambda entries: [(n, npy(np.array(json.dumps({"version": 2, "aliases": {}})))
                           if n.startswith("__") else c) for n, c in entries], "another version"),
        (lambda entries: [(n, npy(np.array(json.dumps({"version": 1, "aliases": {"a": "a"}})))
                           if n.startswith("__") else c) for n, c in entries], "damaged: 'a'"),
        (lambda entries: [(n, npy(np.array("{"))
                           if n.startswith("__") else c) for n, c in entries], "readable"),
    ],
)  # fmt: skip
def test_damaged_archives(tmp_path, change, message):
    path = tmp_path / "m.npz"
    save(path, tensors(a=[1.0]))
    rewritten(path, change)
    parameters = tensors(a=[0.0])
    with pytest.raises(SaveError, match=message):
        load(path, parameters)
    assert parameters["a"].value == 0.0


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_twice_is_refused(tmp_path):
    path = tmp_path / "m.npz"
    save(path, tensors(a=[1.0]))
    rewritten(path, lambda entries: [*entries, entries[0]])
    with pytest.raises(SaveError, match=r"unexpected entry 'a\.npy'"):
        load(path, tensors(a=[0.0]))


def test_a_missing_file_is_the_usual_error(path):
    with pytest.raises(FileNotFoundError):
        load(path, tensors(a=[0.0]))


# ---- what save refuses ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\0b", "__autodiff__", "__metadata__", "a\\b", 3, "\ud800"])
def test_names_that_cannot_be_stored(path, name):
    with pytest.raises(SaveError, match="cannot be the name"):
        save(path, {name: autodiff.Tensor([1.0])})
    assert not path.exists()


def test_other_refusals(path):
    w = autodiff.Tensor([1.0])
    with pytest.raises(SaveError, match=r"must end in \.npz or \.safetensors"):
        save(path.with_suffix(".pt"), {"w": w})
    with pytest.raises(SaveError, match="'w' is a Node, not a Tensor"):
        save(path, {"w": w * w})
    with pytest.raises(UnassignedError):
        save(path, {"w": w, "v": autodiff.Tensor(shape=(2,))})
    assert os.listdir(path.parent) == []

    class Twice:
        def named_parameters(self):
            return [("w", w), ("w", w)]

    with pytest.raises(SaveError, match="two parameters are called 'w'"):
        save(path, Twice())


def test_safetensors_missing(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **options):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *args, **options)

    for module in [m for m in sys.modules if m.startswith("safetensors")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(
        save_module.importlib, "import_module", lambda name: refuse(name), raising=True
    )
    with pytest.raises(SaveError, match=r"pip install autodiff\[safetensors\]"):
        save(tmp_path / "m.safetensors", tensors(a=[1.0]))
    assert os.listdir(tmp_path) == []


# ---- all or nothing -------------------------------------------------------------------


class FullDisk(OSError):
    pass


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [FullDisk, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_litter(path, monkeypatch, where, error):
    save(path, tensors(a=[1.0]))
    before = path.read_bytes()

    def fail(*args):
        raise error

    def write_half(file, arrays, note):
        file.write(before[:20])
        file.flush()
        raise error

    if where == "write":
        monkeypatch.setitem(
            save_module._FORMATS, path.suffix, save_module._Format(write_half, fail)
        )
    else:
        monkeypatch.setattr(save_module.os, where, fail)
    with pytest.raises(error):
        save(path, tensors(a=[2.0]))
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.npz"
    save(path, tensors(a=[1.0]))
    before = path.read_bytes()
    code = (
        "import os, sys, autodiff\n"
        "from autodiff.save import save\n"
        "os.fsync = lambda d: os.kill(os.getpid(), 9)\n"
        "save(sys.argv[1], {'a': autodiff.Tensor([2.0])})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(autodiff.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == before
    assert len(os.listdir(tmp_path)) == 2
    save(tmp_path / "other.npz", tensors(a=[1.0]))
    assert len(os.listdir(tmp_path)) == 3
    save(path, tensors(a=[1.0]))  # removes what was left behind
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "other.npz"]


def test_a_file_that_another_one_writes_is_not_left_behind(path, monkeypatch):
    fsync, depth = os.fsync, []

    def once_more(descriptor):
        if len(depth) < 3:
            depth.append(None)
            save(path, tensors(a=[float(len(depth))]))
        fsync(descriptor)

    monkeypatch.setattr(save_module.os, "fsync", once_more)
    save(path, tensors(a=[9.0]))
    assert os.listdir(path.parent) == [path.name]
    loaded = tensors(a=[0.0])
    load(path, loaded)
    assert loaded["a"].value == 9.0


def test_a_long_name(path):
    path = path.with_name("m" * (250 - len(path.suffix)) + path.suffix)
    save(path, tensors(a=[1.0]))
    assert os.listdir(path.parent) == [path.name]


def test_the_file_is_on_the_disk_before_it_gets_its_name(path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(
        save_module.os, "fsync", lambda d: (events.append("fsync"), real_fsync(d))[1]
    )
    monkeypatch.setattr(
        save_module.os, "replace", lambda a, b: (events.append("replace"), real_replace(a, b))[1]
    )
    save(path, tensors(a=[1.0]))
    assert events == ["fsync", "replace", "fsync"]


def test_permissions_and_links(path):
    save(path, tensors(a=[1.0]))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)
    link = path.with_name(f"link{path.suffix}")
    link.symlink_to(path)
    save(link, tensors(a=[2.0]))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    loaded = tensors(a=[0.0])
    load(path, loaded)
    assert loaded["a"].value == 2.0
    path.rename(path.with_name("blob"))  # the name that was given says the format
    link.unlink()
    link.symlink_to("blob")
    save(link, tensors(a=[3.0]))
    assert sorted(os.listdir(path.parent)) == ["blob", link.name]
    load(link, loaded)
    assert loaded["a"].value == 3.0
