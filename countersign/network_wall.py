"""The IQ's check of the wall between a model's worker process and the network: the kernel's, or what a person states.

The kernel's is attacked for real: a child behind it tries to reach a listener of this process. Where there is none, the
step is a person's: they state what stands outside of the machine's reach, with evidence, and a second person signs
the report. What the machine can see of it is held against the statement.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UnusableInput
from models_registry.isolation import network_wall
from models_registry.rules import KERNEL_WALL
from validation.ports import Found

LARGEST = 4 << 20
CONTAINER, FIREWALL = "container_without_network", "firewall"
PROBE = """
import fcntl, json, pathlib, socket, struct, sys
asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
up = lambda name: fcntl.ioctl(asks, 0x8913, struct.pack("16sH14x", name.encode(), 0))[16] & 1  # SIOCGIFFLAGS, IFF_UP
found = {"interfaces": [name for _, name in socket.if_nameindex() if up(name)]}
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2).close()
    found["listener"] = "reached"
except OSError as error:
    found["listener"] = f"errno {error.errno}"
routes = pathlib.Path("/proc/self/net/route").read_text().splitlines()[1:]
found["routes"] = sorted({line.split()[0] for line in routes})
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class StatedWall:
    """What a person says keeps this machine off the network, and the document that shows it."""

    kind: str
    evidence: bytes
    name: str

    @classmethod
    def read(cls, kind: str, evidence: str) -> StatedWall | None:
        """From the command line; None where nothing is stated. Raises UnusableInput."""
        if not kind and not evidence:
            return None
        if kind not in (CONTAINER, FIREWALL):
            raise UnusableInput(f"{kind or 'Nothing'} is no wall that a person can state: {CONTAINER} or {FIREWALL}.")
        path = Path(evidence)
        if not evidence or not path.is_file() or not 0 < path.stat().st_size <= LARGEST:
            raise UnusableInput("A stated wall needs evidence: a file with the firewall's rules, the container's "
                                f"configuration, or the approval of whoever runs it, of at most {LARGEST} bytes.")
        return cls(kind, path.read_bytes(), path.name)


def worker_network_wall(tester: str, stated: StatedWall | None) -> Found:
    """Which wall keeps a model's worker off the network here."""
    wall = network_wall()
    seen = _probe(wall)
    if wall:
        closed = seen["listener"] != "reached" and not seen["interfaces"] and not seen["routes"]
        says = (f"The kernel gives the worker an empty network namespace; a child behind it "
                f"{'could not reach' if closed else 'REACHED'} a listener of this machine.")
        return Found(closed, says, {"seen": seen}, states={"network_wall": KERNEL_WALL})
    if stated is None:
        return Found(False, "The kernel gives no network namespace, and nobody stated another wall with evidence "
                            "(--network-wall, --evidence); no model's worker starts here.", {"seen": seen})
    digest = hashlib.sha256(stated.evidence).hexdigest()
    beyond = sorted((set(seen["interfaces"]) | set(seen["routes"])) - {"lo"})
    says = (f"The kernel gives no network namespace. {tester} states by hand: {stated.kind.replace('_', ' ')}; "
            f"evidence {stated.name}, {len(stated.evidence)} bytes, {digest}. The machine sees "
            f"{'the interfaces ' + ', '.join(beyond) if beyond else 'no interface but its own loopback'}.")
    fits = stated.kind == FIREWALL or not beyond
    return Found(fits, says if fits else f"{says} That is no container without network.",
                 {"seen": seen, "stated": stated.kind, "name": stated.name,
                  "base64": base64.b64encode(stated.evidence).decode("ascii")}, states={"network_wall": stated.kind})


def _probe(wall: tuple[str, ...]) -> Mapping[str, Any]:
    """What a child behind the wall sees and reaches. Raises RuntimeError where it does not answer: a failed check."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = subprocess.run([*wall, sys.executable, "-I", "-S", "-c", PROBE, port], capture_output=True, text=True,
                              check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"the probe ended with {done.returncode}: {done.stderr[-200:]}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found
