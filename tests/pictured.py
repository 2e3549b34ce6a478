"""What scripts/screenshot needs: rows worth a picture, and the picture of the batch page once enough has happened.

`python -m tests.pictured rows` prints a manifest; `python -m tests.pictured shoot URL FILE` waits, looks, saves.
"""

import json
import random
import re
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.services.find import find_chromium

THINGS = ("ceramic mug", "linen shirt", "oak side table", "enamel teapot", "wool blanket", "leather satchel")
COLOURS = ("sage green", "mustard", "charcoal", "terracotta", "cream", "navy", "rust", "pale blue")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
ROWS = 240
ENOUGH = re.compile(r"1[4-9]\d|2\d\d")
"""So many jobs have ended: a batch in the middle of its work."""
WITHIN_MS = 120_000
COLOURS_KEPT = 256


def rows() -> None:
    chance = random.Random(7)
    for row in range(ROWS):
        thing = f"{chance.choice(COLOURS)} {chance.choice(THINGS)}"
        job = {
            "custom_id": f"SKU-{4000 + row}",
            "prompt": f"Studio photo of a {thing}, soft daylight{' [[sim: 400]]' if row % 37 == 5 else ''}",
            "model": chance.choice(("gpt-image-1", "gpt-image-1-mini", "gpt-image-2")),
            "quality": "low",
            "size": "1024x1024",
        }
        print(json.dumps(job))


def shoot(url: str, file: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        page = browser.new_page(viewport={"width": 1240, "height": 1130}, color_scheme="light")
        page.goto(url)
        page.get_by_role("link", name="catalogue-autumn").click(timeout=WITHIN_MS)
        expect(page.locator(".big b")).to_have_text(ENOUGH, timeout=WITHIN_MS)
        for image in page.locator(".strip img").all()[:8]:
            image.evaluate("async image => { await image.decode() }")
        page.screenshot(path=file)
        browser.close()
    Image.open(file).convert("RGB").quantize(COLOURS_KEPT, kmeans=2).save(file, optimize=True)


def main() -> None:
    match sys.argv[1:]:
        case ["rows"]:
            rows()
        case ["shoot", url, file]:
            shoot(url, Path(file))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
