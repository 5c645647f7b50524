"""What the server gathers for a pass between reading and scoring.

The one place where scoring meets the outside.
"""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.history import History
from engine.members import Members
from engine.tenant_fees import NO_FEES, TenantFees

OK: Final = "ok"
UNAVAILABLE: Final = "unavailable"
DISABLED: Final = "disabled"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What the model says of each scorable claim, or why it says nothing."""

    status: str
    """OK, UNAVAILABLE or DISABLED."""
    probability: NDArray[np.float32] | None = None
    """Probability of a proper approval, shape (claims,); only with OK."""
    version: str = ""
    """Model version and runtime, such as `1/litert-int8`."""
    reason: str = ""
    """Why there is no answer, such as `timeout`."""
    by_message: tuple["ModelAnswer", ...] = ()
    """What was said to each message, where versions answered side by side; empty: all alike.

    Then `probability` holds NaN for the claims of messages that got no answer.
    """

    def to_message(self, message: int) -> "ModelAnswer":
        """Return whose answer a message got: status, version and reason; its claims' p is here."""
        return self.by_message[message] if self.by_message else self

    @classmethod
    def disabled(cls) -> Self:
        """Return the answer of a service that runs without a model on purpose."""
        return cls(DISABLED)

    @classmethod
    def unavailable(cls, reason: str) -> Self:
        """Return the answer of a model that could not be asked."""
        return cls(UNAVAILABLE, reason=reason)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a pass waits for. What is missing says so; nothing has a default score."""

    model: ModelAnswer
    history: History | None = None
    """Committed history of the pass's members and providers; None where history is off."""
    members: Members = field(default_factory=Members)
    """What the payer keeps on file about the pass's members."""
    fees: TenantFees = NO_FEES
    """What the tenant's own fee schedule says of the pass's codes."""
    degraded: tuple[str, ...] = ()
    """What was wanted and could not be had, with its reason, such as `history: timeout`."""
