"""What points are worth in tokens: a fraction of two integers, rounded down, and the points that are left over by that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Rate:
    """`points_denominator` points are `atomic_numerator` of the token's smallest unit; both are greater than zero."""

    atomic_numerator: int
    points_denominator: int = 1

    def atomic(self, points: int) -> int:
        """What so many points are paid with, rounded down."""
        return points * self.atomic_numerator // self.points_denominator

    def needed(self, points: int) -> int:
        """What has to be there for so many points, however they are divided among claims: rounded up."""
        return -(-points * self.atomic_numerator // self.points_denominator)

    def points(self, atomic: int) -> int:
        """How many points an amount can pay, rounded down; of a shortage (below zero), away from zero."""
        return atomic * self.points_denominator // self.atomic_numerator

    def converting(self, points: int) -> int:
        """Of so many points, those that become tokens: the fewest that are paid with the same amount (SAFETY S14)."""
        return -(-self.atomic(points) * self.points_denominator // self.atomic_numerator)

    @property
    def fraction(self) -> Fraction:
        """Atomic units for one point, exactly: what rates are compared by."""
        return Fraction(self.atomic_numerator, self.points_denominator)

    def times(self, factor: Fraction) -> Rate:
        """So many times as much."""
        return Rate(self.atomic_numerator * factor.numerator, self.points_denominator * factor.denominator)

    def __str__(self) -> str:
        return f"{self.atomic_numerator}/{self.points_denominator}"
