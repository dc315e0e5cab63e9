"""The diagram of who imports whom, ``docs/imports.svg``, drawn from the code.

``python docs/tools/import_diagram.py`` writes it; a test compares it.

Every part of the package has a row and, below its name, a column. A dot says that the part of the
row imports the part of the column. Parts are sorted so that each comes after all that it imports,
which is possible only as long as imports go one way.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import django_kms_secrets

PACKAGE = Path(str(django_kms_secrets.__file__)).parent
DIAGRAM = Path(__file__).parents[1] / "imports.svg"

#: What is everybody's, and would be no news.
_LEFT_OUT = {"", "_version", "backends"}
_STEP = 17  # px from one row to the next
_MARGIN = 14  # px around all
_LETTER = 7  # px for a letter of a name

_STYLE = """\
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .paper { fill: #ffffff; }
  .line { stroke: #d1d9e0; fill: none; }
  .dot { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .paper { fill: #0d1117; }
    .line { stroke: #3d444d; }
    .dot { fill: #3fb950; }
  }
"""


def imported(path: Path, package: Path = PACKAGE) -> set[str]:
    """The modules of ours that a file imports when it runs, in functions too.

    Args:
        path: the file.
        package: the directory of the package that it belongs to.

    Returns:
        Names below the package, such as ``backends.base``.
    """
    here = path.relative_to(package).parent.parts
    used = set()
    for node in _running(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            for alias in node.names:
                inner = package.joinpath(*base, alias.name)
                is_module = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
                used.add(".".join([*base, alias.name] if is_module else base))
    return used - {""}


def _running(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            found += [node, *_running(node)]
    return found


def parts() -> dict[str, set[str]]:
    """Each part with those that it imports; each comes after all of them."""
    graph: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = _part(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        graph.setdefault(name, set()).update(map(_part, imported(path)))
    graph = {name: used - _LEFT_OUT - {name} for name, used in graph.items()}
    for name in _LEFT_OUT & graph.keys():
        del graph[name]
    return {name: graph[name] for name in _sorted(graph)}


def _part(module: str) -> str:
    """What a module belongs to: itself, its package, or its store."""
    names = module.removesuffix(".__init__").split(".")
    return ".".join(names[: 2 if names[0] == "backends" else 1])


def _sorted(graph: dict[str, set[str]]) -> list[str]:
    """By how far up they are, and then by name.

    Raises:
        graphlib.CycleError: imports go in a circle.
    """
    height: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        height[name] = 1 + max((height[used] for used in graph[name]), default=0)
    return sorted(graph, key=lambda name: (height[name], name))


def draw(graph: dict[str, set[str]]) -> str:
    """The diagram, as SVG."""
    at = {name: _MARGIN + (index + 0.5) * _STEP for index, name in enumerate(graph)}
    last = {used: at[name] for name in graph for used in graph[name]}
    body = []
    for name, place in at.items():
        first = min((at[used] for used in graph[name]), default=place)
        low = last.get(name, place)
        body.append(f'<path class="line" d="M{first:g} {place:g}H{place:g}V{low:g}"/>')
    for name, place in at.items():
        body += [
            f'<circle class="dot" cx="{at[used]:g}" cy="{place:g}" r="4"/>'
            for used in sorted(graph[name], key=at.__getitem__)
        ]
        body.append(f'<text x="{place + 7:g}" y="{place + 4:g}">{_label(name)}</text>')
    height = 2 * _MARGIN + len(graph) * _STEP
    width = max(place + 7 + _LETTER * len(_label(name)) for name, place in at.items()) + _MARGIN
    size = f"0 0 {width:g} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img">\n'
        "<title>Who imports whom: every dot is below the diagonal</title>\n"
        f"<style>\n{_STYLE}</style>\n"
        '<rect class="paper" width="100%" height="100%"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _label(name: str) -> str:
    return "django_kms_secrets" if name == "__init__" else name


if __name__ == "__main__":
    DIAGRAM.write_text(draw(parts()), "utf-8")
