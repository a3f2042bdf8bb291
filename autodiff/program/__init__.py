"""Record a step once, improve the program, replay it in C."""

from __future__ import annotations

from autodiff.program.step import CompiledStep, compile

__all__ = ["CompiledStep", "compile"]
