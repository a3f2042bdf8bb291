"""Each example runs, draws its picture, and learns what it is for."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from example_files import EXAMPLES, NAMES, example, png_size

from autodiff import data

# ---- they run -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [["--quick"], ["--post", "--epochs", "1"]], ids=["ours", "post"])
@pytest.mark.parametrize("name", ["trigonometric", "spiral", "mnist", "vae"])
def test_example_runs_and_draws(name, mode, tmp_path, capsys):
    picture = tmp_path / "folder" / f"{name}.png"
    result = example(name).main([*mode, "--plot", str(picture)])
    assert all(np.isfinite(result.losses))
    width, height = png_size(picture)
    assert width > 1000
    assert height > 400
    printed = capsys.readouterr().out
    assert str(picture) in printed
    assert "loss of the first epoch" in printed


def test_demo_makes_two_pictures_and_says_where(tmp_path, capsys):
    example("demo").main(["--quick", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    for name in ("trigonometric.png", "vae.png"):
        png_size(tmp_path / "out" / name)
        assert str(tmp_path / "out" / name) in printed
    assert "back end: " in printed
    assert "RMSE" in printed


@pytest.mark.parametrize("name", ["trigonometric", "vae"])
def test_same_seed_same_numbers(name):
    first, again, other = (
        example(name).main(["--epochs", "1", "--seed", seed]) for seed in ("5", "5", "6")
    )
    assert first.losses == again.losses
    assert first.losses != other.losses


@pytest.mark.parametrize("epochs", ["0", "-3", "many"])
def test_epochs_must_be_positive(epochs, capsys):
    with pytest.raises(SystemExit):
        example("spiral").main(["--epochs", epochs])
    assert "--epochs" in capsys.readouterr().err


def test_examples_stay_short():
    assert set(NAMES) >= {"demo", "mnist", "spiral", "trigonometric", "vae"}
    for name in set(NAMES) - {"pictures"}:
        lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").count("\n")
        assert lines <= 130, f"{name}.py has {lines} lines"


# ---- they learn -----------------------------------------------------------------------


def test_lstm_goes_round_the_circle_by_itself():
    result = example("trigonometric").main(["--epochs", "60"])
    assert result.losses[-1] < 0.02 < 10.0 < result.losses[0]
    assert result.rmse < 0.1


def test_lstm_learns_with_the_settings_of_the_post():
    result = example("trigonometric").main(["--post", "--epochs", "12"])
    assert result.losses[-1] < result.losses[0] / 6.0


def test_network_tells_the_spiral_arms_apart():
    result = example("spiral").main([])
    assert result.losses[-1] < 0.02
    assert result.accuracy >= 0.97


def test_network_reads_small_digits():
    result = example("mnist").main(["--epochs", "15"])
    assert result.losses[-1] < 0.05
    assert result.accuracies[-1] > 0.9


def test_auto_encoder_beats_the_mean_digit():
    module = example("vae")
    result = module.main([])
    train, test = module.load(None)
    mean = np.clip(train.x.mean(axis=0), 1e-3, 1.0 - 1e-3)
    nll = -(test.x * np.log(mean) + (1.0 - test.x) * np.log(1.0 - mean)).sum(axis=1).mean()
    assert result.bounds[-1] < nll - 1.0  # nats, and that includes the KL term
    # sampled digits differ from each other, about as much as written ones do
    assert 0.2 < result.samples.std(axis=0).mean() / test.x.std(axis=0).mean() < 1.5


def test_auto_encoder_learns_with_the_settings_of_the_post():
    result = example("vae").main(["--post", "--epochs", "40"])
    assert result.losses[-1] < result.losses[0] / 1.5
    assert result.losses[0] > 4.0  # ½ Σ error² of 64 pixels is in it


# ---- on files like MNIST's ------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The small digits, enlarged to 28 x 28, in MNIST's four files."""
    x, labels = data.digits()
    images = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3)))
    images = (255.0 * np.pad(images, ((0, 0), (2, 2), (2, 2)))).astype(np.uint8)
    for part, rows in (("train", slice(0, 1000)), ("t10k", slice(1000, 1200))):
        for name, array in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            elements = array[rows].astype(np.uint8)
            header = bytes([0, 0, 8, elements.ndim]) + struct.pack(
                f">{elements.ndim}I", *elements.shape
            )
            (tmp_path / f"{name}-ubyte").write_bytes(header + elements.tobytes())
    return str(tmp_path)


def test_network_reads_the_files(folder):
    result = example("mnist").main(["--mnist", folder, "--epochs", "5"])
    assert result.accuracies[-1] > 0.8
    assert len(set(result.accuracies)) > 1  # measured anew after each epoch


def test_large_auto_encoder_on_the_files(folder, tmp_path):
    picture = tmp_path / "vae.png"
    result = example("vae").main(["--mnist", folder, "--epochs", "3", "--plot", str(picture)])
    assert result.samples.shape == (100, 784)
    assert result.bounds == sorted(set(result.bounds), reverse=True)
    assert len(result.bounds) == 3
    png_size(picture)


def test_demo_takes_the_files_from_the_environment(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MNIST", folder)
    example("demo").main(["--quick", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "200 digits of MNIST" in printed
    assert "bound on 200 test digits" in printed


# ---- on the real files ----------------------------------------------------------------

real = pytest.mark.skipif(
    "MNIST" not in os.environ, reason="MNIST=folder with the real files not set"
)
FOLDER = os.environ.get("MNIST", "")


@real
@pytest.mark.slow
def test_network_reads_mnist():
    result = example("mnist").main(["--mnist", FOLDER, "--epochs", "2"])
    assert result.accuracies[-1] > 0.97


@real
@pytest.mark.slow
def test_auto_encoder_on_200_digits_of_mnist(tmp_path):
    picture = tmp_path / "vae.png"
    flags = ["--small", "--mnist", FOLDER, "--epochs", "60", "--plot", str(picture)]
    result = example("vae").main(flags)
    assert result.samples.shape == (100, 784)
    assert result.bounds[-1] < 165.0
    png_size(picture)
