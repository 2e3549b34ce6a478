"""The pace learned from 429 answers: how it falls and grows again. Pure numbers; `jobs.pacing` keeps the state.

A pace is images a minute. It is told by its ceiling, the pace at which the last 429 came, and by what it was slowed
to. From there it soon is just below the ceiling, stays about there for long, then looks for more, ever faster:

                                                         ,'
    ceiling  - - - - - - - - - - - - - - - - - - - - -,-'
                        _____________________------'''''
                   _,-''       HOLD_CALLS
    slowed to   ,-'  RECOVER_MS

So a limit is found again now and then, at the cost of one 429 in about HOLD_CALLS calls, and a lifted one noticed.
Some endpoints turn a call away now and then at any pace: `LetIn` tells those 429s, which slow nothing down.
"""

from dataclasses import dataclass

KEPT = 0.97
"""Of the ceiling: where holding begins."""
HOLD_CALLS = 90
"""One image each, from there to the ceiling."""
FASTER = 2.0
"""How much quicker it grows above the ceiling than below it."""
RECOVER_MS = 20_000
"""From what it was slowed to, if that was lower, to where holding begins."""
LET_IN_MS = 2_000
"""A call that is turned away is so within less: one out for longer was let in."""
CHANCE_CALLS = 30
"""Let in for each 429 that came by chance: one of so many is less than what a pace above the limit brings."""
_MOST_CHANCES = 8
STUBBORN = 3
"""429s in a row after which waiting as advised is known not to help."""
LONGEST_ADVICE_MS = 3_600_000
"""An endpoint that advises a longer wait is asked after this one, at the cost of a call that it turns away."""
_SHORTEST_HOLD_MS = 5_000
_LONGEST_HOLD_MS = 900_000
_FEW = 4
"""Images let in between two 429s: the pace is far off."""
_FAR_OFF = 0.9
_HALVED = 0.5
_LOWEST_PER_MIN = 1.0
_LEAST_PER_MIN = 20.0
"""No pace is halved below it. At that, calls are so far apart that it shows whether the first was let in."""
_FIRST_PAUSE_MS = 500
_LONGEST_PAUSE_MS = 10_000


@dataclass(slots=True)
class LetIn:
    """What one worker saw of its calls for one model of an endpoint."""

    last_sent_at: int = 0
    """When the latest of those that are known to have been let in was admitted."""
    calls: int = 2 * CHANCE_CALLS
    """Let in, less those that 429s have used up."""

    def note(self, sent_at: int) -> None:
        """A call was let in."""
        self.last_sent_at = max(self.last_sent_at, sent_at)
        self.calls = min(_MOST_CHANCES * CHANCE_CALLS, self.calls + 1)

    def turned_away_by_chance(self) -> bool:
        """A call was turned away: whether so few are that it tells nothing of the pace."""
        by_chance = self.calls >= CHANCE_CALLS
        self.calls = max(0, self.calls - CHANCE_CALLS)
        return by_chance


def grown(ceiling: float, slowed_to: float, ms: int) -> float:
    """The pace after it was used for so long without another 429."""
    low = KEPT * ceiling
    if slowed_to < low:
        if ms < RECOVER_MS:
            return slowed_to + (low - slowed_to) * ms / RECOVER_MS
        ms -= RECOVER_MS
    hold_ms = _hold_ms(ceiling)
    beyond = (ms - hold_ms) / hold_ms
    return ceiling + (ceiling - low) * (beyond if beyond < 0 else FASTER * beyond) ** 3


def back_after_ms(ceiling: float, slowed_to: float) -> int:
    """When `grown` has reached the ceiling."""
    return _hold_ms(ceiling) + (RECOVER_MS if slowed_to < KEPT * ceiling else 0)


def slowed(pace: float, ceiling: float | None, let_in: int, allowed: float) -> tuple[float, float]:
    """(ceiling, slowed to) after a 429 that came at this pace, with so many images let in since the one before.

    `ceiling`: the old one, None before the first 429. `allowed`: the pace that the endpoint's advice amounts to,
    lower than `pace` where it counts by the minute.
    """
    if allowed < pace:
        pace = max(_HALVED * pace, allowed)
    elif ceiling is not None and let_in < _FEW:
        pace *= _FAR_OFF
    elif ceiling is not None and pace < ceiling:  # it should not have been found again so soon
        pace *= (1 + KEPT) / 2
    ceiling = max(_LOWEST_PER_MIN, pace)
    return ceiling, KEPT * ceiling


def slowed_again(slowed_to: float, strikes: int) -> float:
    """What the pace is slowed to when even the first calls after a 429 met another, so many in a row by now. As it
    may be an outage, the ceiling is kept, to come back to."""
    return min(slowed_to, max(_LEAST_PER_MIN, slowed_to * (_FAR_OFF if strikes == 2 else _HALVED)))


def pause_ms(strikes: int, advice_ms: int | None, jitter: float) -> int:
    """How long everybody waits after the 429 that was so many in a row: as advised, and longer when that did not
    help. `jitter` in 0..1 spreads the fleet's return."""
    own = int(min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** (strikes - 1)) * (0.5 + 0.5 * jitter))
    if advice_ms is None:
        return own
    return max(min(advice_ms, LONGEST_ADVICE_MS), own if strikes >= STUBBORN else 0)


def _hold_ms(ceiling: float) -> int:
    return int(min(max(HOLD_CALLS * 60_000 / ceiling, _SHORTEST_HOLD_MS), _LONGEST_HOLD_MS))
