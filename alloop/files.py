"""Files that survive a kill and a power cut: directories that appear whole or not at all, lines that are never torn."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def publish(final: Path, fill: Callable[[Path], None]) -> Path:
    """Make `fill` write into an empty directory, then let it appear as `final`, whole and on disk.

    Does nothing where `final` is already whole. A damaged `final` is replaced. What a killed attempt left is removed.
    """
    if is_whole(final):
        return final
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in final.parent.glob(f".{final.name}.*"):
        shutil.rmtree(leftover)
    shutil.rmtree(final, ignore_errors=True)
    attempt = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    fill(attempt)
    seal(attempt)
    attempt.rename(final)
    _sync(final.parent)
    return final


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A path of the same name on the same disk, to be renamed; whatever is left there is gone afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.absolute(), prefix=".alloop-export-") as scratch:
        yield Path(scratch) / target.name


def seal(directory: Path) -> None:
    """Write down what a directory holds, and bring all of it to the disk."""
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != MANIFEST]
    digests = {str(path.relative_to(directory)): _digest(path) for path in paths}
    (directory / MANIFEST).write_text(json.dumps(digests, indent=1))
    for path in [*directory.rglob("*"), directory]:
        _sync(path)


def is_whole(directory: Path) -> bool:
    """Whether a published directory is there with every file as it was written."""
    try:
        files = json.loads((directory / MANIFEST).read_text())
        return all(_digest(directory / name) == digest for name, digest in files.items())
    except (OSError, ValueError):
        return False


def append_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records to a file of JSON lines; each is on disk when this returns. A torn last line is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines, without a torn last line; none where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        yield json.loads(line)


def write_whole(path: Path, content: str) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    attempt = path.with_name(f".{path.name}.new")
    with open(attempt, "w", encoding="utf-8", newline="") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    attempt.replace(path)
    _sync(path.parent)


def fingerprint(value: Any) -> str:
    """Twelve hex digits that stand for a JSON-serialisable value."""
    content = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
