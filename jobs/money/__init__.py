"""Money: usage and prices to charges, requests to estimates and ceilings, amounts to words.

Integers in nano-dollars only, never a float. Admission reserves what `ceiling` answers, settlement books what
`price_answer` answers, reports word amounts with `dollars`. What has no price is None, never 0.
"""

from jobs.catalogue.prices import Meter
from jobs.money.amounts import Charge, Cost, dollars, parse_dollars, split
from jobs.money.answers import post_ceiling, price_answer
from jobs.money.quotes import Estimate, ceiling, estimate
from jobs.money.usage import UsageRejected

__all__ = [
    "Charge",
    "Cost",
    "Estimate",
    "Meter",
    "UsageRejected",
    "ceiling",
    "dollars",
    "estimate",
    "parse_dollars",
    "post_ceiling",
    "price_answer",
    "split",
]
