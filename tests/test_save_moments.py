"""What is saved existed at one moment, and what is loaded comes at one moment."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

import autodiff
from autodiff import save as save_module
from autodiff.errors import UnassignedError
from autodiff.save import load, save


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model{request.param}"


def test_all_values_are_read_at_once_and_assigned_at_once(path, monkeypatch):
    calls = []
    for name in ("snapshots", "assign_together"):
        real = getattr(save_module, name)
        monkeypatch.setattr(
            save_module, name, lambda x, *more, real=real: (calls.append(len(x)), real(x, *more))[1]
        )
    w, v = autodiff.Tensor([1.0]), autodiff.Tensor([2.0])
    save(path, {"a": w, "b": v, "c": w})
    load(path, {"a": w, "b": v, "c": w})
    assert calls == [2, 2]


def test_what_is_saved_while_a_thread_replays_existed(path):
    parameters = {"w": autodiff.Tensor(np.zeros(100_000)), "v": autodiff.Tensor(np.zeros(50_000))}

    @autodiff.compile
    def step(x):
        for tensor in parameters.values():
            tensor.assign(tensor + x)
        return x

    step(1.0)
    stop = threading.Event()

    def replay():
        while not stop.is_set():
            step(1.0)

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        loaded = {name: autodiff.Tensor(shape=x.shape) for name, x in parameters.items()}
        levels = set()
        for _ in range(20):
            save(path, parameters)
            load(path, loaded)
            levels |= {float(f(x.value)) for x in loaded.values() for f in (np.min, np.max)}
            assert len(levels) == 1
            levels.clear()
    finally:
        stop.set()
        thread.join()


# A file that is open when the interruption comes is closed by the garbage collection.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("unassigned", [False, True])
def test_an_interruption_at_any_line_of_load_changes_all_or_nothing(path, unassigned):
    names = [f"w{i}" for i in range(5)]
    save(path, {name: autodiff.Tensor(np.ones(3)) for name in names})
    assert load is save_module.load
    lines, finished = 0, False
    while not finished:
        parameters = {
            name: autodiff.Tensor(shape=3) if unassigned else autodiff.Tensor(np.zeros(3))
            for name in names
        }
        finished = not interrupted_at(lines, lambda p=parameters: load(path, p))
        lines += 1
        states = set()
        for x in parameters.values():
            try:
                states.add(tuple(x.value.tolist()))
            except UnassignedError:
                states.add(None)
        assert len(states) == 1, f"interrupted at line {lines}: {states}"
    assert states == {(1.0, 1.0, 1.0)}
    assert lines > 100
    load(path, parameters)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_at_any_line_of_save_leaves_the_old_file_or_the_new(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    save(path, {"w": autodiff.Tensor([0.0, 0.0])})
    wanted, lines, finished = 0.0, 0, False
    while not finished:
        values = {"w": autodiff.Tensor([lines + 1.0, lines + 1.0])}
        finished = not interrupted_at(lines, lambda v=values: save(path, v))
        lines += 1
        loaded = {"w": autodiff.Tensor([-1.0, -1.0])}
        load(path, loaded)
        first, second = loaded["w"].value
        assert first == second in (wanted, float(lines))
        wanted = first
    assert wanted == lines > 50
    save(path, values)
    assert os.listdir(path.parent) == [path.name]


def interrupted_at(n, work):
    """Whether KeyboardInterrupt was raised before line n of the library's lines that run."""
    left, library = n, os.path.dirname(autodiff.__file__)

    def tracer(frame, event, argument):
        nonlocal left
        if event == "line" and frame.f_code.co_filename.startswith(library):
            left -= 1
            if left == -1:
                sys.settrace(None)
                raise KeyboardInterrupt
        return tracer

    sys.settrace(tracer)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return left < 0
