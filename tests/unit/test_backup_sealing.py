"""Sealed backups open for their key alone, and only whole."""

import io
import random
from pathlib import Path

import pytest

from backend.backup.sealing import FRAME_BYTES, BackupKey, Sealer, create_keys, opened, read_key, read_public_key
from backend.backup.shelf import Shelf
from backend.errors import BackupError

TAG_BYTES = 16
HEADER_BYTES = 40


@pytest.fixture
def key(tmp_path: Path) -> BackupKey:
    create_keys(tmp_path / "backup.key")
    return read_key(tmp_path / "backup.key")


def sealed(text: bytes, key: BackupKey, *, piece: int = 10_000) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, key.public)
    for start in range(0, len(text), piece):
        sealer.write(text[start : start + piece])
    sealer.close()
    return file.getvalue()


def text_of(data: bytes, key: BackupKey) -> bytes:
    return b"".join(opened(io.BytesIO(data), key, "the file"))


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES])
def test_what_was_sealed_opens(key: BackupKey, size: int) -> None:
    text = random.Random(size).randbytes(size)
    data = sealed(text, key)
    assert text_of(data, key) == text
    assert size < 100 or text[:100] not in data


@pytest.mark.parametrize("position", [0, 10, HEADER_BYTES + 5, HEADER_BYTES + FRAME_BYTES + TAG_BYTES + 1, -1])
def test_a_changed_byte_does_not_open(key: BackupKey, position: int) -> None:
    data = bytearray(sealed(bytes(2 * FRAME_BYTES), key))
    data[position] ^= 1
    with pytest.raises(BackupError, match="the file"):
        text_of(bytes(data), key)


def test_a_file_cut_short_between_two_frames_does_not_open(key: BackupKey) -> None:
    data = sealed(bytes(2 * FRAME_BYTES), key)
    for length in (0, HEADER_BYTES, HEADER_BYTES + FRAME_BYTES + TAG_BYTES, len(data) - 1):
        with pytest.raises(BackupError):
            text_of(data[:length], key)


def test_frames_in_another_order_do_not_open(key: BackupKey) -> None:
    data, frame = sealed(bytes(3 * FRAME_BYTES), key), FRAME_BYTES + TAG_BYTES
    header, frames = data[:HEADER_BYTES], data[HEADER_BYTES:]
    with pytest.raises(BackupError, match="does not open"):
        text_of(header + frames[frame : 2 * frame] + frames[:frame] + frames[2 * frame :], key)


def test_another_key_opens_nothing(key: BackupKey, tmp_path: Path) -> None:
    create_keys(tmp_path / "other.key")
    with pytest.raises(BackupError, match="sealed for another key"):
        text_of(sealed(b"text", key), read_key(tmp_path / "other.key"))


def test_key_files_are_never_overwritten_nor_read_if_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "backup.key"
    public = create_keys(path)
    assert read_public_key(public).public_bytes_raw() == read_key(path).public.public_bytes_raw()
    with pytest.raises(BackupError, match="exists and is left as it is"):
        create_keys(path)
    assert "kale-backup-secret" in path.read_text()
    path.chmod(0o640)
    with pytest.raises(BackupError, match="chmod 600"):
        read_key(path)
    with pytest.raises(BackupError, match="holds no such key"):
        read_key(public)


def put_base(shelf: Shelf, finished_at: float, first_segment: str) -> None:
    new = shelf.begin_base(finished_at)
    new.tar.write_bytes(b"sealed")
    new.finish(started_at=finished_at - 1, finished_at=finished_at, first_segment=first_segment)


def test_pruning_keeps_what_the_oldest_moment_needs(tmp_path: Path, key: BackupKey) -> None:
    shelf = Shelf(tmp_path / "backups")
    for number in range(1, 5):
        put_base(shelf, 1_000.0 * number, f"0000000100000000000000{number:02X}")
    for number in range(1, 6):
        segment = tmp_path / f"0000000100000000000000{number:02X}"
        segment.write_bytes(b"log")
        shelf.put_wal(segment, key.public)
    history = tmp_path / "00000002.history"
    history.write_bytes(b"history")
    shelf.put_wal(history, key.public)
    assert shelf.prune(2_500.0) == 1, "the second is needed for the moments from 2500 to 3000"
    assert [base.finished_at for base in shelf.bases()] == [2_000.0, 3_000.0, 4_000.0]
    assert shelf.wal_names() == {f"0000000100000000000000{number:02X}" for number in range(2, 6)} | {"00000002.history"}
    assert shelf.prune(9_000.0) == 2, "the newest is never removed"
    assert [base.finished_at for base in shelf.bases()] == [4_000.0]


def test_a_segment_takes_the_place_of_its_part(tmp_path: Path, key: BackupKey) -> None:
    shelf = Shelf(tmp_path / "backups")
    segment = tmp_path / "000000010000000000000003"
    partial = segment.with_name(segment.name + ".partial")
    partial.write_bytes(b"part")
    shelf.put_wal(partial, key.public)
    assert shelf.unpack_wal(segment.name, tmp_path / "first", key) == 1
    assert (tmp_path / "first" / segment.name).read_bytes() == b"part"
    segment.write_bytes(b"whole")
    shelf.put_wal(segment, key.public)
    assert shelf.wal_names() == {segment.name}
    shelf.unpack_wal(segment.name, tmp_path / "second", key)
    assert (tmp_path / "second" / segment.name).read_bytes() == b"whole"


def test_a_base_backup_cut_short_is_not_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "backups")
    shelf.begin_base(1_000.0).tar.write_bytes(b"half")
    assert shelf.bases() == []
    put_base(shelf, 2_000.0, "000000010000000000000001")
    assert [base.finished_at for base in shelf.bases()] == [2_000.0]
    assert len(list((tmp_path / "backups" / "base").iterdir())) == 1
