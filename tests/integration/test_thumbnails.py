"""Thumbnails are made by children that may die: no picture costs the program more than a thumbnail."""

import io
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from jobs.report import thumbnails
from jobs.report.thumbnails import EDGE_PX, Thumbnails
from tests.acceptance.waiting import wait_until
from tests.pictures import picture


@pytest.fixture(scope="module")
def small() -> Iterator[Thumbnails]:
    with Thumbnails(1) as made:
        yield made


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int, frames: int = 0) -> bytes:
    """A PNG of some kilobytes with side x side pixels, all of one colour."""
    packer = zlib.compressobj(9)
    lines = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    control = chunk(b"acTL", struct.pack(">II", frames, 0)) if frames else b""
    return b"\x89PNG\r\n\x1a\n" + header + control + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def kept(folder: Path, data: bytes) -> Path:
    path = folder / "1.png"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_a_picture_is_made_small(small: Thumbnails, tmp_path: Path, kind: str) -> None:
    made = small.small(kept(tmp_path, picture(kind, 900, 300)), 900, 300)
    assert made is not None
    assert Image.open(io.BytesIO(made)).size == (EDGE_PX, 107)


@pytest.mark.parametrize(
    "data",
    [
        bomb(9_000),  # its header tells; the ledger's figures may be another file's
        picture()[:-30],
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"",
    ],
)
def test_c6_what_should_not_be_decoded_has_no_thumbnail(small: Thumbnails, tmp_path: Path, data: bytes) -> None:
    assert small.small(kept(tmp_path, data), 20, 20) is None


def test_c6_frames_without_end_are_not_read(small: Thumbnails, tmp_path: Path) -> None:
    assert small.small(kept(tmp_path, bomb(64, frames=100_000)), 64, 64) is not None


def test_c6_a_picture_that_ends_its_child_costs_one_thumbnail(
    small: Thumbnails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(tmp_path, picture())
    with monkeypatch.context() as patch:
        patch.setattr(thumbnails, "_decode", signal.raise_signal)  # a fault in a decoder
        assert small.small(signal.SIGSEGV, 20, 10) is None  # type: ignore[arg-type]
    assert small.small(path, 20, 10) is not None


def test_c6_a_child_has_little_memory(small: Thumbnails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_decode", bytearray)
    with pytest.raises(MemoryError):
        small.small(2 << 30, 20, 10)  # type: ignore[arg-type]


def test_a_killed_program_leaves_no_child_behind(tmp_path: Path) -> None:
    program = f"""
import multiprocessing, sys, time
from pathlib import Path
from jobs.report.thumbnails import Thumbnails
if __name__ == "__main__":
    with Thumbnails(1) as made:
        assert made.small(Path({str(kept(tmp_path, picture()))!r}), 20, 10)
        print(multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(60)
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().decode().strip())
        assert child.exists()
        parent.kill()
    wait_until(lambda: not child.exists(), 20, lambda: f"{child} is still there")
