"""The pictures of the examples, in colours that colour-blind people can tell apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from autodiff.data import Labelled

__all__ = ["eight_schools", "gaussian_process", "mnist", "spiral", "trigonometric", "vae"]

# Okabe and Ito, "Color universal design", 2008.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000"]


def figure(width: float, height: float) -> Figure:
    """An empty figure, drawn without a display."""
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def curve(
    axes: Axes, lines: dict[str, Sequence[float]], *, title: str, y: str, scale: str = "log"
) -> None:
    """Lines over epochs, counted from 1."""
    for (label, values), marker in zip(lines.items(), "os", strict=False):
        few = marker if len(values) <= 30 else None
        axes.plot(range(1, len(values) + 1), values, label=label, marker=few, markersize=3)
    axes.set(title=title, xlabel="epoch", ylabel=y, yscale=scale)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(lines) > 1:
        axes.legend(frameon=False)


def digits(axes: Axes, images: np.ndarray, n_columns: int, title: str) -> None:
    """Images, shape (n, side²), in a grid with thin lines between them."""
    side = round(images.shape[1] ** 0.5)
    zoom = max(1, 32 // side)
    tile = zoom * (side + 2)  # with a margin
    step = tile + 1
    n_rows = -(-len(images) // n_columns)
    sheet = np.full((n_rows * step - 1, n_columns * step - 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // n_columns * step, i % n_columns * step
        pixels = np.pad(image.reshape(side, side), 1)
        sheet[top : top + tile, left : left + tile] = np.kron(pixels, np.ones((zoom, zoom)))
    axes.imshow(sheet, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set_facecolor(COLOURS[5])
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def save(picture: Figure, path: str) -> None:
    """Write the picture, make its folder if need be, and say where it is."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)
    print(f"picture: {path}")


# ---- one for each example -------------------------------------------------------------


def trigonometric(
    path: str,
    true: np.ndarray,
    generated: np.ndarray,
    n_given: int,
    losses: Sequence[float],
    rmse: float,
) -> None:
    """Generated against true coordinates, shape (n, 2), and the loss."""
    picture = figure(10, 3.4)
    left, right = picture.subplots(1, 2, width_ratios=[2.2, 1])
    t = np.arange(len(true))
    for axis, name in enumerate(["cos", "sin"]):
        colour, made = COLOURS[axis], generated[n_given:, axis]
        left.plot(t, true[:, axis], color=colour, alpha=0.35, linewidth=4, label=f"true {name}")
        left.plot(t[n_given:], made, ".-", color=colour, linewidth=0.8, label=f"generated {name}")
    left.axvspan(0, n_given - 1, color="0.85", label=f"the {n_given} points given")
    left.set(xlabel="step", ylabel="coordinate", ylim=(-1.3, 1.3))
    left.set_title(f"{len(true) - n_given} points generated from {n_given}: RMSE {rmse:.3f}")
    handles, labels = left.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False)
    curve(right, {"loss": losses}, title="Training", y="½ Σ error² an epoch")
    save(picture, path)


def spiral(
    path: str,
    train: Labelled,
    test: Labelled,
    scores: Callable[[np.ndarray], np.ndarray],
    losses: Sequence[float],
    accuracy: float,
) -> None:
    """Which class the network sees where, the points, and the loss."""
    picture = figure(9, 4)
    left, right = picture.subplots(1, 2, width_ratios=[1.1, 1])
    ticks = np.linspace(-1.3, 1.3, 300)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    classes = scores(plane).argmax(axis=1).reshape(len(ticks), len(ticks))
    shades = ListedColormap(COLOURS[:3])
    left.pcolormesh(ticks, ticks, classes, cmap=shades, vmin=0, vmax=2, alpha=0.2, rasterized=True)
    for part, size, edge, name in [(train, 9, "none", "training"), (test, 26, "black", "test")]:
        for label, marker in enumerate("os^"):
            x, y = part.x[part.labels == label].T
            style = {"marker": marker, "linewidths": 0.7, "edgecolors": edge}
            words = f"class {label}, {name}"
            left.scatter(x, y, size, COLOURS[label], label=words, **style)
    left.set(xlabel="x", ylabel="y", aspect="equal")
    left.set_title(f"{accuracy:.1%} of {len(test.x)} test points in the right region")
    left.grid(visible=False)
    handles, labels = left.get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower left", ncols=6, frameon=False, fontsize=8)
    curve(right, {"loss": losses}, title="Training", y="mean loss of an epoch")
    save(picture, path)


def mnist(
    path: str,
    test: Labelled,
    scores: np.ndarray,
    losses: Sequence[float],
    accuracies: Sequence[float],
) -> None:
    """The loss, the test error, and the digits that were read wrong."""
    picture = figure(10, 3.6)
    left, middle, right = picture.subplots(1, 3, width_ratios=[1, 1, 1.3])
    curve(left, {"loss": losses}, title="Training", y="mean loss of an epoch")
    errors = [100.0 - 100.0 * a for a in accuracies]
    title = f"{accuracies[-1]:.2%} of {len(test.x)} read right"
    curve(middle, {"error": errors}, title=title, y="test digits read wrong, %", scale="linear")
    middle.set_ylim(bottom=0.0)
    guess = scores.argmax(axis=1)
    wrong = np.flatnonzero(guess != test.labels)[:30]
    right.set_title("Read wrong: what is written → what was read")
    right.set_axis_off()
    for i, k in enumerate(wrong):
        left_edge, top = i % 6 / 6, 1.0 - (i // 6 + 1) / 5
        tile = right.inset_axes((left_edge, top, 0.15, 0.15))
        side = round(test.x.shape[1] ** 0.5)
        tile.imshow(test.x[k].reshape(side, side), cmap="gray_r", interpolation="nearest")
        tile.set_title(f"{test.labels[k]} → {guess[k]}", fontsize=7, pad=1)
        tile.set(xticks=[], yticks=[])
        tile.spines[:].set_visible(False)
    save(picture, path)


def vae(
    path: str,
    samples: np.ndarray,
    images: np.ndarray,
    again: np.ndarray,
    losses: Sequence[float],
    bounds: Sequence[float],
) -> None:
    """Digits made from noise; digits and what comes back; the loss."""
    picture = figure(10, 4)
    left, middle, right = picture.subplots(1, 3, width_ratios=[1.1, 0.55, 1])
    digits(left, samples, 10, f"{len(samples)} digits sampled from the decoder")
    pairs = np.stack([images, again], axis=1).reshape(-1, images.shape[1])
    digits(middle, pairs, 4, "Digit, reconstruction")
    lines = {"training": losses}
    if len(bounds) == len(losses):
        lines["test"] = bounds
    curve(right, lines, title="Training", y="loss: nats a digit", scale="linear")
    save(picture, path)


def eight_schools(
    path: str, table: dict[str, np.ndarray], effects: np.ndarray, errors: np.ndarray
) -> None:
    """Intervals of the schools beside what they reported, and how the spread is distributed."""
    picture = figure(9.0, 4.0)
    left, right = picture.subplots(1, 2)
    schools = [x for name, x in table.items() if name.startswith("school")]
    for i, x in enumerate(schools):
        low, high = np.quantile(x, [0.05, 0.95])
        left.plot([low, high], [i, i], color=COLOURS[0], linewidth=3)
        left.plot([x.mean()], [i], "o", color=COLOURS[0], label=None if i else "posterior, 90 %")
        span = 1.645 * errors[i]
        left.plot([effects[i] - span, effects[i] + span], [i + 0.25] * 2, color=COLOURS[1])
        left.plot([effects[i]], [i + 0.25], "o", color=COLOURS[1], label=None if i else "reported")
    left.axvline(table["mean"].mean(), color="black", linewidth=0.8, linestyle=":")
    left.set(yticks=range(8), yticklabels=list("ABCDEFGH"), xlabel="effect", ylabel="school")
    left.legend(frameon=False, loc="center right")
    right.hist(table["spread"], bins=np.linspace(0.0, 20.0, 61), color=COLOURS[2])
    right.set(xlabel="spread between schools", ylabel="draws")
    save(picture, path)


def gaussian_process(
    path: str,
    x: np.ndarray,
    y: np.ndarray,
    new: np.ndarray,
    true: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
) -> None:
    """Points, the true curve, and the predicted one with a band of two standard deviations."""
    picture = figure(8.0, 4.0)
    axis = picture.subplots()
    axis.fill_between(
        new, mean - 2.0 * spread, mean + 2.0 * spread, alpha=0.2, linewidth=0.0, color=COLOURS[0]
    )
    axis.plot(new, mean, label="predicted, ± 2 standard deviations")
    axis.plot(new, true, "--", color=COLOURS[6], linewidth=1.0, label="true")
    axis.plot(x, y, ".", color=COLOURS[1], label="measured")
    axis.set(xlabel="x", ylabel="y")
    axis.legend(frameon=False)
    save(picture, path)
