"""The pages of a house on a free port of loopback, by the server that serves them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.house import HouseUnderTest


def free_port() -> socket.socket:
    """A socket bound to a port of loopback that nobody has."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


@contextmanager
def pages_served(
    house: HouseUnderTest, passwords: dict[str, str], *, at: socket.socket | None = None, watching: bool = False
) -> Iterator[str]:
    """The address; these people can log in by these passwords. `watching`: pages learn of new entries by themselves."""
    import uvicorn

    from countersign.web.accounts import Passwords, set_password
    from countersign.web.app import build_app

    for user, password in passwords.items():
        set_password(house.desk, Passwords(64, 1, 1), user, password)
    listener = at or free_port()
    server = uvicorn.Server(uvicorn.Config(build_app(house.house, watching=watching), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and time.monotonic() < end:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
