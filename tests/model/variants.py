"""What is checked: the model in several sizes, which must hold, and with a mistake in it, which must be found."""

from __future__ import annotations

from typing import Final, NamedTuple


class Variant(NamedTuple):
    """A model, made of `awa.pml` by defines."""

    name: str
    what: str
    defines: tuple[str, ...]
    violates: str | None = None
    """The assertion that must fail; None: none may."""
    is_large: bool = False
    """Takes long, and is for `make model` alone."""


HOLDS: Final = (
    Variant("whole", "everybody, any two faults", ("COARSE", "FAULTS=2"), is_large=True),
    Variant("fine", "every lock a step of its own, any one fault", ("FAULTS=1",), is_large=True),
    Variant("outcomes", "attempts that are retried or snoozed, any one fault", ("COARSE", "OUTCOMES", "FAULTS=1")),
    Variant("steps", "two jobs each, sealed one at a time", ("COARSE", "JOBS_EACH=2", "JOBS_MAX=1", "FAULTS=0"),
            is_large=True),
    Variant("bulk", "two jobs each, sealed together", ("COARSE", "JOBS_EACH=2", "FAULTS=0")),
)  # fmt: skip
MISTAKES: Final = (
    Variant("cursor", "a cursor over ids, not a snapshot", ("BROKEN_CURSOR_BY_ID", "FAULTS=0"), "lost"),
    Variant("unlocked", "sealing without the lock", ("BROKEN_SEAL_WITHOUT_LOCK", "FAULTS=0"), "ledger_key_refused"),
    Variant("within", "the sealer's lock in the statement that seals", ("BROKEN_LOCK_WITHIN_SEAL", "FAULTS=0"),
            "ledger_key_refused"),
    Variant("early", "the sealer's lock given back before the commit", ("BROKEN_UNLOCK_BEFORE_COMMIT", "FAULTS=0"),
            "ledger_key_refused"),
    Variant("keyless", "as the one before, and no primary key of the ledger",
            ("BROKEN_UNLOCK_BEFORE_COMMIT", "NO_KEYS", "FAULTS=0"), "sealed_twice"),
    Variant("claim", "claiming without a lock on the row", ("BROKEN_CLAIM_WITHOUT_LOCK", "FAULTS=0"), "claimed_twice"),
    Variant("settle", "settling what is not in the lease", ("BROKEN_SETTLE_WITHOUT_LEASE", "COARSE"),
            "attempt_key_refused"),
    Variant("rescue", "rescue that does not lock the lease", ("BROKEN_RESCUE_WITHOUT_LOCK", "FAULTS=1"),
            "attempt_key_refused"),
    Variant("reads", "rescue that reads a batch claimed since it locked the lease",
            ("BROKEN_RESCUE_READS_UNLOCKED", "FAULTS=1"), "attempt_key_refused"),
    Variant("snooze", "as the one before, and no attempt was recorded",
            ("BROKEN_RESCUE_READS_UNLOCKED", "OUTCOMES", "KEYS_MAY_REFUSE", "FAULTS=2", "COARSE"), "in_two_places"),
    Variant("orphans", "nobody looks for leases of workers that are gone", ("BROKEN_ORPHANS_LEFT", "COARSE"), "lost"),
)  # fmt: skip
VARIANTS: Final = HOLDS + MISTAKES
