"""Words about the record itself: its founding, keys, rules, refusals, exports and clock."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event, piece


@event(
    "ledger.founded", signed_by="root", clause="RECORD 1; 21 CFR 11.10(e)",
    sentence="The ledger was founded by {holder}; its first key is {public_key}",
)
class LedgerFounded:
    """Sequence number 0: enrols the root key that signs it."""

    holder: str
    public_key: str
    klass: str = "root"


@event(
    "key.enrolled", signed_by=("root", "person"), clause="RECORD 4; 21 CFR 11.100",
    sentence="A {class} key of {holder} was enrolled: {public_key}",
)
class KeyEnrolled:
    """A public key and whose it is. `identity` names how the person's identity was checked; `recovered`: the holder
    had another key that was lost, and two others stand in for its proof. `algorithm` is Ed25519 where it is not named.
    """

    klass: str
    holder: str
    public_key: str
    printed_name: str | None = None
    local_offset: str | None = None
    certificate_sha256: str | None = None
    identity: str | None = None
    at_init: bool | None = None
    recovered: bool | None = None
    algorithm: str | None = None


@event(
    "key.rotated", signed_by=("person", "service", "log", "root"), clause="RECORD 4; 21 CFR 11.300(b)",
    sentence="The {class} key {kid} of {holder} was replaced by {public_key}",
)
class KeyRotated:
    """Signed by the old key, which signs nothing after it; the new one gives its proof.

    A log key of ML-DSA-44 signs no entries: the log key beside it signs for it. A key of the house is replaced after
    two `key.rotation_signed`; `caused_by` is the second.
    """

    kid: str
    klass: str
    holder: str
    public_key: str
    printed_name: str | None = None
    local_offset: str | None = None
    certificate_sha256: str | None = None
    algorithm: str | None = None


@event(
    "key.rotation_signed", signed_by="person", clause="RECORD 4; 21 CFR 11.300",
    sentence="{actor} signed that the {class} key {kid} of {holder} is to be replaced: {because}",
)
class KeyRotationSigned:
    """Owner and QA, each once; `first` is the id of the other's entry, and the key is replaced with it."""

    klass: str
    holder: str
    kid: str
    because: str
    first: str | None = None


@event(
    "key.revoked", signed_by=("root", "person"), clause="RECORD 4; 21 CFR 11.300(c)",
    sentence="{actor} revoked key {kid}: {because}",
)
class KeyRevoked:
    """Counts from its own sequence number; `suspect_from` marks earlier entries, and never makes them invalid."""

    kid: str
    because: str
    suspect_from: int | None = None


@event(
    "key.passkey_enrolled", signed_by="person", clause="RECORD 4; W3C WebAuthn 7.1; 21 CFR 11.300",
    sentence="{actor} enrolled the passkey {label} for {rp}",
)
class KeyPasskeyEnrolled:
    """A passkey of the one who signs this: nobody enrols one for somebody else. The entry carries an assertion, by a
    passkey in force or, where there is none, by the one that it brings.

    `credential` and `public_key` are base64; the key is 32 bytes for `ed25519`, the uncompressed point of 65 bytes for
    `es256`. `rp` is the relying party's id, a host name. `synced`: the device may copy it to others of its holder.
    `alone`: while it is in force, its holder signs no entry without a passkey.
    """

    credential: str
    algorithm: str
    public_key: str
    rp: str
    label: str
    sign_count: int
    synced: bool
    alone: bool | None = None


@event(
    "key.passkey_revoked", signed_by="person", clause="RECORD 4; 21 CFR 11.300(c)",
    sentence="{actor} revoked the passkey {label} of {holder}: {because}",
)
class KeyPasskeyRevoked:
    """Counts after its own sequence number; the same credential is never enrolled again."""

    holder: str
    credential: str
    label: str
    because: str


@piece
class DeclaredWord:
    """One word as the verifier needs it."""

    name: str
    version: int
    signed_by: tuple[str, ...]
    sentence: str


@event(
    "vocabulary.adopted", signed_by=("root", "person"), clause="RECORD 4; 21 CFR 11.10(k)",
    sentence="{actor} adopted the vocabulary with digest {digest}",
)
class VocabularyAdopted:
    """Which words exist from here on and which class of key may sign each."""

    digest: str
    words: tuple[DeclaredWord, ...]


@event(
    "policy.adopted", signed_by=("root", "person"), clause="21 CFR 11.10(g)",
    sentence="{actor} adopted the policy table with digest {digest}, {rules} rules",
)
class PolicyAdopted:
    """The digest of the printed policy table in force from here on."""

    digest: str
    rules: int
    release: str


@event(
    "action.refused", signed_by="service", clause="21 CFR 11.10(g); 11.300(d)",
    sentence="{on_behalf_of} was refused {asked}: {because}",
)
class ActionRefused:
    """An attempt is evidence; coalesced per actor, rule and minute (RECORD 2)."""

    asked: str
    because: str
    about: str | None = None


@piece
class StreamEnd:
    """A stream and its next number at the time of an export."""

    stream: str
    next: int


@event(
    "export.made", signed_by="service", clause="RECORD 7; 21 CFR 11.10(b)",
    sentence="{on_behalf_of} exported {scope}, {size} entries known",
)
class ExportMade:
    """The last entry of every bundle."""

    scope: str
    streams: tuple[StreamEnd, ...]
    size: int


@event(
    "clock.stepped", signed_by="service", clause="RECORD 2; 21 CFR 11.10(e)",
    sentence="{on_behalf_of} confirmed the clock after it moved by {microseconds} microseconds",
)
class ClockStepped:
    """An operator vouched for the clock; order is the sequence number as ever."""

    microseconds: int
    because: str


@event(
    "ledger.anchored", signed_by="service", clause="RECORD 3; RFC 3161",
    sentence="The checkpoint over {size} entries was time-stamped by {authority}, token {token}",
)
class LedgerAnchored:
    """A time stamp of a public authority over a signed note; what was stamped cannot be younger than it says.

    `log_signature` is the log's ML-DSA-44 line under that note, base64 (C2SP tlog-cosignature), stamped with it.
    """

    size: int
    authority: str
    token: ObjectRef
    log_signature: str | None = None


@event(
    "ledger.rehashed", signed_by="service", clause="RECORD 3; 21 CFR 11.10(c)",
    sentence="The first {size} entries have the root {root} under {algorithm}",
)
class LedgerRehashed:
    """The tree of RFC 6962 over the exact bytes of the first entries, with another hash function than SHA-256.

    Written once a year: should SHA-256 weaken, later anchors still hold what was there before. `root` is base64.
    """

    size: int
    algorithm: str
    root: str


@event(
    "ledger.stopped", signed_by="service", clause="RECORD 3",
    sentence="Appending was stopped: {because}",
)
class LedgerStopped:
    """A witness saw a fork or a rollback; recorded when appending goes on again."""

    because: str


@event(
    "query.exported", signed_by="service", clause="RECORD 7; 21 CFR 11.10(b); EU Annex 11:2011 8.1",
    sentence="{on_behalf_of} exported {entries} entries that fit the query {query} as {form}; {withheld} of {size} "
    "entries are outside what they may read; SHA-256 {sha256}",
)
class QueryExported:
    """The answer to a question, taken away as a file of this digest, as the ledger of `size` entries stood.

    `withheld` counts the entries outside the addressee's right to read, whatever the question: a count by question
    would answer it. `through` says how the person was known: a session of the pages, or the console.
    """

    query: str
    form: str
    through: str
    scope: str
    size: int
    root: str
    entries: int
    withheld: int
    bytes: int
    sha256: str


@event(
    "ledger.continued", signed_by="person", clause="RECORD 8; 21 CFR 11.10(c)",
    sentence="{actor} continued the record of {old_origin} as {origin}: {known_size} entries were known outside, "
    "{restored_size} are here; {because}",
)
class LedgerContinued:
    """Two entries, by owner and QA, each proven by the root key; the second names the first, and both are signed for
    the new origin. `known_note` is the checkpoint outside that this record cannot lead to; roots are base64."""

    old_origin: str
    origin: str
    known_size: int
    known_root: str
    known_note: str
    restored_size: int
    restored_root: str
    because: str
    first: str | None = None


@event(
    "backup.made", signed_by="service", clause="RECORD 8; ICH E6(R3) Annex 1 4.3.3",
    sentence="{on_behalf_of} made a backup of {size} entries and {files} files, encrypted: {encrypted}; the copy was "
    "verified",
)
class BackupMade:
    """Recorded after the copy was verified; the copy itself ends before it. `manifest` is the SHA-256 of its list."""

    size: int
    root: str
    files: int
    encrypted: bool
    manifest: str
