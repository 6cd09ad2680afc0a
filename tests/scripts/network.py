"""Who reaches for a network: a program, or whatever it starts; seen by strace, where it works."""

import re
import shutil
import subprocess
from functools import cache

CALLS = "connect,sendto,sendmsg,sendmmsg"
CLOSED_PORT = 9  # of this machine: where tests tell programs to send to
_ADDRESS = re.compile(
    r"sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(\"(?P<old>[^\"]+)\"\)|AF_INET6, \"(?P<new>[^\"]+)\")"
)


@cache
def can_watch():
    """Whether strace is here and allowed to."""
    program = shutil.which("strace")
    if program is None:
        return False
    return (
        subprocess.run([program, "-f", "-e", "trace=connect", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


def watch(command, file):
    """The command, such that what it and its children send is noted in a file; as it is where that cannot be."""
    if not can_watch():
        return command
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(file), *command]


def list_attempts(file):
    """Lines of the file that speak of other machines, or of a name server, which may be this one."""
    found = []
    for line in file.read_text(errors="replace").splitlines():
        address = _ADDRESS.search(line)
        if address is not None:
            host = address["old"] or address["new"]
            if not host.startswith(("127.", "::1", "::ffff:127.")) or int(address["port"]) in (53, CLOSED_PORT):
                found.append(line)
        elif "systemd/resolve" in line:
            found.append(line)
    return found
