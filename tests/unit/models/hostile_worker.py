"""Stands in for worker.py in tests: does what no model may get away with. `python hostile_worker.py ROOT FOLDER`.

What to do is in the bundle's file `deed`; what it found is the last line it says.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def network(port: int) -> dict[str, object]:
    """Every way to a network that needs no Python: the kernel's calls themselves."""
    found: dict[str, object] = {}
    address = struct.pack("<HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton("127.0.0.1"))
    made = LIBC.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    found["connect"] = LIBC.connect(made, address, len(address)) or "connected"
    found["connect_errno"] = ctypes.get_errno()
    found["interface_up"] = LIBC.ioctl(made, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    found["joined"] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            handle = LIBC.open(str(process / "ns" / "net").encode(), os.O_RDONLY)
            if handle >= 0 and LIBC.setns(handle, CLONE_NEWNET) == 0:
                found["joined"] = [process.name]
                break
    return found


def rights() -> dict[str, object]:
    """What the worker may and holds."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    bundle = Path(sys.argv[2]) / "bundle"
    return {
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16) * (
            os.getuid() == 0),
        "no_new_privileges": status["NoNewPrivs"], "umask": status["Umask"],
        "handles": sorted(int(one.name) for one in Path("/proc/self/fd").iterdir())[:-1],
        "environment": sorted(os.environ), "writes_in_bundle": os.access(bundle, os.W_OK) or any(
            os.access(one, os.W_OK) for one in bundle.rglob("*")),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


def left_behind(marker: str, count: int, *, stay: bool) -> None:
    """Grandchildren in sessions of their own, deaf to polite signals; the child between ends, so they are orphans."""
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(120)", marker])
            os._exit(0)
    if stay:
        time.sleep(120)
    time.sleep(0.3)


deed = json.loads((Path(sys.argv[2]) / "bundle" / "deed").read_text())
if deed["do"] == "network":
    print(json.dumps(network(deed["port"])))
elif deed["do"] == "rights":
    print(json.dumps(rights()))
elif deed["do"] == "children":
    waiting = [subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(120)", deed["marker"]])
               for _ in range(deed["count"])]
    time.sleep(120)
elif deed["do"] == "orphans":
    left_behind(deed["marker"], deed["count"], stay=deed["stay"])
    print(json.dumps("left"))
sys.exit(1)
