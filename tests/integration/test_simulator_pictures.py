"""The pictures are real files of the asked size, format and transparency, and show their prompt."""

import asyncio
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from worker.simulator.config import SimulatorConfig
from worker.simulator.glyphs import RANGES, UNSHOWN, glyph
from worker.simulator.pictures import Picture, Sketch, Studio, render
from worker.simulator.request import read_request

DRAWN = SimulatorConfig()
PRERENDERED = SimulatorConfig(pictures="prerendered", image_bytes=300_000)
CHINESE = "一只可爱的小海獭宝宝"


@pytest.fixture
def studio() -> Iterator[Studio]:
    made = Studio()
    yield made
    made.close()


def made(studio: Studio, config: SimulatorConfig = DRAWN, index: int = 0, **fields: Any) -> Picture:
    request = read_request({"model": "gpt-image-2.6-flare", "prompt": CHINESE} | fields)
    return asyncio.run(studio.make(config, request, index))


def opened(picture: Picture) -> Image.Image:
    image = Image.open(BytesIO(picture.data))
    image.load()
    return image


@pytest.mark.parametrize("config", [DRAWN, PRERENDERED])
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp", "gif"])
def test_a_viewer_opens_every_format(studio: Studio, config: SimulatorConfig, output_format: str) -> None:
    picture = made(studio, config, output_format=output_format)
    with opened(picture) as image:
        assert (image.format or "").lower() == output_format
        assert image.size == (picture.width, picture.height)


@pytest.mark.parametrize("size", ["1024x640", "1920x1088", "3840x2160", "1024x3072"])
def test_the_picture_has_the_asked_size(studio: Studio, size: str) -> None:
    with opened(made(studio, size=size)) as image:
        assert f"{image.width}x{image.height}" == size


@pytest.mark.parametrize("size", ["256x256", "512x512"])
def test_the_small_sizes_of_dall_e_are_drawn(studio: Studio, size: str) -> None:
    with opened(made(studio, model="dall-e-2", size=size)) as image:
        assert f"{image.width}x{image.height}" == size


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_a_transparent_background_is_transparent(studio: Studio, output_format: str) -> None:
    with opened(made(studio, output_format=output_format, background="transparent")) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_an_opaque_background_is_opaque(studio: Studio, output_format: str) -> None:
    with opened(made(studio, output_format=output_format, background="opaque")) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_stronger_compression_makes_a_smaller_file(studio: Studio, output_format: str) -> None:
    fine = made(studio, output_format=output_format, output_compression=90)
    coarse = made(studio, output_format=output_format, output_compression=5)
    assert len(coarse.data) < len(fine.data)


def test_a_gif_has_its_frames_and_their_time(studio: Studio) -> None:
    with opened(made(studio, output_format="gif", frame_count=4, frame_duration_ms=120)) as image:
        assert getattr(image, "n_frames", 1) == 4
        assert image.info["duration"] == 120


def test_an_svg_carries_the_prompt_as_text(studio: Studio) -> None:
    picture = made(studio, output_format="svg", prompt="a <fox> & 猫")
    assert picture.data.startswith(b"<svg ")
    assert "a &lt;fox&gt; &amp; 猫" in picture.data.decode()


@pytest.mark.parametrize("config", [DRAWN, PRERENDERED])
def test_the_images_of_one_call_differ(studio: Studio, config: SimulatorConfig) -> None:
    assert len({made(studio, config, index, n=4).sha256 for index in range(4)}) == 4


def test_the_prompt_decides_the_picture(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.simulator.pictures.CACHE_BYTES", 0)
    first, other, again = made(studio), made(studio, prompt="a fox"), made(studio)
    assert again is not first
    assert again.sha256 == first.sha256
    assert other.sha256 != first.sha256


def test_two_prompts_never_share_a_picture(studio: Studio) -> None:
    assert made(studio).sha256 != made(studio, prompt="两只可爱的小海獭宝宝").sha256


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_a_prerendered_file_has_the_configured_size(studio: Studio, output_format: str) -> None:
    picture = made(studio, PRERENDERED, output_format=output_format)
    assert abs(len(picture.data) - PRERENDERED.image_bytes) <= 4


def test_callers_at_the_same_time_wait_for_one_drawing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Sketch] = []

    def noted(sketch: Sketch) -> Picture:
        drawn.append(sketch)
        return render(sketch)

    monkeypatch.setattr("worker.simulator.pictures.render", noted)
    request = read_request({"model": "gpt-image-1", "prompt": CHINESE})

    async def together() -> list[Picture]:
        return await asyncio.gather(*(studio.make(DRAWN, request, 0) for _ in range(50)))

    assert len({id(picture) for picture in asyncio.run(together())}) == 1
    assert len(drawn) == 1


def test_old_pictures_make_room_for_new_ones(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.simulator.pictures.CACHE_BYTES", 1_000_000)
    first = made(studio, PRERENDERED, 0, n=4)
    again = [made(studio, PRERENDERED, index, n=4) for index in range(4)]
    assert again[0] is first
    assert made(studio, PRERENDERED, 3, n=4) is again[3]
    assert made(studio, PRERENDERED, 0, n=4) is not first


@pytest.mark.parametrize("text", [CHINESE, "東京の夜カタカナ", "안녕하세요", "Привет", "Ünïcødé", "αβγ → ✓"[:5]])
def test_the_font_shows_every_script(text: str) -> None:
    blank = glyph(UNSHOWN)[0]
    bitmaps = [glyph(character)[0] for character in text if character != " "]
    assert blank not in bitmaps
    assert len(set(bitmaps)) == len(set(text.replace(" ", "")))


def test_what_the_font_lacks_is_shown_as_a_square() -> None:
    assert glyph("\U0001f600") == glyph(UNSHOWN)


def test_the_font_file_holds_its_ranges_to_the_last_glyph() -> None:
    assert len(glyph(chr(RANGES[-1][1] - 1))[0]) == 32


def test_narrow_and_wide_characters_advance_as_far_as_they_are() -> None:
    assert [glyph(character)[1] for character in "aé字あ　"] == [8, 8, 16, 16, 16]
