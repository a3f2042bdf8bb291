"""What `make demo` runs: the post's LSTM on the circle, then its auto-encoder on 200 digits."""

from __future__ import annotations

import argparse
import os
import time

import trigonometric
import vae

import autodiff


def main(argv: list[str] | None = None) -> None:
    """Run both, draw two pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="out", metavar="FOLDER", help="for the pictures")
    parser.add_argument("--mnist", default=os.environ.get("MNIST"), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="a few epochs only")
    args = parser.parse_args(argv)
    quick = ["--quick"] if args.quick else []
    digits = ["--mnist", args.mnist] if args.mnist else []
    start = time.perf_counter()
    print(f"autodiff {autodiff.__version__}, back end: {autodiff.get_backend().name}")

    print("\nLSTM 2-15-2, 5 unrolled steps, learns to go round a circle")
    trigonometric.main([*quick, "--compare", "--plot", os.path.join(args.out, "trigonometric.png")])

    print(f"\nvariational auto-encoder, 200 digits{' of MNIST' if digits else ''}")
    vae.main([*quick, "--compare", "--small", *digits, "--plot", os.path.join(args.out, "vae.png")])

    print(f"\n{time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
