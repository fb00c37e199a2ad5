"""What mkdocs is to make pages of beside docs/: the README as the first one, the changes, and the notebooks, run.

mkdocs calls on_files, on_page_markdown and on_page_content. Links of the sources are those of the checkout, as its
readers need them.
"""

import base64
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))
import notebooks  # noqa: E402

FROM_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[)#])")
ARGUMENT = re.compile(r"(<p>|(?<=[.:])\n)(\w+(?:, \w+)*): ")  # "num_reads: ...", where a line of a docstring begins


def on_files(files: Files, config: Any) -> Files:
    """Return mkdocs's files with those that are made here."""
    for name, page in FROM_ROOT.items():
        files.append(File.generated(config, page, content=relinked((ROOT / name).read_text(), "", page)))
    for stem, notebook in ran(config.extra.get("notebooks")).items():
        texts: list[str] = []
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                texts.append(relinked(cell.source, "examples", f"examples/{stem}.md"))
                continue
            texts.append(f"```python\n{cell.source}\n```")
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    path = f"examples/{stem}_{len(texts)}.png"
                    files.append(File.generated(config, path, content=base64.b64decode(output.data["image/png"])))
                    texts.append(f"![what the cell draws]({posixpath.basename(path)})")
                else:
                    texts.append(text_of(output))
        files.append(File.generated(config, f"examples/{stem}.md", content="\n\n".join(texts)))
    return files


def ran(folder: str | None) -> dict[str, Any]:
    """Return the notebooks with what they show, by name; folder: where they lie if they have been run already."""
    paths = sorted((ROOT / "examples").glob("*.ipynb"))
    if folder is None:
        return notebooks.run(paths)
    return {path.stem: nbformat.read(Path(folder) / path.name, as_version=4) for path in paths}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page of docs/ with its links to files outside of it changed to the pages made of them."""
    path = page.file.src_uri
    return markdown if page.file.generated_by else relinked(markdown, posixpath.dirname(f"docs/{path}"), path)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Return a page's HTML; in pages of docstrings each line that begins with what it is about is a line there too."""
    if not page.file.src_uri.startswith("api/"):
        return html
    return ARGUMENT.sub(lambda found: f"{'<p>' if found[1] == '<p>' else '<br>'}<code>{found[2]}</code>: ", html)


def relinked(text: str, folder: str, page: str) -> str:
    """Return a text that lies in a folder of the checkout, its links changed to what they are from a page."""

    def changed(match: re.Match[str]) -> str:
        target = page_of(posixpath.normpath(posixpath.join(folder, match[1])))
        return match[1] if target is None else posixpath.relpath(target, posixpath.dirname(page) or ".")

    return LINK.sub(changed, text)


def page_of(path: str) -> str | None:
    """Return the page, or the file of docs/, that a path of the checkout is in the site; None where it has none."""
    if path in FROM_ROOT:
        return FROM_ROOT[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if re.fullmatch(r"examples/\w+\.ipynb", path):
        return path.removesuffix(".ipynb") + ".md"
    return None


def text_of(output: Any) -> str:
    """Return what a cell prints or shows as HTML, else as text."""
    if output.output_type == "stream":
        return f"``` {{ .text .output }}\n{output.text.rstrip()}\n```"
    if "text/html" in output.data:
        html = re.sub(r"<style.*?</style>", "", output.data["text/html"], flags=re.S)
        return re.sub(r"\n\s*", "", html).replace(' border="1" class="dataframe"', "")
    return f"``` {{ .text .output }}\n{output.data['text/plain']}\n```"
