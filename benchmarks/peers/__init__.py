"""The rivals, one file each; see ``benchmarks/contestant.py`` for what a file must have."""
