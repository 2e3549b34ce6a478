"""How long a call takes: fixed, lognormal, or as measured on the real models and scaled down."""

from math import exp
from statistics import NormalDist

from worker.simulator.config import SimulatorConfig
from worker.simulator.faults import draw
from worker.simulator.request import ImageRequest

MEASURED = {"low": (8.0, 0.56), "medium": (20.0, 0.61), "standard": (12.0, 0.3)}
"""Median seconds and lognormal sigma by quality; other words are HIGH."""
HIGH = (55.0, 0.69)
HIGH_AND_LARGE = (150.0, 0.42)
LARGE_PX = 2560 * 1440


def is_random(config: SimulatorConfig) -> bool:
    return config.latency_sigma > 0 or config.latency_scale is not None


def latency_s(config: SimulatorConfig, request: ImageRequest, call: bytes, ordinal: int) -> float:
    """Seconds for call number `ordinal` of its prompt; the same for the same seed."""
    median_s, sigma = config.latency_s, config.latency_sigma
    if config.latency_scale is not None:
        median_s, sigma = _measured(request)
        median_s *= config.latency_scale
    if sigma == 0:
        return median_s
    chance = max(draw(config.seed, call, ordinal, "latency"), 1e-9)
    return median_s * exp(sigma * NormalDist().inv_cdf(chance))


def _measured(request: ImageRequest) -> tuple[float, float]:
    if request.quality in MEASURED:
        return MEASURED[request.quality]
    return HIGH_AND_LARGE if request.width * request.height > LARGE_PX else HIGH
