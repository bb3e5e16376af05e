"""Law: a promise that can be run, with its reason in the message when it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Case = TypeVar("Case")


class LawError(AssertionError):
    """A law does not hold; the message names it, says what it asks for, and what was found."""


class Inapplicable(Exception):  # noqa: N818 - a verdict, not an error
    """Raised inside a law that has nothing to say about a case; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """What came of one law: `held` is None where it does not apply, and then `detail` says why."""

    law: str
    held: bool | None
    detail: str = ""

    def __str__(self) -> str:
        state = {True: "holds", False: "BROKEN", None: "does not apply"}[self.held]
        return f"{self.law}: {state}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Law(Generic[Case]):
    """One law: its name, what it says in a sentence, and the function that tries a case."""

    name: str
    says: str
    attempt: Callable[[Case], None]

    def __call__(self, case: Case) -> Verdict:
        """Try a case. Raises LawError where the law is broken, also by a crash on the way."""
        try:
            self.attempt(case)
        except Inapplicable as reason:
            return Verdict(self.name, None, str(reason))
        except LawError as found:
            raise LawError(f"{self.name}: {self.says} Found: {found}") from None
        except Exception as error:
            raise LawError(f"{self.name}: {self.says} Found: {type(error).__name__}: {error}") from error
        return Verdict(self.name, True)

    def __str__(self) -> str:
        return self.name


def law(name: str) -> Callable[[Callable[[Case], None]], Law[Case]]:
    """Make a law of a function whose docstring says what it asks for."""

    def make(attempt: Callable[[Case], None]) -> Law[Case]:
        return Law(name, " ".join((attempt.__doc__ or "").split()), attempt)

    return make


def require(condition: object, found: str) -> None:
    """Raise LawError saying what was found where `condition` is not true."""
    if not condition:
        raise LawError(found)


def check(laws: Iterable[Law[Case]], case: Case) -> list[Verdict]:
    """Try all laws and return their verdicts. Raises one LawError that names every broken one."""
    verdicts, broken = [], []
    for each in laws:
        try:
            verdicts.append(each(case))
        except LawError as error:
            verdicts.append(Verdict(each.name, False))
            broken.append(str(error))
    if broken:
        summary = ", ".join(map(str, verdicts))
        raise LawError("\n".join([f"{len(broken)} of {len(verdicts)} laws are broken ({summary})", *broken]))
    return verdicts
