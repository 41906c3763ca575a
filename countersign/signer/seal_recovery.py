"""The recovery key of the seals: split between two persons, put in force by what they signed, used when secrets are
lost (RECORD 5)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Engine

from audit import store
from audit.entry import Entry, from_base64
from core.clock import Clock
from core.errors import NotAuthenticated, NotFound, OutsideUnavailable, RecordDamaged, Refused, UnusableInput
from core.reads.ports import Recovered, RecoveryKey, SealState
from core.reads.sealing import SealSecret
from countersign.signer.keyfiles import KeyFolder
from countersign.signer.seal_backup import SealBackup, join, name_of, read_share, split
from countersign.signer.seals import SealBox, secret_of

OFFER_LIFE_US = 15 * 60 * 1_000_000
AGAIN = "Both begin again: `countersign seals recover`; the first share waits for 15 minutes."


class SealRecovery:
    """The recovering half of core.reads.ports.SealKeeper. It believes committed entries of two persons only."""

    def __init__(self, keys: KeyFolder, engine: Engine, box: SealBox, backup: SealBackup, clock: Clock) -> None:
        self._keys, self._engine, self._box, self._backup, self._clock = keys, engine, box, backup, clock

    # A new key -------------------------------------------------------------------------------------------

    def new_recovery_key(self) -> RecoveryKey:
        """Make a key; the second share is kept under the pepper until its holder has signed."""
        private = X25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        first, second = split(private)
        name = name_of(public)
        self._keys.write("seal-recovery", name, {"share": self._keys.seal(f"seal-share/{name}", second.encode())})
        return RecoveryKey(public, first)

    def second_share(self, public_key: bytes) -> str:
        name = name_of(public_key)
        kept = self._keys.read("seal-recovery", name)
        return self._keys.unseal(f"seal-share/{name}", kept["share"]).decode()

    def put_in_force(self, public_key: bytes, entry: str) -> int:
        found = self._signed(entry, "seal_key.enrolled")
        if found is None or from_base64(found.body["fields"]["public_key"]) != public_key:
            raise Refused("No committed entry of two persons enrols this recovery key.", rule="F-535")
        if not self._backup.put_in_force(public_key, found.seq):
            return 0
        wrapped = 0
        for commit in self._box.commits():
            if not self._backup.has(commit):
                self._backup.keep(commit, _raw(self._box.secret(commit)))
                wrapped += 1
        self._keys.path("seal-recovery", name_of(public_key)).unlink(missing_ok=True)
        return wrapped

    # Recovery --------------------------------------------------------------------------------------------

    def offer_share(self, share: str) -> None:
        read_share(share)
        kept = self._keys.seal("seal-offer", share.encode())
        self._keys.write("seal-recovery", "offer", {"share": kept, "until": self._clock.now() + OFFER_LIFE_US})

    def recover(self, share: str, entry: str) -> Recovered:
        private = join(self._offered(), share)
        if self._signed(entry, "seals.recovery_ordered") is None:
            raise Refused("No two persons have signed for this recovery.", rule="F-535")
        restored = sound = unreadable = 0
        for commit in self._backup.commits():
            if self._is_sound(commit):
                sound += 1
                continue
            raw = self._backup.unwrap(commit, private)
            if raw is None:
                unreadable += 1
                continue
            self._box.keep(commit, secret_of(raw, commit))
            restored += 1
        self._keys.path("seal-recovery", "offer").unlink(missing_ok=True)
        return Recovered(restored, sound, unreadable)

    def check_shares(self, share: str) -> None:
        """Raises UnusableInput where this share and the offered one are not of one key."""
        join(self._offered(), share)

    def _offered(self) -> str:
        try:
            offer = self._keys.read("seal-recovery", "offer")
        except NotFound as error:
            raise UnusableInput("No first share was given.", next_step=AGAIN) from error
        if self._clock.now() > offer["until"]:
            self._keys.path("seal-recovery", "offer").unlink(missing_ok=True)
            raise UnusableInput("The first share was given more than 15 minutes ago.", next_step=AGAIN)
        try:
            return self._keys.unseal("seal-offer", offer["share"]).decode()
        except NotAuthenticated as error:
            raise UnusableInput("The first share was changed at rest.", next_step=AGAIN) from error

    def state_of_seals(self) -> SealState:
        commits = self._box.commits()
        try:
            name = name_of(self._backup.in_force())
        except OutsideUnavailable:
            return SealState(len(commits), len(commits), None)
        return SealState(len(commits), sum(not self._backup.has(commit) for commit in commits), name)

    def _is_sound(self, commit: str) -> bool:
        try:
            self._box.secret(commit)
        except RecordDamaged:
            return False
        return True

    def _signed(self, identifier: str, action: str) -> Entry | None:
        """The committed entry, where it is the second of two persons' or the founding's own; else None."""
        with self._engine.connect() as session, session.begin():
            entry = store.entry_by_id(session, identifier)
            if entry is None or entry.body["action"] != action:
                return None
            fields = dict(entry.body["fields"])
            if fields.pop("at_init", False):
                return entry
            first = store.entry_by_id(session, str(fields.pop("first", "")))
        if first is None or first.body["action"] != action or first.body["actor"] == entry.body["actor"]:
            return None
        same = {key: value for key, value in first.body["fields"].items() if key != "first"} == fields
        return entry if same and "first" not in first.body["fields"] else None


def _raw(secret: SealSecret) -> bytes:
    return secret.key + secret.nonce + secret.iv
