"""Nothing of the product is there for tests alone: what no product module reaches is wired in, or goes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from tests.architecture.test_floors import PACKAGES, ROOT, our_files

Name = tuple[str, str]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

# Decorators that register nothing; any other (@event, @projects, @follows, @app.command, @pages.get) is an entrance.
PLAIN = frozenset({
    "dataclass", "contextmanager", "cache", "lru_cache", "runtime_checkable", "overload", "total_ordering", "wraps",
})
# Called from outside by name: the console script, `python -m` of shipped modules, Alembic's migrations, and what MLflow
# and MLServer load of a bundle (countersign/attesting).
OUTSIDE = frozenset({"main", "upgrade", "downgrade", "_load_pyfunc", "Runtime"})
# Reached by tests alone, each for the reason given; an entry that is reached again must leave this list.
STANDING: Mapping[Name, str] = {
    ("audit.query", "fits"): "the meaning of a question in plain code; tests hold the SQL of the same question to it",
}


class Module:
    """A module as names: what it defines, what its imports bind, and what each part of it uses."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name, self.tree = name, tree
        self.bound: dict[str, tuple[str, str | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.bound |= {one.asname or one.name: (node.module, one.name) for one in node.names}
            elif isinstance(node, ast.Import):
                self.bound |= {one.asname or one.name: (one.name, None) for one in node.names}

    def parts(self) -> Iterator[tuple[str | None, ast.stmt]]:
        """Statements of the module with the name that each defines; None for what runs when it is imported."""
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, Definition):
                yield node.name, node
            elif isinstance(node, ast.Assign | ast.AnnAssign) and all(isinstance(one, ast.Name) for one in targets):
                # A table of rows or handlers is read as a whole by whoever reads its name.
                for one in targets:
                    yield one.id, node
            else:
                yield None, node


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def unreached(sources: Mapping[str, str]) -> list[Name]:
    """Public functions and classes that nothing reaches from an entrance, by module and name."""
    modules = {name: Module(name, ast.parse(text)) for name, text in sources.items()}
    defined = {(module.name, part): node for module in modules.values() for part, node in module.parts() if part}

    def meant(module: str, name: str, depth: int = 0) -> Name | None:
        """The definition that a name of a module means, through re-exports."""
        if (module, name) in defined or module not in modules or depth > 5:
            return (module, name) if (module, name) in defined else None
        origin = modules[module].bound.get(name)
        return meant(origin[0], origin[1], depth + 1) if origin and origin[1] else None

    def module_of(module: str, text: str) -> str | None:
        """The module that a (dotted) name of a module means."""
        source, part = modules[module].bound.get(text, (text, None))
        full = source if part is None else f"{source}.{part}"
        return full if full in modules else None

    def used(module: str, node: ast.AST) -> set[Name]:
        found: set[Name | None] = set()
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                found.add(meant(module, each.id))
            elif isinstance(each, ast.Attribute) and (other := module_of(module, dotted(each.value))):
                found.add(meant(other, each.attr))
            elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.isidentifier():
                found.add(meant(module, each.value))  # an annotation in quotes, a worker named by its function
        return {one for one in found if one is not None}

    uses: dict[Name, set[Name]] = {}
    waiting: list[Name] = []
    for module in modules.values():
        for part, node in module.parts():
            about = used(module.name, node)
            if part is None:
                waiting += about
                continue
            uses.setdefault((module.name, part), set()).update(about)
            decorators = [
                dotted(one.func if isinstance(one, ast.Call) else one).split(".")[-1]
                for one in getattr(node, "decorator_list", [])
            ]
            if part in OUTSIDE or any(one not in PLAIN for one in decorators):
                waiting.append((module.name, part))
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                waiting += about  # built when the module is imported: a router, a table, an application
    reached: set[Name] = set()
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += uses.get(one, set())
    return sorted(
        name for name, node in defined.items()
        if name not in reached and isinstance(node, Definition) and not name[1].startswith("_")
    )


def product() -> dict[str, str]:
    assert PACKAGES
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for path in our_files()
    }


def test_everything_public_is_reached_by_the_product_itself() -> None:
    """A function or class that only tests call is wired into its use, or deleted with its tests."""
    found = unreached(product())

    assert [f"{module}.{name}" for module, name in found if (module, name) not in STANDING] == []
    assert sorted(STANDING) == [one for one in found if one in STANDING], "an exception that is needed no more"


def test_what_only_a_dead_function_calls_is_dead_as_well() -> None:
    """Reach is followed from the entrances: two that call each other keep nobody alive."""
    room = """
from other import shared
@follows("word")
def effect(): alive()
def alive(): return shared.near()
def dead(): also_dead()
def also_dead(): dead()
class Unused: ...
"""
    shared = "def near(): ...\ndef far(): ...\n"

    assert unreached({"room": room, "other": "", "other.shared": shared}) == [
        ("other.shared", "far"), ("room", "Unused"), ("room", "also_dead"), ("room", "dead"),
    ]


def test_the_wiring_that_was_missing_would_be_found() -> None:
    """Take one command out of the command line: the use case behind it is told."""
    sources = product()
    text = sources["countersign.cli.trial"]
    sources["countersign.cli.trial"] = text.replace("close_site", "train_site")

    assert ("core.trials.sites", "close_site") in unreached(sources)
