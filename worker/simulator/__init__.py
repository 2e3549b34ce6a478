"""The far end: an images endpoint that draws, bills and fails as asked, and writes down what it did.

Written from the endpoint's contract alone; it imports nothing else of imagemill. `python -m
worker.simulator` and `imagemill simulate` run it, tests start it in a thread. The words that choose a
fault by the prompt are in `faults`.
"""

from worker.simulator.config import SimulatorConfig
from worker.simulator.running import Simulator, run, start_in_thread

__all__ = ["Simulator", "SimulatorConfig", "run", "start_in_thread"]
