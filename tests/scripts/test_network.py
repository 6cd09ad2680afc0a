"""The watch over the network sees what a child of a child sends, and what goes to a name server of this machine."""

import subprocess
import sys

import pytest

from longplay.tests.scripts import network

SEND = """
import socket, subprocess, sys
if len(sys.argv) > 1:
    for host, port in (("192.0.2.1", 443), ("127.0.0.1", 53), ("127.0.0.1", 8080)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((host, port))
else:
    subprocess.run([sys.executable, "-c", sys.stdin.read(), "child"], check=True)
"""


def test_attempts_of_children_are_seen(tmp_path):
    if not network.can_watch():
        pytest.skip("strace, which sees what child processes send, is not here or not allowed")
    command = network.watch([sys.executable, "-c", SEND], tmp_path / "sent")
    subprocess.run(command, input=SEND, text=True, check=True)
    first, second = network.list_attempts(tmp_path / "sent")
    assert "192.0.2.1" in first
    assert "htons(53)" in second
