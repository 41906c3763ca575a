"""The committed tree as a signer sees it by itself: leaves read from committed rows, never taken from the asker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from audit import proofs, store
from audit.lookout import Glance
from core.errors import RecordDamaged
from countersign.signer.memory import HeadMemory


class CommittedTree:
    """Its frontier, advanced at each look; and the tree of the leaves that were offered for the last note, which is
    taken again where exactly those are found committed (design record 0144). Not for several threads at once, but for
    `look_ahead`."""

    def __init__(
        self, engine: Engine, memory: HeadMemory | None, follow: Callable[[proofs.Checkpoint | None], None]
    ) -> None:
        """`follow`: told the last committed note of each look; raises where the signer does not accept it."""
        self._engine, self._memory, self._follow = engine, memory, follow
        self._lookout = store.lookout(engine)
        self._frontier: proofs.Frontier | None = None
        self._last_leaf = b""
        self._offered: tuple[proofs.Frontier, list[bytes], proofs.Frontier] | None = None

    def look_ahead(self) -> Glance | None:
        """Begin the look whose answer `committed` takes; None where that saves nothing."""
        kept = self._frontier
        return None if kept is None else self._lookout.ask_ahead(_first_to_see(kept))

    def committed(self, glance: Glance | None = None) -> proofs.Frontier:
        """The frontier of the committed tree.

        Raises RecordDamaged where the record became shorter, or its leaves do not lead to the root of its note.
        """
        kept = self._frontier
        if kept is None:
            with self._engine.connect() as session, session.begin():
                last = store.last_checkpoint(session)
                frontier = proofs.frontier_at(store.StoredNodes(session), last.size if last else 0)
                last_leaf = store.tile_row(session, 0, frontier.size - 1, 1)[0] if frontier.size else b""
        else:
            frontier, last, last_leaf = self._advanced(kept, glance)
        root = frontier.root()
        if frontier.size and (last is None or root != last.root):
            raise RecordDamaged("The committed leaves do not lead to the root of the last checkpoint.")
        if self._memory is not None:
            self._memory.advance(store.CommittedNodes(self._engine), frontier.size, root)
        self._follow(last)
        self._frontier, self._last_leaf = frontier, last_leaf
        return frontier

    def with_offered(self, leaves: Sequence[bytes]) -> proofs.Frontier:
        """The tree as last seen with these leaves, which nobody has committed yet."""
        assert self._frontier is not None  # `committed` was asked first
        offered = list(leaves)
        grown = self._grown(self._frontier, offered)
        self._offered = (self._frontier, offered, grown)
        return grown

    def _advanced(
        self, kept: proofs.Frontier, glance: Glance | None
    ) -> tuple[proofs.Frontier, proofs.Checkpoint | None, bytes]:
        """The kept frontier with what was committed since; the last leaf seen before must still be there."""
        try:
            leaves, last = store.news(self._lookout, _first_to_see(kept), glance)
        except LookupError:
            leaves, last = [], None
        if kept.size and (not leaves or leaves[0] != self._last_leaf):
            raise RecordDamaged(
                f"{kept.size} entries were committed before; they are not all there now: the record was rolled back."
            )
        last_leaf = leaves[-1] if leaves else self._last_leaf
        if kept.size:
            del leaves[0]
        return self._grown(kept, leaves), last, last_leaf

    def _grown(self, base: proofs.Frontier, leaves: list[bytes]) -> proofs.Frontier:
        """The base with these leaves; where the same were added to it for the last note, the tree of then."""
        if not leaves:
            return base
        if self._offered is not None and self._offered[0] is base and self._offered[1] == leaves:
            return self._offered[2]
        grown = base.copy()
        for leaf in leaves:
            grown.add(leaf)
        return grown


def _first_to_see(kept: proofs.Frontier) -> int:
    """The number from which a look begins: the last entry seen before must still be there."""
    return max(kept.size - 1, 0)
