"""Copy the third-party files the pages need out of node_modules into app/static/vendor.

Run by ``make setup`` after ``npm ci --ignore-scripts``; needs Python's standard library and node.
Nothing in app/static/vendor is committed: this file and package-lock.json say exactly what is in it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "node_modules"
STATIC = ROOT / "app" / "static"
VENDOR = STATIC / "vendor"

#: Served name -> file in node_modules.
COPIES = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "socket.io.js": "socket.io-client/dist/socket.io.esm.min.js",
    "tom-select.js": "tom-select/dist/js/tom-select.complete.min.js",
    "sortable.js": "sortablejs/Sortable.min.js",
    "squire.js": "squire-rte/dist/squire.mjs",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
    "devanagari.woff2": "@fontsource-variable/noto-sans-devanagari/files/"
    "noto-sans-devanagari-devanagari-wght-normal.woff2",
    "gujarati.woff2": "@fontsource-variable/noto-sans-gujarati/files/noto-sans-gujarati-gujarati-wght-normal.woff2",
}

#: The Unicode ranges of the files. Those of Noto Sans share a family name: a browser fetches them for pages with these
#: scripts, without any rule that names them.
FONTS = """
@font-face{font-family:"Inter";font-style:normal;font-display:swap;font-weight:100 900;
src:url(inter-ext.woff2?v=%(ext)s) format("woff2");
unicode-range:U+0100-02BA,U+02BD-02C5,U+02C7-02CC,U+02CE-02D7,U+1E00-1E9F,U+1EF2-1EFF,U+20A0-20AB,U+20AD-20C0}
@font-face{font-family:"Inter";font-style:normal;font-display:swap;font-weight:100 900;
src:url(inter.woff2?v=%(latin)s) format("woff2");
unicode-range:U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+2000-206F,U+20AC,U+2122,U+2190-2193,U+2212,U+2215,U+FEFF,U+FFFD}
@font-face{font-family:"Inter";font-style:normal;font-display:swap;font-weight:100 900;
src:url(devanagari.woff2?v=%(devanagari)s) format("woff2");
unicode-range:U+0900-097F,U+1CD0-1CF9,U+200C-200D,U+25CC,U+A830-A839,U+A8E0-A8FF}
@font-face{font-family:"Inter";font-style:normal;font-display:swap;font-weight:100 900;
src:url(gujarati.woff2?v=%(gujarati)s) format("woff2");
unicode-range:U+0A80-0AFF}
"""

#: Where purgecss looks for used class names.
CONTENT = ["app/templates/**/*.html", "app/static/js/**/*.js", "app/web/**/*.py"]

#: Kept although no template names them: set by scripts or by FAB's widgets.
SAFELIST = ["active", "disabled", "show", "is-invalid", "form-control", "form-select", "input-group"]
#: Not kept although the word stands somewhere. For `.steps:not(:has(…))>:last-child`, a browser computes the styles of
#: the whole page anew whenever anything in it changes: 20 ms for a list.
BLOCKLIST = ["steps"]
#: Attributes that scripts set.
ATTRIBUTES = ["data-bs-theme"]


def digest(path: Path) -> str:
    """The first 12 characters of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def copy_files() -> None:
    """Copy the files that are served unchanged, without references to source maps, which aren't served."""
    for name, source in COPIES.items():
        target = VENDOR / name
        shutil.copyfile(NODE / source, target)
        if name.endswith(".js"):
            text = target.read_text(encoding="utf-8")
            target.write_text(re.sub(r"\n?//# sourceMappingURL=\S+\s*$", "\n", text), encoding="utf-8")


def purge(source: Path) -> str:
    """``source`` without the rules that no template, script or screen uses."""
    config = {
        "css": [str(source)],
        "content": [str(ROOT / pattern) for pattern in CONTENT],
        "safelist": SAFELIST,
        "blocklist": BLOCKLIST,
        "dynamicAttributes": ATTRIBUTES,
        "variables": True,
        "keyframes": True,
        "fontFace": True,
    }
    script = (
        "const {PurgeCSS} = require('purgecss');"
        "const config = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "new PurgeCSS().purge(config).then(r => process.stdout.write(r[0].css))"
    )
    done = subprocess.run(  # noqa: S603
        ["node", "-e", script],  # noqa: S607
        input=json.dumps(config),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout


def build_base_css() -> None:
    """Inter and the used part of Tabler, in one file: ``base.css``."""
    files = {"ext": "inter-ext", "latin": "inter", "devanagari": "devanagari", "gujarati": "gujarati"}
    fonts = FONTS % {name: digest(VENDOR / f"{file}.woff2") for name, file in files.items()}
    tabler = purge(NODE / "@tabler/core/dist/css/tabler.min.css")
    tabler = re.sub(r"/\*# sourceMappingURL=.*?\*/", "", tabler)
    charset = '@charset "UTF-8";'
    (VENDOR / "base.css").write_text(charset + fonts + tabler.replace(charset, ""), encoding="utf-8")
    pick = (NODE / "tom-select/dist/css/tom-select.min.css").read_text(encoding="utf-8")
    (VENDOR / "tom-select.css").write_text(re.sub(r"/\*# sourceMappingURL=.*?\*/", "", pick), encoding="utf-8")


def build_icons() -> None:
    """One sprite of the icons named in app/static/icons.txt. Exits for an unknown name."""
    names = [line.strip() for line in (STATIC / "icons.txt").read_text(encoding="utf-8").splitlines()]
    symbols = []
    for name in sorted({name for name in names if name and not name.startswith("#")}):
        folder, stem = ("filled", name[:-7]) if name.endswith("-filled") else ("outline", name)
        svg = (NODE / "@tabler/icons/icons" / folder / f"{stem}.svg").read_text(encoding="utf-8")
        inner = re.sub(r"\s*\n\s*", "", svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")])
        paint = (
            'fill="currentColor"'
            if folder == "filled"
            else 'fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"'
        )
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24" {paint}>{inner}</symbol>')
    sprite = '<svg xmlns="http://www.w3.org/2000/svg">' + "".join(symbols) + "</svg>\n"
    (VENDOR / "icons.svg").write_text(sprite, encoding="utf-8")


def build_charts() -> None:
    """The used part of ECharts, in one file: ``echarts.js``. What is used is said in scripts/chart_library.js."""
    esbuild = str(NODE / ".bin" / "esbuild")
    command = [esbuild, str(ROOT / "scripts" / "chart_library.js"), f"--outfile={VENDOR / 'echarts.js'}"]
    subprocess.run([*command, "--bundle", "--minify", "--format=esm", "--log-level=warning"], check=True)  # noqa: S603


def main() -> int:
    """Rebuild app/static/vendor. Returns 1 if ``npm ci`` has not been run."""
    if not NODE.is_dir():
        sys.stderr.write("node_modules is missing: run `npm ci --ignore-scripts` first\n")
        return 1
    VENDOR.mkdir(parents=True, exist_ok=True)
    copy_files()
    build_charts()
    build_base_css()
    build_icons()
    served = sorted(path for path in VENDOR.iterdir() if path.name != "manifest.json")
    manifest = {path.name: digest(path) for path in served}
    (VENDOR / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    for path in served:
        raw = path.read_bytes()
        sys.stdout.write(f"{path.name:18} {len(raw):8} bytes {len(gzip.compress(raw, 9)):8} gzip\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
