"""The examples as modules, and the pictures that they draw."""

from __future__ import annotations

import importlib
import struct
import zlib
from pathlib import Path
from types import ModuleType

__all__ = ["EXAMPLES", "NAMES", "example", "png_size"]

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def example(name: str) -> ModuleType:
    return importlib.import_module(name)


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a complete PNG file with more than one colour."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", content[start - 8 : start - 4])
    pixels = zlib.decompressobj().decompress(content[start : start + length])
    assert len(set(pixels)) > 16
    width, height = struct.unpack(">2I", content[16:24])
    return width, height
