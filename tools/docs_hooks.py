"""Checks of the site that MkDocs has none of. Each warning fails a strict build."""

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.docs_hooks")


def on_pre_build(config: dict[str, Any]) -> None:
    """Warns of a page that one language lacks, or whose headings or lists are not those of the other."""
    for problem in unlike_pages(Path(config["docs_dir"])):
        log.warning(problem)


def unlike_pages(docs: Path) -> list[str]:
    """Returns what is unlike in the two languages, a line each."""
    problems = []
    english = {path.name.removesuffix(".md"): path for path in docs.glob("*.md") if not path.name.endswith(".zh.md")}
    chinese = {path.name.removesuffix(".zh.md"): path for path in docs.glob("*.zh.md")}
    for name in sorted(english.keys() ^ chinese.keys()):
        there, missing = (f"{name}.md", f"{name}.zh.md") if name in english else (f"{name}.zh.md", f"{name}.md")
        problems.append(f"{there} has no counterpart {missing}")
    for name in sorted(english.keys() & chinese.keys()):
        if outline(english[name]) != outline(chinese[name]):
            problems.append(f"{name}.md and {name}.zh.md do not have the same headings and list items")
    return problems


def outline(path: Path) -> list[str]:
    """Returns the marks of a page's headings and list items, in order."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^(#+|-|\d+\.) ", text, flags=re.MULTILINE)
