"""The search for secrets finds them, however they are written and wherever they lie."""

import base64
import json
import os
import socket
import subprocess
import sys

import pytest
from stellar_sdk import Keypair, StrKey

from tests.fixtures.canary import Canaries, LoopbackPackets, encodings, environment_of, memory_of

SEED = bytes(range(100, 132))
OTHER = bytes(range(200, 220))
CANARIES = Canaries({"farmer": SEED})


@pytest.mark.parametrize("form", encodings(SEED))
def test_every_form_is_found(form: str) -> None:
    assert CANARIES.found(b"before" + encodings(SEED)[form] + b"after")


@pytest.mark.parametrize(
    "text",
    [
        StrKey.encode_ed25519_secret_seed(SEED).encode(),
        json.dumps({"seed": list(SEED)}).encode(),
        repr(Keypair.from_raw_ed25519_seed(SEED).secret).encode(),
        *(base64.b64encode(OTHER[:shift] + SEED + OTHER[:7]) for shift in range(6)),
        *(base64.urlsafe_b64encode(OTHER[:shift] + SEED + OTHER[:8]) for shift in range(6)),
    ],
)
def test_seed_within_other_text_is_found(text: bytes) -> None:
    assert CANARIES.found(b"x" + text + b"x")


def test_other_bytes_are_not_taken_for_the_seed() -> None:
    assert CANARIES.found(os.urandom(1 << 20) + SEED[:31]) == set()


def test_seed_cut_between_two_pieces_is_found() -> None:
    assert CANARIES.found_in_all([b"abc" + SEED[:5], SEED[5:]]) == {"farmer: raw"}


def test_seed_is_found_in_memory_and_environment_of_a_process() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; seed = sys.stdin.buffer.read(32); print('ready', flush=True); input()",
    ]
    environment = {**os.environ, "SECRET": StrKey.encode_ed25519_secret_seed(SEED)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(SEED)
        child.stdin.flush()
        child.stdout.readline()
        in_memory = CANARIES.found_in_all(memory_of(child.pid))
        in_environment = CANARIES.found(environment_of(child.pid))
        child.kill()
    assert {"farmer: raw", "farmer: strkey"} <= in_memory
    assert in_environment == {"farmer: strkey"}


@pytest.mark.skipif(not LoopbackPackets.allowed(), reason="recording packets takes the right to open raw sockets")
def test_seed_is_found_in_packets() -> None:
    with (
        LoopbackPackets() as packets,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        client.sendall(SEED)
        peer, _ = server.accept()
        with peer:
            assert peer.recv(64) == SEED
    assert "farmer: raw" in CANARIES.found(packets.recorded)
