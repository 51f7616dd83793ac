"""Screenshots of panes on the synthetic cluster, light and dark: `python labextension/tests/harness/look.py task-stream [rows=1000000 workers=200]`.

Builds the harness (`node tests/harness/build.mjs`), opens it in Chromium and writes PNG files into `--out`. Further words are the address's words
(harness.ts); `--do` is JavaScript that runs before the picture is taken, `--wait` milliseconds go by first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

LABEXTENSION = Path(__file__).resolve().parents[2]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pane", help="one, or several with commas")
    parser.add_argument("words", nargs="*", help="name=value for the page")
    parser.add_argument("--size", default="1200x720")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--out", type=Path, default=Path("/tmp/jupyterfut-looks"))
    parser.add_argument("--build", type=Path, default=Path("/tmp/jupyterfut-looks/harness"), help="where the page is built")
    parser.add_argument("--wait", type=float, default=800.0)
    parser.add_argument("--do", default="", help="JavaScript to run first")
    parser.add_argument("--tag", default="", help="added to the files' names")
    args = parser.parse_args()
    subprocess.run(["node", "tests/harness/build.mjs", str(args.build)], cwd=LABEXTENSION, check=True, stdout=subprocess.DEVNULL)
    from playwright.sync_api import sync_playwright

    args.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, args.size.split("x"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=list(FLAGS))
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.on("pageerror", lambda error: say(f"page: {error}"))
        page.on("console", lambda message: say(f"console: {message.text}") if message.type in ("error", "warning") else None)
        for theme in args.themes.split(","):
            query = {"pane": args.pane, "theme": theme, "still": "1", "now": "1795000000"} | dict(word.split("=", 1) for word in args.words)
            page.goto(f"file://{args.build}/index.html?{urlencode(query)}")
            page.wait_for_function("window.harness !== undefined")
            page.wait_for_timeout(args.wait)
            if args.do:
                page.evaluate(args.do)
                page.wait_for_timeout(300)
            path = args.out / f"{args.pane.replace(',', '+')}{args.tag}-{theme}.png"
            page.screenshot(path=path)
            say(str(path))
        chromium.close()


if __name__ == "__main__":
    main()
