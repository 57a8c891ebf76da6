"""A seeded source of choices for examples and augmentation; never for secrets."""

from __future__ import annotations

import random


class Dice(random.Random):
    """Draws that the same seed repeats."""
