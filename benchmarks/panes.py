"""How fast the dashboard's panes are drawn: `python -m benchmarks.panes [--rows 1000000] [--quick] [--json FILE]`.

The panes stand in a page of a real headless Chromium and are fed by a cluster that does not exist (labextension/tests/harness), so nothing but the
page is measured. Chromium runs without a graphics processor: a machine that has one is faster.

    zoom, pan      frames a second of the task stream with all rows in view at first, while it is zoomed or panned in every frame
    live           frames a second while ten messages a second arrive, all rows in view
    draw           milliseconds that one picture takes: median, and 95 % of all
    load           milliseconds to take in the first message with all rows
    pointer        milliseconds from a pointer's move to the picture

`frames` are those that the page has drawn, by `requestAnimationFrame`; 60 is the most that the browser gives.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
TARGET_FPS = 30

MOVE = """
async ({ seconds, what }) => {
  const pane = harness.panes[0];
  const { scene } = pane;
  const { view } = scene;
  if (what === 'pan') {
    view.zoom(3, 1);
  }
  const times = [];
  const drawn = [];
  const frame = () => new Promise(done => requestAnimationFrame(done));
  await frame();
  const began = performance.now();
  for (let n = 0, last = began; performance.now() - began < seconds * 1000; n++) {
    if (what === 'zoom') {
      view.live = false;
      view.zoom(n % 120 < 60 ? 1.06 : 1 / 1.06, 0.4);
      pane.moved();
    } else if (what === 'pan') {
      view.pan(view.span * (n % 160 < 80 ? -0.01 : 0.01));
      pane.moved();
    } else if (what === 'live') {
      if (n % 6 === 0) {
        harness.feed.step(0.1);
      }
    } else {
      pane.pointed(scene.hit(300 + (n % 400), 100 + (n % 200)), 300 + (n % 400), 100 + (n % 200));
    }
    const now = await frame();
    times.push(now - last);
    last = now;
    drawn.push(scene.took);
  }
  return { times: times.slice(1), drawn };
}
"""

SHAPES = {
    "100 workers, one thread": {"workers": 100, "threads": 1},
    "16 workers, two threads": {"workers": 16, "threads": 2},
    "1,000 workers, eight threads": {"workers": 1000, "threads": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", default="1600x900")
    parser.add_argument("--quick", action="store_true", help="one shape, one second each")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    load = os.getloadavg()[0]
    if load > 1:
        print(f"the machine is busy (load {load:.1f}): frames a second say little, the time of a draw is too long")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["node", "tests/harness/build.mjs", folder], cwd=ROOT / "labextension", check=True, stdout=subprocess.DEVNULL)
        shapes = dict(list(SHAPES.items())[:1]) if args.quick else SHAPES
        for name, shape in shapes.items():
            results[name] = measure(Path(folder), shape | {"rows": args.rows, "span": 600}, args.size, 1.0 if args.quick else 4.0)
            show(name, args.rows, results[name])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def measure(page_folder: Path, words: dict[str, int], size: str, seconds: float) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    width, height = map(int, size.split("x"))
    query = urlencode({"pane": "task-stream", "still": "1", "now": "1795000000"} | words)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=list(FLAGS))
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.goto(f"file://{page_folder}/index.html?{query}")
        page.wait_for_function("window.harness !== undefined")
        load = page.evaluate(
            "() => { const message = harness.feed.cluster.taskStream(harness.feed.cluster.options.now, null); const began = performance.now();"
            " harness.panes[0].takeStream(message); return performance.now() - began; }"
        )
        page.evaluate("() => { harness.panes[0].scene.view.showAll(); harness.panes[0].moved(); }")
        page.wait_for_timeout(500)
        kept = page.evaluate("harness.panes[0].scene.store.size")
        moves: dict[str, Any] = {}
        for what in ("live", "zoom", "pan", "pointer"):
            page.evaluate("() => { harness.panes[0].scene.view.showAll(); harness.panes[0].moved(); }")
            moves[what] = page.evaluate(MOVE, {"seconds": seconds, "what": what})
        chromium.close()
    return {"load_ms": load, "rows": kept, "moves": moves}


def show(name: str, rows: int, result: dict[str, Any]) -> None:
    print(f"{name}: {result['rows']:,} rows kept, taken in within {result['load_ms']:.0f} ms")
    for what, samples in result["moves"].items():
        times = samples["times"]
        fps = 1000 * len(times) / sum(times)
        late = statistics.quantiles(times, n=20)[-1]
        drawn = samples["drawn"]
        print(
            f"  {what:8} {fps:5.1f} frames/s (target {TARGET_FPS}: {'met' if fps > TARGET_FPS else 'MISSED'}), 95 % within {late:.0f} ms;"
            f" draw {statistics.median(drawn):.1f} ms, 95 % within {statistics.quantiles(drawn, n=20)[-1]:.1f} ms"
        )


if __name__ == "__main__":
    main()
