"""The documentation builds as a site without a warning, none of its links is broken, and a browser opens it."""

import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from conftest import finished, started

pytest.importorskip("mkdocstrings", reason="the docs extra is not installed: pip install 'annealtrain[docs]'")
pytest.importorskip("matplotlib_inline", reason="IPython is not installed: pip install 'annealtrain[docs]'")

import nbformat
from example_notebooks import PATHS, ROOT, ran

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("notebooks")]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """The names that a page can be linked at, and what it asks for: links, and what is loaded with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = {"", "__skip"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.names |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "img", "iframe") and "src" in found:
            self.loaded.append(found["src"])
        elif tag == "link" and "href" in found and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, but for the notebooks, which the tests have run."""
    folder = tmp_path_factory.mktemp("site")
    for name, notebook in ran()[0].items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    hooks = f"hooks: [{ROOT / 'docs/make/pages.py'}]"
    own = [f"INHERIT: {ROOT / 'mkdocs.yml'}", f"docs_dir: {ROOT / 'docs'}", f"site_dir: {folder / 'site'}", hooks]
    (folder / "mkdocs.yml").write_text("\n".join([*own, f"extra: {{notebooks: {folder}}}"]))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    outcome = finished(started(command, folder, NO_MKDOCS_2_WARNING="1"), timeout=300)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def broken(pages: dict[Path, Page]) -> Iterator[tuple[str, str]]:
    """Yield page and link where a file of the site, or a name in a page of it, is asked for that is not there."""
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            if urlparse(link).scheme:
                continue
            target, name = urldefrag(unquote(link))
            where = (path.parent / target).resolve() if target else path
            if not where.is_file() or (where in pages and name not in pages[where].names):
                yield path.name, link


def test_every_page_is_there_and_no_link_is_broken(site: Path, pages: dict[Path, Page]) -> None:
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert wanted | {Path("examples", path.stem + ".html") for path in PATHS} <= {p.relative_to(site) for p in pages}
    assert list(broken(pages)) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    texts = {"a.html": '<a href="b.html#there"></a><a href="c.html"></a>', "b.html": '<p id="here"></p><img src="d">'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = broken({tmp_path / name: Page(tmp_path / name) for name in texts})
    assert list(found) == [("a.html", "b.html#there"), ("a.html", "c.html"), ("b.html", "d")]


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert {
        link for page in pages.values() for link in page.loaded if urlparse(link).scheme not in ("", "data")
    } == set()


def test_docstrings_are_on_the_pages_of_the_code(site: Path) -> None:
    assert "Train a network and return its run." in (site / "api" / "python.html").read_text()
    assert "SolverContract" in (site / "api" / "testing.html").read_text()


def test_what_cells_show_is_on_the_pages_of_the_notebooks(site: Path, pages: dict[Path, Page]) -> None:
    for path in PATHS:
        page = site / "examples" / f"{path.stem}.html"
        assert "output" in page.read_text()
        assert any(link.endswith(".png") for link in pages[page].loaded) or path.stem == "own_machine"


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed: apt-get install chromium")
def test_a_browser_opens_it(site: Path, tmp_path: Path) -> None:
    """The page is laid out, by its own style sheet, and its search is there."""
    script = "<script>addEventListener('load', () => setTimeout(() => { document.title = [" + ", ".join(
        (
            "getComputedStyle(document.querySelector('.md-header')).position",
            "document.querySelector('article img').naturalWidth > 500",
            "document.querySelector('article').getBoundingClientRect().width > 400",
        )
    )
    page = site / "opened.html"
    page.write_text(
        (site / "index.html").read_text().replace("</head>", f"{script}].join(' ') }}, 100))</script></head>")
    )
    own = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,900", "--virtual-time-budget=3000"]
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
    ]
    command = [str(BROWSER), *flags, *own, "--dump-dom", page.as_uri()]
    outcome = finished(started(command, tmp_path, HOME=str(tmp_path)))
    page.unlink()
    assert "<title>sticky true true</title>" in outcome.out, outcome.out[:500]
