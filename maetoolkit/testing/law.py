"""Law: a promise that can be run, with its reason in the message when it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from pydantic import BaseModel

Case = TypeVar("Case")


class LawError(AssertionError):
    """A law does not hold; the message names it, says what it asks for and why, what was found and how to see it."""


class Inapplicable(Exception):  # noqa: N818 - a verdict, not an error
    """Raised inside a law that has nothing to say about a case; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """What came of one law.

    held: None where it does not apply, and then `detail` says why; where it is broken, `detail` is the whole message.
    declared: the reason given beforehand, where the law fails as was expected.
    """

    law: str
    held: bool | None
    detail: str = ""
    declared: str = ""

    @property
    def fine(self) -> bool:
        """Whether there is nothing to mend: it holds, does not apply, or fails as declared."""
        return self.held is not False or bool(self.declared)

    def __str__(self) -> str:
        if self.declared:
            return f"{self.law}: fails as declared ({self.declared})"
        if self.held is False:
            return f"{self.law}: BROKEN"
        return f"{self.law}: holds" if self.held else f"{self.law}: does not apply ({self.detail})"


@dataclass(frozen=True)
class Law(Generic[Case]):
    """One law: its name, what it says in a sentence, why it matters, what to type to see it, and what tries a case.

    `see` is Python that speaks of `case`; the case itself says how it is made, where it has `code`.
    """

    name: str
    says: str
    why: str
    see: str
    attempt: Callable[[Case], None]

    def __call__(self, case: Case) -> Verdict:
        """Try a case. Raises LawError where the law is broken, also by a crash on the way, and was not expected to be;
        or where it was expected to be and is not."""
        reason = declared(case).get(self.name)
        try:
            self.attempt(case)
        except Inapplicable as inapplicable:
            if reason is not None:
                raise self._needless(case, "does not apply here") from None
            return Verdict(self.name, None, str(inapplicable))
        except LawError as found:
            if reason is not None:
                return Verdict(self.name, False, self.explain(case, str(found)), reason)
            raise LawError(self.explain(case, str(found))) from None
        except Exception as error:
            raise LawError(self.explain(case, f"{type(error).__name__}: {error}")) from error
        if reason is not None:
            raise self._needless(case, "holds")
        return Verdict(self.name, True)

    def explain(self, case: Case, found: str) -> str:
        """The whole message: the law, why it is one, what was found, and how to see it."""
        code = [line for line in (getattr(case, "code", ""), self.see) if line]
        lines = "\n        ".join("\n".join(code).splitlines())
        return f"{self.name}: {self.says}\n  Why: {self.why}\n  Found: {found}\n  See it: {lines}"

    def _needless(self, case: Case, found: str) -> LawError:
        return LawError(self.explain(case, f"the law is declared to fail, but {found}; remove it from `expected`"))

    def __str__(self) -> str:
        return self.name


def law(name: str, *, why: str, see: str) -> Callable[[Callable[[Case], None]], Law[Case]]:
    """Make a law of a function whose docstring says what it asks for."""

    def make(attempt: Callable[[Case], None]) -> Law[Case]:
        return Law(name, " ".join((attempt.__doc__ or "").split()), why, see, attempt)

    return make


def require(condition: object, found: str) -> None:
    """Raise LawError saying what was found where `condition` is not true."""
    if not condition:
        raise LawError(found)


def declared(case: object) -> Mapping[str, str]:
    """The laws that a case says will fail, each with the reason."""
    expected: Mapping[str, str] = getattr(case, "expected", {})
    return expected


def judge(laws: Iterable[Law[Case]], case: Case) -> list[Verdict]:
    """Try all laws; a broken one is a verdict whose `detail` is the message.

    Raises ValueError where the case declares a law that does not exist, or gives no reason.
    """
    laws = tuple(laws)
    names = [each.name for each in laws]
    for name, reason in declared(case).items():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"expected: there is no law {name!r}; {hint}laws are: {', '.join(names)}")
        if not reason:
            raise ValueError(f"expected: say why the law {name!r} must fail here")
    verdicts = []
    for each in laws:
        try:
            verdicts.append(each(case))
        except LawError as error:
            verdicts.append(Verdict(each.name, False, str(error)))
    return verdicts


def check(laws: Iterable[Law[Case]], case: Case) -> list[Verdict]:
    """Try all laws and return their verdicts. Raises one LawError that names every broken one; see `judge`."""
    verdicts = judge(laws, case)
    broken = [verdict.detail for verdict in verdicts if not verdict.fine]
    if broken:
        summary = ", ".join(map(str, verdicts))
        raise LawError("\n".join([f"{len(broken)} of {len(verdicts)} laws are broken ({summary})", *broken]))
    return verdicts


def code_of(described: object) -> str:
    """Python that makes a description, or a set of modalities, again: its class and what is not set by default."""
    if isinstance(described, Mapping):
        given = dict(described)
    elif isinstance(described, tuple):
        return f"({''.join(f'{code_of(item)}, ' for item in described)})"
    elif isinstance(described, BaseModel):
        fields = type(described).model_fields
        values = {name: getattr(described, name) for name in fields if name != "type"}
        given = {name: value for name, value in values.items() if value != fields[name].default}
    else:
        return repr(described)
    return f"{type(described).__name__}({', '.join(f'{name}={code_of(value)}' for name, value in given.items())})"
