"""Identifiers: time-ordered UUIDs (RFC 9562, version 7) and derived ones."""

from __future__ import annotations

import hashlib
import secrets
import uuid

NOISE = 10  # bytes of chance in an id


def uuid7(now_us: int, *, random: bytes | None = None) -> str:
    """A version 7 UUID for an instant in microseconds since 1970 (RFC 9562, 5.7). `random`: NOISE bytes of chance."""
    noise = int.from_bytes(random if random is not None else secrets.token_bytes(NOISE), "big")
    milliseconds = (now_us // 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 64 & 0xFFF) << 64 | 0b10 << 62 | (noise & ((1 << 62) - 1))
    return str(uuid.UUID(int=value))


def uuids7(now_us: int, many: int) -> list[str]:
    """So many of them for one instant: what they share is put together once."""
    head, noise = uuid7(now_us, random=bytes(NOISE))[:15], secrets.token_bytes(NOISE * many).hex()
    return [
        f"{head}{noise[at:at + 3]}-{'89ab'[int(noise[at + 3], 16) & 3]}{noise[at + 4:at + 7]}-{noise[at + 7:at + 19]}"
        for at in range(0, 2 * NOISE * many, 2 * NOISE)
    ]


def derived_uid(*parts: str) -> str:
    """A DICOM UID under 2.25 derived from text parts; the same parts give the same UID (PS3.5 B.2)."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
