"""Places where a loader can be killed or stopped, to show that nothing is lost or doubled there.

A place is one line, `failpoint("load.commit")`, and not armed it costs one comparison. The suites
under tests/crash arm one by the environment: `CLAIMGATE_FAILPOINT=load.commit:3` kills the process
at the third pass, with SIGKILL, as a machine that loses power would; `load.commit:3:STOP` halts it
until it is continued. Nothing else sets that variable, and an operator has no use for it.
"""

import os
import signal
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "CLAIMGATE_FAILPOINT"

FAILPOINTS: Final = {
    "beat": "before the loader says that it lives",
    "take_over.commit": "claims of a dead loader are back in the queue, not committed",
    "lease.commit": "claims are leased, not committed",
    "lease.done": "claims are leased, none is read",
    "read.done": "claims are opened and formed into messages",
    "send": "a message is about to be sent",
    "answer": "a message is answered, its answer not yet kept",
    "pass_on": "a batch of answers is whole and about to be handed over",
    "load.begin": "the transaction of a batch is about to begin",
    "load.ledger": "the batch stands in the ledger",
    "load.claims_copied": "its claims are in the table that COPY fills",
    "load.keys": "the keys of its claims are taken",
    "load.copied": "all its rows are copied",
    "load.merged": "its rows are in the tables that are read",
    "load.failed": "its failed claims are written",
    "load.outbox": "its outbox row is about to be written",
    "load.number": "its number among the commits is about to be taken",
    "load.commit": "all of it is written, not committed",
    "load.done": "it is committed, and nobody was told",
    "finish.begin": "staging is about to be told what became of the claims",
    "finish.commit": "staging was told, not committed",
    "finish.done": "staging knows",
    "give_back": "the loader is about to leave",
}
"""Every place by name, in the order in which a claim passes them."""


@dataclass(slots=True)
class _Armed:
    """The place where this process ends, and how many passes it has left."""

    name: str
    passes: int
    with_signal: signal.Signals

    def passed(self, name: str) -> None:
        """Count a pass; the last one is where the process ends."""
        if name == self.name:
            self.passes -= 1
            if self.passes == 0:
                os.kill(os.getpid(), self.with_signal)


def _armed_by(text: str) -> _Armed | None:
    """Return what the variable says: nothing where it is empty."""
    if not text:
        return None
    name, _, rest = text.partition(":")
    passes, _, ending = rest.partition(":")
    if name not in FAILPOINTS or not passes.isdecimal() or ending not in {"", "STOP"}:
        raise ValueError(
            f"{VARIABLE} is {text!r}; expected NAME:PASSES or NAME:PASSES:STOP, "
            "with a name of loader/failpoints.py"
        )
    return _Armed(name, int(passes), signal.SIGSTOP if ending else signal.SIGKILL)


_armed: Final = _armed_by(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Pass a place; where this one is armed, the process may end here."""
    if _armed is not None:
        _armed.passed(name)
