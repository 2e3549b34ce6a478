"""How long the simulator takes: fixed, spread, or scaled from the real models."""

from statistics import median

from worker.simulator.config import SimulatorConfig
from worker.simulator.latency import latency_s
from worker.simulator.request import read_request

HIGH = read_request({"prompt": "a fox", "model": "gpt-image-2", "quality": "high"})
LARGE = read_request({"prompt": "a fox", "model": "gpt-image-2", "quality": "high", "size": "3840x2160"})


def test_without_spread_every_call_takes_the_same() -> None:
    config = SimulatorConfig(latency_s=0.5)
    assert {latency_s(config, HIGH, b"fox", ordinal) for ordinal in range(5)} == {0.5}


def test_spread_keeps_the_median() -> None:
    config = SimulatorConfig(latency_s=2.0, latency_sigma=0.6)
    times = [latency_s(config, HIGH, b"fox", ordinal) for ordinal in range(2001)]
    assert 1.9 < median(times) < 2.1
    assert max(times) > 4 * min(times)


def test_the_seed_decides() -> None:
    one, two = (SimulatorConfig(latency_sigma=0.6, seed=seed) for seed in (1, 2))
    assert latency_s(one, HIGH, b"fox", 0) == latency_s(one, HIGH, b"fox", 0)
    assert latency_s(one, HIGH, b"fox", 0) != latency_s(two, HIGH, b"fox", 0)


def test_scaled_times_follow_quality_and_size() -> None:
    config = SimulatorConfig(latency_scale=0.01)
    high = median(latency_s(config, HIGH, b"fox", ordinal) for ordinal in range(501))
    large = median(latency_s(config, LARGE, b"fox", ordinal) for ordinal in range(501))
    assert 0.5 < high < 0.6
    assert 1.4 < large < 1.6
