"""Files that are read are ordinary ones; files that are written appear complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from types import ModuleType
from typing import BinaryIO

from autodiff.errors import AutodiffError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # there are no such locks
    fcntl = None

__all__ = ["check_target", "open_file", "replace_atomically"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: str, error: type[AutodiffError]) -> BinaryIO:
    """Open an ordinary file to read it; never waits, as opening a pipe would.

    Raises
    ------
    error
        If it is something else, or symbolic links lead in a circle.
    OSError
        If it is not there, or may not be read.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    except OSError:
        _refuse(path, _mode(path, error), error)
        raise
    try:
        _refuse(path, os.fstat(file.fileno()).st_mode, error)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check_target(path: str, error: type[AutodiffError]) -> None:
    """Raise `error` unless `path` is an ordinary file, or there is a folder to make it in."""
    mode = _mode(path, error)
    _refuse(path, mode, error)
    folder = os.path.dirname(path)
    if mode is None and not os.path.isdir(folder):
        raise error(f"{path}: there is no folder {folder}; make it first")


def _mode(path: str, error: type[AutodiffError]) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError as found:
        if found.errno == errno.ELOOP:
            raise error(f"{path}: symbolic links lead in a circle") from found
        return None


def _refuse(path: str, mode: int | None, error: type[AutodiffError]) -> None:
    if mode is not None and not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise error(f"{path} is {kind}, not an ordinary file")


# ---- all or nothing -------------------------------------------------------------------


def replace_atomically(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a new file in the same folder, then give it the name `path`.

    What a killed process left half written is removed by the next one that writes to `path`.
    """
    folder, name = os.path.split(path)
    # Not the name itself: with more around it, it may be too long.
    prefix = f".{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}-"
    _remove_left_behind(folder, prefix)
    file = _new_file(folder, prefix)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.chmod(file.name, os.stat(path).st_mode & 0o7777)
            os.replace(file.name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)
        raise
    with contextlib.suppress(OSError):  # not every file system lets a folder be synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_file(folder: str, prefix: str) -> BinaryIO:
    """A new file, locked as long as it is open: so it is not taken for one left behind."""
    while True:
        path = os.path.join(folder, f"{prefix}{secrets.token_hex(8)}.tmp")
        # Not tempfile: the new file gets the usual permissions, not 0600.
        file = open(path, "xb")  # noqa: SIM115 (the caller closes it)
        _lock(file, wait=True)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()  # it was taken for one left behind, before it was locked


def _remove_left_behind(folder: str, prefix: str) -> None:
    if fcntl is None:
        return
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix) and e.name.endswith(".tmp")]
    for name in names:
        path = os.path.join(folder, name)
        with (
            contextlib.suppress(OSError),
            open(path, "r+b", opener=_no_link_without_waiting) as file,
        ):
            if _lock(file, wait=False):
                os.unlink(path)


def _no_link_without_waiting(path: str, flags: int) -> int:
    return _without_waiting(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock the file until it is closed; False if it cannot be had."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another one has it, or the file system has no locks
        return False
    return True
