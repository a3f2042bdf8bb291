"""Writes docs/numpy.md: which of NumPy's and SciPy's functions take nodes, and how.

    python -m benchmarks.names [--check]

Every function is called with nodes, and what the document says of it is what was found. With
--check nothing is written, and it exits with 1 if the document says anything else.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.names.document import DOCUMENT, document


def main() -> int:
    """Write the document, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if false")
    text = document()
    if not parser.parse_args().check:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif DOCUMENT.read_text(encoding="utf-8") != text:
        print(f"{DOCUMENT} is not what the functions are; python -m benchmarks.names writes it")
        return 1
    return 0


sys.exit(main())
