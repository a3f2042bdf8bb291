"""Graphs to draw, and what the text of a picture says: its boxes, arrows and frames."""

from __future__ import annotations

import re

import numpy as np

import autodiff
from autodiff import nn

BOX = re.compile(r'^ +(n\d+|outside\d+) \[label="((?:[^"\\]|\\.)*)"(.*)\];$', re.MULTILINE)
ARROW = re.compile(r"^ +(\w+) -> (\w+) \[(.*)\];$", re.MULTILINE)


def boxes(text):
    return {name: label for name, label, _ in BOX.findall(text)}


def labels(text):
    return sorted(boxes(text).values())


def arrows(text):
    """(label of the source, label of the target, options) of each arrow."""
    named = boxes(text)
    return [(named[a], named[b], options) for a, b, options in ARROW.findall(text)]


def frames(text):
    return [int(n) for n in re.findall(r'label="× (\d+)"', text)]


def the_arrow(text, source, target):
    (found,) = [o for a, b, o in arrows(text) if a.startswith(source) and b.startswith(target)]
    return found


def tensor(*shape, **options):
    return autodiff.Tensor(np.full(shape, 0.5), **options)


def lstm(n_steps, n_layers=1):
    xs = np.zeros((n_steps, 1, 2))
    for i in range(n_layers):
        layer = nn.LSTM(xs[0].shape[1], 3, random=i, name=f"layer{i}")
        xs, (h, _) = nn.unroll(layer, xs, *layer.initial_state(1))
    return h
