"""Looking at a page in a real headless browser: what it draws, says on its console, and asks of a network."""

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

NEEDED = ("chromium", "chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

# Colours are composed over what lies behind them, as WCAG 2.2 has it (relative luminance, contrast ratio).
_CONTRASTS = """
const parse = (color) => { const n = color.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
const light = (color) => { const [r, g, b] = color.slice(0, 3).map((one) => { const c = one / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (element) => { const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); };
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement, text = node.textContent.trim();
  if (!text || element.closest("script, style, noscript") || !element.getClientRects().length) continue;
  const svg = element.namespaceURI.endsWith("svg");
  const style = getComputedStyle(element), ground = behind(element);
  const color = over(parse(svg ? style.fill : style.color), ground);
  const [high, low] = [light(color), light(ground)].sort((a, b) => b - a);
  found.push([svg ? "chart" : "page", text.slice(0, 40), (high + 0.05) / (low + 0.05)]);
}
return found;
"""
_DRAWN = """
return Object.fromEntries([...document.querySelectorAll(".plot")].map((plot) => {
  const marks = [...plot.querySelectorAll("svg path, svg rect, svg polyline")].filter((one) => {
    const box = one.getBoundingClientRect(); return box.width + box.height > 0; });
  const box = plot.querySelector("svg")?.getBoundingClientRect();
  return [plot.id, {width: box?.width ?? 0, height: box?.height ?? 0, marks: marks.length,
    texts: [...plot.querySelectorAll("svg text")].map((one) => one.textContent)}];
}));
"""


class Browser:
    """One browser, kept open over pages."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        for flag in _FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def close(self) -> None:
        self.driver.quit()

    def open(self, page: Path, scheme: str = "light", width: int = 1280) -> None:
        """Loads the page as someone sees it who prefers that scheme, on a screen of that width."""
        self.emulate(scheme)
        self.resize(width)
        self.console(), self.requests()  # what earlier pages said
        self.driver.get(page.absolute().as_uri())

    def emulate(self, scheme: str, media: str = "") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def resize(self, width: int) -> None:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def do(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        """Until the script gives true: what a page does at its next frame."""
        WebDriverWait(self.driver, 10).until(lambda driver: driver.execute_script(script))

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        return [
            one["params"]["request"]["url"]
            for one in messages
            if one["method"] == "Network.requestWillBeSent"
        ]

    def drawn(self) -> dict[str, dict[str, Any]]:
        """What each chart shows, by its id."""
        return self.do(_DRAWN)

    def contrasts(self) -> list[tuple[str, str, float]]:
        """(chart or page, text, contrast with what is behind it) of every text that is shown."""
        return [(kind, text, ratio) for kind, text, ratio in self.do(_CONTRASTS)]

    def picture(self, file: Path) -> None:
        """The whole page as a PNG, where a person wants to look: REPORT_PICTURES names the folder."""
        folder = os.environ.get("REPORT_PICTURES")
        if folder:
            width, height = self.do("return [innerWidth, document.documentElement.scrollHeight]")
            clip = {"x": 0, "y": 0, "width": width, "height": min(height, 8000), "scale": 1}
            taken = self.driver.execute_cdp_cmd(
                "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
            )
            (Path(folder) / file).write_bytes(base64.b64decode(taken["data"]))
