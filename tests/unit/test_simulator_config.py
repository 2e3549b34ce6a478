"""What of a running simulator may be changed, and what is shown of it."""

import pytest

from worker.simulator.config import SimulatorConfig


def test_changes_make_a_new_configuration() -> None:
    config = SimulatorConfig(seed=3)
    changed = config.changed({"latency_s": 1.5, "api_keys": ["sk-a"]})
    assert (changed.latency_s, changed.api_keys, changed.seed, config.latency_s) == (1.5, ("sk-a",), 3, 0.02)


@pytest.mark.parametrize("name", ["port", "journal", "colour"])
def test_what_cannot_be_changed_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot change {name}"):
        SimulatorConfig().changed({name: 1})


def test_keys_are_not_shown() -> None:
    config = SimulatorConfig(api_keys=("sk-secret",))
    assert "sk-secret" not in repr(config) + repr(config.shown())
