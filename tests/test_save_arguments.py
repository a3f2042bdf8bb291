"""Wrong arguments of save and load say what to give instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import autodiff
from autodiff import nn
from autodiff.errors import SaveError
from autodiff.save import load, save


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model{request.param}"


def tensors(**values):
    return {name: autodiff.Tensor(value) for name, value in values.items()}


class Module:
    def __init__(self, listed):
        self.listed = listed

    def named_parameters(self):
        return self.listed


@pytest.mark.parametrize("call", [save, load])
@pytest.mark.parametrize(
    "parameters",
    [None, 3, "w", [autodiff.Tensor([1.0])], autodiff.Tensor([1.0]), nn.LSTM, Module(None),
     Module([1, 2]), Module(["w"]), Module([("w", 1, 2)])],
)  # fmt: skip
def test_what_has_no_named_parameters(call, path, parameters):
    with pytest.raises(SaveError, match=r"named.parameters"):
        call(path, parameters)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("call", [save, load])
@pytest.mark.parametrize("wrong", [None, 3, {"w": autodiff.Tensor([1.0])}, "a\0b.npz", [1]])
def test_what_is_no_path(call, wrong):
    with pytest.raises(SaveError, match="is no path of a file"):
        call(wrong, tensors(a=[1.0]))


@pytest.mark.parametrize("call", [save, load])
@pytest.mark.parametrize("name", ["model", "model.pt", "", ".", ".npz", "model.npz/", "m.npz.gz"])
def test_names_without_a_format(call, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaveError, match=r"must end in \.npz or \.safetensors"):
        call(name, tensors(a=[1.0]))
    assert os.listdir(tmp_path) == []


def test_paths_of_all_kinds(path):
    for kind in (str, os.fsencode, Path):
        save(kind(path), tensors(a=[1.0]))
        loaded = tensors(a=[0.0])
        load(kind(path), loaded)
        assert loaded["a"].value == 1.0


def test_no_folder(tmp_path):
    with pytest.raises(SaveError, match=r"there is no folder .*none; make it first"):
        save(tmp_path / "none" / "m.npz", tensors(a=[1.0]))
    (tmp_path / "link.npz").symlink_to(tmp_path / "none" / "m.npz")
    with pytest.raises(SaveError, match="there is no folder"):
        save(tmp_path / "link.npz", tensors(a=[1.0]))
