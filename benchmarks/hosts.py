"""Other hosts on this machine: network namespaces, each with a cable to ours and an address of its own.

Called by bench_scale.py. It needs root and iproute2; `missing()` says what there is not. Servers that the hosts are
to reach listen at ADDRESS as well, which exists while the block runs.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

ADDRESS = "10.213.0.1"
NETWORK = "10.213.0.0/16"


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace; `prefix` before a command runs it there."""

    name: str

    @property
    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]


def missing() -> str:
    """What hinders the making of hosts; empty: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return "" if shutil.which("ip") else "network namespaces need the package iproute2"


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Hosts that reach each other's packets only through ours, gone at the end."""
    made = [Host(f"imagemill-{os.getpid()}-{number}") for number in range(1, count + 1)]
    _ip(f"address add {ADDRESS}/32 dev lo")
    try:
        for number, host in enumerate(made, 1):
            _connect(host, number)
        yield made
    finally:
        for host in made:
            _ip(f"netns delete {host.name}", check=False)
        _ip(f"address delete {ADDRESS}/32 dev lo", check=False)


def _connect(host: Host, number: int) -> None:
    ours, theirs, link = f"10.213.{number}.1", f"10.213.{number}.2", f"mill{os.getpid() % 100_000}v{number}"
    _ip(f"netns add {host.name}")
    _ip(f"link add {link} type veth peer name eth0 netns {host.name}")
    _ip(f"address add {ours}/30 dev {link}")
    _ip(f"link set {link} up")
    for words in (f"address add {theirs}/30 dev eth0", "link set eth0 up", "link set lo up"):
        _ip(f"-n {host.name} {words}")
    _ip(f"-n {host.name} route add default via {ours}")


def _ip(words: str, *, check: bool = True) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"ip {words}: {done.stderr.strip()}")
