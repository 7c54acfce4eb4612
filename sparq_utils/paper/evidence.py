"""What a printed number allows us to conclude.

A number printed as 6.55 stands for any value from 6.545 to 6.555. :class:`Printed` keeps the
digits, :class:`Rounded` carries that interval through arithmetic in exact fractions, and a
:class:`Finding` says whether a claim agrees with it.
"""

from dataclasses import dataclass
from fractions import Fraction

AGREES, CONTRADICTS, UNDECIDED = "agrees", "contradicts", "cannot be decided"
VERDICTS = (CONTRADICTS, UNDECIDED, AGREES)


class Printed(float):
    """A number as printed, its precision kept: `Printed("2.10")` is 2.1 with two decimals.

    A leading ≤ or ≥ is kept in `text`. Raises `ValueError` if the rest is no decimal number.
    """

    text: str

    def __new__(cls, text: str) -> "Printed":
        """Parse the digits, keep the text."""
        number = super().__new__(cls, text.lstrip("≤≥"))
        number.text = text
        return number

    def __getnewargs__(self) -> tuple[str]:
        return (self.text,)

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else self.text

    @property
    def digits(self) -> str:
        """The text without its sign: 3.70 of ≤3.70."""
        return self.text.lstrip("≤≥")

    @property
    def decimals(self) -> int:
        """Digits printed after the point."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Rounded:
    """A value and the interval [low, high] that rounding leaves open, as exact fractions."""

    low: Fraction
    value: Fraction
    high: Fraction

    @classmethod
    def of(cls, number: "Number") -> "Rounded":
        """The interval of a printed number; any other number is taken as exact."""
        if isinstance(number, Rounded):
            return number
        if isinstance(number, Printed):
            middle = Fraction(number.digits)
            half_a_digit = Fraction(1, 2 * 10**number.decimals)
            return cls(middle - half_a_digit, middle, middle + half_a_digit)
        exact = Fraction(str(number))  # str: 0.1 means one tenth, not the nearest double
        return cls(exact, exact, exact)

    def __add__(self, other: "Number") -> "Rounded":
        other = Rounded.of(other)
        return Rounded(self.low + other.low, self.value + other.value, self.high + other.high)

    def __sub__(self, other: "Number") -> "Rounded":
        other = Rounded.of(other)
        return Rounded(self.low - other.high, self.value - other.value, self.high - other.low)

    def __mul__(self, other: "Number") -> "Rounded":
        other = Rounded.of(other)
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Rounded(min(ends), self.value * other.value, max(ends))

    def __truediv__(self, other: "Number") -> "Rounded":
        other = Rounded.of(other)
        if other.low <= 0 <= other.high:
            raise ZeroDivisionError(f"the divisor's interval {other} contains zero")
        ends = [a / b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Rounded(min(ends), self.value / other.value, max(ends))

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, spec: str) -> str:
        return format(float(self), spec)

    def span(self, spec: str = "") -> str:
        """The interval in words, its ends formatted with `spec`."""
        return f"{float(self.low):{spec}} to {float(self.high):{spec}}"


Number = int | float | Fraction | Printed | Rounded


def matches(value: Number, printed: Printed) -> str:
    """Agrees if some value that rounding leaves open is printed with these digits."""
    value, expected = Rounded.of(value), Rounded.of(printed)
    return AGREES if value.low <= expected.high and expected.low <= value.high else CONTRADICTS


def at_least(value: Number, bound: Number) -> str:
    """Whether value >= bound: always (agrees), never (contradicts), or open."""
    value, bound = Rounded.of(value), Rounded.of(bound)
    if value.low >= bound.high:
        return AGREES
    return CONTRADICTS if value.high < bound.low else UNDECIDED


@dataclass(frozen=True)
class Finding:
    """One claim held against arithmetic.

    `where` names the place in the paper, `arithmetic` shows the numbers put in, `computed` is
    the number they give, `printed` what the paper prints, in digits or in quoted words, `verdict`
    one of `VERDICTS`, `note` what else the paper says for itself.
    """

    claim: str
    where: str
    arithmetic: str
    computed: float
    printed: str
    verdict: str
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a verdict that is none."""
        if self.verdict not in VERDICTS:
            raise ValueError(f"unknown verdict '{self.verdict}'; choose from {VERDICTS}")
