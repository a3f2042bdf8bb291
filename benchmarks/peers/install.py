"""``python -m benchmarks.peers.install PYTHON``: the rivals into that interpreter's environment.

Requirements are installed one by one, so that one that cannot be had costs only itself; what is
missing, and why, is written to ``absent.json`` in the environment's folder.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["absent", "install", "requirements"]

# PyTorch's builds without GPU code; a local folder that pip is set up to search will do as well.
INDEX = {"torch": "https://download.pytorch.org/whl/cpu"}


def requirements() -> list[str]:
    """The lines of requirements.txt."""
    lines = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def name_of(requirement: str) -> str:
    """ "torch==2.13.0" → "torch"."""
    return re.split(r"[^A-Za-z0-9_-]", requirement, maxsplit=1)[0]


def absent(python: str | None) -> dict[str, str]:
    """What is missing in the environment of this interpreter: {distribution: reason}."""
    file = Path(python or "").parent.parent / "absent.json"
    return json.loads(file.read_text()) if python and file.exists() else {}


def install(python: str) -> dict[str, str]:
    """Install what can be had; returns what is missing."""
    missing: dict[str, str] = {}
    for requirement in requirements():
        name = name_of(requirement)
        command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        command += ["--retries", "1", requirement]
        if name in INDEX:
            command += ["--extra-index-url", INDEX[name]]
        print(f"  {requirement}", flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            missing[name] = (lines or ["pip failed"])[-1][:200]
            print(f"    absent: {missing[name]}", flush=True)
    (Path(python).parent.parent / "absent.json").write_text(json.dumps(missing, indent=1) + "\n")
    return missing


if __name__ == "__main__":
    install(sys.argv[1])
