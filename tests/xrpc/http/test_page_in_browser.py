"""The page at `/` as people see it: the real web process, a real Chromium. Screenshots go to .cache/screenshots."""

import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from playwright.async_api import BrowserContext, Page, Route, async_playwright

from appview.db import Connection
from appview.reads.times import instant
from tests.chromium import CHROMIUM, FLAGS, SCREENSHOTS, needs_chromium
from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.http.shards import healthy, says, upstream
from tests.xrpc.processes import Process, web

COVERS: Final = "https://covers.test/"
HOSTILE: Final = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
SONGS: Final = (
    ("Paper Boats on the Overpass", "Marisol Vance", "marisol", "#f2b25c", "#7a3f6b", 3),
    ("Nachtbus N7", "Kollektiv Ostkreuz", "ostkreuz", "#22324f", "#e3523d", 22),
    ("雨のあとで", "ハルカ", "haruka", "#9fd3c7", "#385170", 61),
    ("A Very Long Title That Goes On and On, as Titles of Ambient Pieces Are Wont to Do (Extended Mix)",
     "The Cartographers of Sleep feat. Somebody Else and a Choir", "cartographers", None, None, 130),
    ("kitchen demo 4", "ines", "ines", "#f7e7ce", "#c08552", 260),
    (HOSTILE, HOSTILE, "mallory", None, None, 400),
    ("أغنية المساء", "ليلى", "layla", "#2d1e2f", "#f2545b", 900),
    ("Halbmond", "Kollektiv Ostkreuz", "ostkreuz", "#264653", "#e9c46a", 1500),
    ("Glass / Water / Glass", "Tomoko & Ivo", "glasswater", "#dfe7fd", "#7b9acc", 4000),
    ("Untitled", "?", "nobody", None, None, 9000),
    ("Cumbia del Puerto", "Los Faroles", "faroles", "#e63946", "#f1c453", 20_000),
    ("Static Bloom", "Wren", "wren", "#1b263b", "#a3b18a", 60_000),
)  # fmt: skip

pytestmark = needs_chromium


def picture(*colors: str, size: int = 64) -> bytes:
    """A PNG that runs from one color into the other."""
    one, two = (bytes.fromhex(color[1:]) for color in colors)
    rows = b""
    for y in range(size):
        parts = ((x + y) / (2 * size - 2) for x in range(size))
        rows += b"\0" + bytes(round(a + (b - a) * part) for part in parts for a, b in zip(one, two, strict=True))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def fill_index(connection: Connection) -> None:
    index = IndexWriter(connection)
    tracks = []
    for n, (title, artist, name, color, _, minutes) in enumerate(SONGS):
        did = f"did:plc:{name:a<24}"
        await index.account(did, handle=None if name == "nobody" else f"{name}.test")
        cover = {} if color is None else {"imageUrl": f"{COVERS}{n}.png"}
        tracks.append(await index.write(did, "fm.plyr.track", rkey(n), title=title, artist=artist, **cover))
        await connection.execute(
            "update tracks set sort_at = now() - $2::interval where uri = $1", tracks[-1], timedelta(minutes=minutes)
        )
    for n, track in enumerate(tracks):
        for fan in range(n * 7 % 5):
            await index.write(f"did:plc:{SONGS[fan][2]:a<24}", "fm.plyr.like", rkey(n), subject=ref(track))
        if n % 3 == 0:
            await index.write(f"did:plc:{'wren':a<24}", "fm.plyr.comment", rkey(n), subject=ref(track), text="!")
    items = [{"subject": ref(track)} for track in tracks]
    await index.write(f"did:plc:{'wren':a<24}", "fm.plyr.list", rkey(0), name="Late", listType="playlist", items=items)
    heard = upstream(last_frame_at=instant(datetime.now(UTC)))
    await says(connection, healthy(upstreams=[heard]), ago=0.5)


async def cover(route: Route) -> None:
    """What covers.test answers."""
    song = SONGS[int(route.request.url.removeprefix(COVERS).removesuffix(".png"))]
    await route.fulfill(body=picture(str(song[3]), str(song[4])), content_type="image/png")


@pytest.fixture
async def site(database_url: str, connection: Connection) -> AsyncIterator[Process]:
    """The web process, over an index with tracks of all kinds."""
    await fill_index(connection)
    with web(database_url, module="xrpc") as process:
        yield process


@asynccontextmanager
async def browsing(**options: Any) -> AsyncIterator[BrowserContext]:
    """A fresh browser. No host but loopback and covers.test, which is played here, is asked for anything."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=120_000)
        context = await browser.new_context(**options)
        await context.route(lambda url: not url.startswith("http://127.0.0.1:"), lambda route: route.abort())
        await context.route(f"{COVERS}**", cover)
        yield context
        await browser.close()


async def see(context: BrowserContext, site: Process) -> tuple[Page, list[str]]:
    """The page, loaded, and what the browser complained about."""
    page, complaints = await context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = await page.goto(site.url)
    assert answer is not None
    assert answer.status == 200
    return page, complaints


async def test_the_newest_tracks_are_seen_and_nothing_of_theirs_is_run(site: Process) -> None:
    async with browsing() as context:
        page, complaints = await see(context, site)
        titles = await page.locator(".tracks h3").all_inner_texts()
        assert titles == [song[0] for song in SONGS]
        assert await page.title() == "Music on the AT Protocol"
        assert await page.locator("script, [onerror], .tracks h3 img").count() == 0
        await page.locator(".tracks li:last-child").scroll_into_view_if_needed()
        await page.wait_for_load_state("networkidle")
        shown = await page.locator(".cover img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert shown == [64] * sum(song[3] is not None for song in SONGS)
        assert await context.cookies() == []
        assert complaints == []


async def test_every_link_leads_somewhere(site: Process) -> None:
    async with browsing() as context:
        page, _ = await see(context, site)
        for selector, most in ((".ask", 100), (".tracks h3 a", 2), (".who a", 2), ("footer a", 100)):
            links = page.locator(selector)
            for n in range(min(await links.count(), most)):
                name = await links.nth(n).inner_text()
                async with page.expect_navigation() as navigation:
                    await links.nth(n).click()
                answer = await navigation.value
                assert answer.status in ((200, 503) if name == "Readiness" else (200,)), answer.url
                if "/xrpc/" in answer.url:
                    assert isinstance(await answer.json(), dict)
                await page.go_back()


async def test_it_is_usable_by_keyboard_alone(site: Process) -> None:
    async with browsing() as context:
        page, _ = await see(context, site)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.innerText") == "Skip to the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.innerText") == SONGS[0][0]
        await page.locator("summary").first.focus()
        await page.keyboard.press("Enter")
        assert await page.locator("details[open]").count() == 1
        headings = await page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
        assert headings[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(headings))


CONTRAST: Final = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
                         return canvas.getImageData(0, 0, 1, 1).data; };
  const light = color => { const [r, g, b] = [...rgb(color)].map(c => c / 255)
                             .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                           return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = one => { for (; one; one = one.parentElement) {
                            const color = getComputedStyle(one).backgroundColor;
                            if (rgb(color)[3] === 255) return color; }
                          return "Canvas"; };
  const low = [];
  for (const one of document.querySelectorAll("h1, h2, h3, p, a, dt, dd, li, summary, code, time")) {
    if (!one.innerText) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${one.tagName} ${one.innerText} ${(a + 0.05) / (b + 0.05)}`);
  }
  return low;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_how_it_looks(site: Process, width: int, scheme: Any) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    async with browsing(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page, _ = await see(context, site)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate(CONTRAST) == []
        await page.locator(".tracks li:last-child").scroll_into_view_if_needed()
        await page.wait_for_load_state("networkidle")
        await page.screenshot(path=SCREENSHOTS / f"page-{width}-{scheme}.png", full_page=True)
