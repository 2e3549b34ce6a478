"""The command: `python -m worker.simulator`, mounted as `imagemill simulate`."""

from pathlib import Path
from typing import Any

import click

from worker.simulator.config import SimulatorConfig
from worker.simulator.faults import read_fault
from worker.simulator.running import run


class Rate(click.ParamType[tuple[str, float]]):
    """FAULT=PROBABILITY, the fault in the words of the marker language."""

    name = "fault=rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        words, _, rate = str(value).rpartition("=")
        try:
            read_fault(words)
            probability = float(rate)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not 0 <= probability <= 1:
            self.fail(f"{value!r}: the probability is from 0 to 1", param, ctx)
        return words, probability


@click.command("simulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 takes a free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="File to write the URL to when ready.")
@click.option("--journal", type=click.Path(path_type=Path), help="File to append one JSON line a call to.")
@click.option("--seed", default=0, show_default=True, help="Decides drawn faults and latencies.")
@click.option("--api-key", "api_keys", multiple=True, help="Key to let in; repeatable. None: every key.")
@click.option("--latency", "latency_s", default=0.02, show_default=True, help="Median answer time, seconds.")
@click.option("--latency-sigma", default=0.0, show_default=True, help="Lognormal spread of it.")
@click.option("--latency-scale", type=float, help="Instead: times of the real models, times this.")
@click.option("--fault", "faults", type=Rate(), multiple=True, help="Such as 429=0.05; repeatable.")
@click.option("--retry-after", "retry_after_s", default=1.0, show_default=True, help="Advice of 429 and 503.")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Rate limit per key and model.")
@click.option("--images-per-minute", type=click.IntRange(1), help="Rate limit per key and model.")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Rate limit per key and model.")
@click.option("--burst/--no-burst", default=True, help="May a minute's allowance be spent at once?")
@click.option(
    "--limits-told",
    type=click.Choice(["headers", "advice", "nothing"]),
    default="headers",
    show_default=True,
    help="What is said of them.",
)
@click.option("--pictures", type=click.Choice(["drawn", "prerendered"]), default="drawn", show_default=True)
@click.option("--image-bytes", default=1_500_000, show_default=True, help="File size of prerendered ones.")
@click.option("--gpt-image-urls", is_flag=True, help="Answer GPT image models by url, as some gateways do.")
@click.option("--url-ttl", "url_ttl_s", default=3600.0, show_default=True, help="Seconds a url lives.")
@click.option("--public-url", help="Base of picture URLs, when callers come by another name.")
@click.option("--honour-idempotency-keys", is_flag=True, help="Repeat the answer for a key seen before.")
@click.option("--refuse-retired", is_flag=True, help="Refuse models past their shutdown date.")
def command(ready_file: Path | None, faults: tuple[tuple[str, float], ...], **settings: Any) -> None:
    """Run an images endpoint on this machine that draws, bills and fails as asked.

    Prints the URL to call, then serves until interrupted. Any key is let in unless --api-key names some.

    \b
    Example:
      imagemill simulate --port 8099 --journal sim.jsonl --fault 429=0.05 --fault timeout=0.01
    """
    config = SimulatorConfig(fault_rates=dict(faults), **settings)

    def announce(url: str) -> None:
        click.echo(f"listening on {url}")
        if ready_file is not None:
            partial = ready_file.with_name(ready_file.name + ".part")
            partial.write_text(url + "\n")
            partial.rename(ready_file)

    run(config, announce)


if __name__ == "__main__":
    command()
