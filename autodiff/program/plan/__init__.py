"""Decisions of a program: where values lie, in which order they are computed."""
