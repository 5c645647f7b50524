"""A month of service, as `2025-10`."""

from dataclasses import dataclass
from datetime import date
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Self:
        """Return the month of a day."""
        return cls(day.year, day.month)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a month.

        Raises:
            ValueError: It is none.
        """
        try:
            return cls.of(date.fromisoformat(f"{text}-01"))
        except ValueError:
            raise ValueError(f"{text!r} is no month; expected one such as 2025-10") from None

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    def after(self, months: int) -> "Month":
        """Return the month so many months later, or earlier where it is negative."""
        year, number = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(year, number + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"
