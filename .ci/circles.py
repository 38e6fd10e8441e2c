#!/usr/bin/env python3
"""Finds files that depend on each other in a circle, in the Rust code of every crate outside its tests.

A file depends on another one if it names an item that is defined there. It does so in a `use`, or by a path
that begins with `crate`, `super`, `self` or a module. A re-exported name is an item of the file that defines
it. `--list` prints each dependency.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each crate by the file of its root module.
CRATES = [
    "chatproto/src/lib.rs",
    "chatproto/benches/peers/main.rs",
    "chatproto-c/src/lib.rs",
    "chatproto-py/src/lib.rs",
    "server-example/src/lib.rs",
    "server-example/store/src/lib.rs",
    "server-example/http/src/lib.rs",
    "server-example/load/src/lib.rs",
    "server-example/check/src/lib.rs",
    "server-example/metrics/src/lib.rs",
    "server-example/chat/src/lib.rs",
    "server-example/shared/src/lib.rs",
]

# The circles that are still there, by one file of each. A new one fails, and so does a line that is needed no longer.
KNOWN: set[str] = set()

TOKEN = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                                    # comments
  | b?r(?P<hashes>\#*)".*?"(?P=hashes)                        # raw strings
  | b?"(?:\\.|[^"\\])*"                                     # strings
  | b?'(?:\\.[^']*|[^'\\])'                                 # characters
    """,
    re.VERBOSE | re.DOTALL,
)
DEFINITION = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:default\s+|async\s+|const\s+|unsafe\s+|extern\s+(?:\"\w*\"\s+)?)*"
    r"(?:fn|struct|enum|union|trait|type|const|static|macro_rules!)\s+(?:mut\s+)?(\w+)",
    re.MULTILINE,
)
USE = re.compile(r"^[ \t]*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
MODULE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*(;|\{)", re.MULTILINE)
PATH = re.compile(r"(?<![\w:])((?:\w+::)+\w+)")


def without_literals(text):
    """The code alone; what is taken out leaves its line feeds."""
    return TOKEN.sub(lambda match: "\n" * match.group().count("\n") or " ", text)


def end_of_block(text, start):
    """Where the block ends whose brace is at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return len(text)


def without_tests(text):
    """The code without the items that only tests have."""
    marker = re.compile(r"#\[cfg\((?:test|any\(test[^\]]*|all\((?:test|any\(test)[^\]]*)\)\]")
    while match := marker.search(text):
        end = re.compile(r"[;{]").search(text, match.end())
        stop = end_of_block(text, end.start()) if end and end.group() == "{" else (end.end() if end else len(text))
        text = text[: match.start()] + text[stop:]
    return text


def names_of_use(tree):
    """The paths of a `use`, each with the name that it gives: `a::{b, c as d}` has two."""
    tree = " ".join(tree.split())
    if "{" in tree:
        start = tree.index("{")
        before, inside = tree[:start], tree[start + 1 : tree.rindex("}")]
        depth, part, parts = 0, "", []
        for character in inside:
            depth += {"{": 1, "}": -1}.get(character, 0)
            if character == "," and depth == 0:
                parts.append(part)
                part = ""
            else:
                part += character
        for part in [*parts, part]:
            if part.strip():
                yield from names_of_use(before.strip() + part.strip())
        return
    path, _, alias = tree.partition(" as ")
    path = path.strip().removesuffix("::self")
    yield path.split("::"), alias.strip() or path.split("::")[-1]


class Module:
    """A module that is a file."""

    def __init__(self, path, file, parent):
        self.path, self.file, self.parent = path, file, parent
        self.children, self.uses = {}, []
        self.code = without_tests(without_literals(file.read_text(encoding="utf-8")))
        self.defined = set(DEFINITION.findall(self.code))
        self.passed_on = []
        for visibility, tree in USE.findall(self.code):
            uses = list(names_of_use(tree))
            self.uses.extend(uses)
            if visibility:
                self.passed_on.extend(path for path, _ in uses)


def read(file, path, parent, modules):
    """Reads the module of a file, and those below it."""
    module = Module(path, file, parent)
    modules.append(module)
    is_root = file.name in ("lib.rs", "main.rs", "mod.rs")
    folder = file.parent if is_root else file.with_suffix("")
    for name, end in MODULE.findall(module.code):
        below = [folder / f"{name}.rs", folder / name / "mod.rs"]
        for candidate in below if end == ";" else []:
            if candidate.is_file():
                module.children[name] = read(candidate, [*path, name], module, modules)
    return module


def resolve(module, path, depth=0):
    """The module whose file defines what a path in `module` names, or `None` if it is not of this crate."""
    at, parts = module, list(path)
    if depth > 8:
        return None
    head = parts[0]
    if head == "crate":
        while at.parent:
            at = at.parent
        parts = parts[1:]
    elif head in ("super", "self"):
        while parts and parts[0] in ("super", "self"):
            at = at.parent if parts[0] == "super" else at
            parts = parts[1:]
            if at is None:
                return None
    elif head not in at.children:
        # a name that a `use` of this module gives
        for target, name in at.uses:
            if name == head and target[0] != head and len(path) > 1:
                return resolve(at, [*target, *parts[1:]], depth + 1)
        return None
    while parts and parts[0] in at.children:
        at, parts = at.children[parts[0]], parts[1:]
    if not parts or parts[0] in at.defined:
        return at
    for target, name in at.uses:
        if name == parts[0] and target != path:
            return resolve(at, target, depth + 1) or at
    for target, name in at.uses:
        if name == "*":
            found = resolve(at, [*target[:-1], parts[0]], depth + 1)
            if found and parts[0] in found.defined:
                return found
    return at


def dependencies(modules):
    """For each file, the files on which it depends, each with the names."""
    edges = {module.file: {} for module in modules}
    for module in modules:
        paths = [path for path, _ in module.uses]
        # a module that only passes on what is below it does not depend on that
        paths = [path for path in paths if path not in module.passed_on]
        body = USE.sub("", module.code)
        paths += [path.split("::") for path in PATH.findall(body)]
        for path in paths:
            target = resolve(module, path)
            if target is not None and target is not module:
                edges[module.file].setdefault(target.file, set()).add(path[-1])
    return edges


def circles(edges):
    """The strongly connected components of more than one file (Tarjan)."""
    index, low, stack, found, count = {}, {}, [], [], 0

    def visit(start):
        nonlocal count
        work = [(start, iter(edges[start]))]
        index[start] = low[start] = count
        count += 1
        stack.append(start)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = count
                    count += 1
                    stack.append(target)
                    work.append((target, iter(edges[target])))
                    break
                if target in stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                    if len(component) > 1:
                        found.append(sorted(component))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def main():
    lists, found = "--list" in sys.argv, []
    for root in CRATES:
        modules = []
        read(ROOT / root, [], None, modules)
        edges = dependencies(modules)
        if lists:
            for file, targets in edges.items():
                for target, names in targets.items():
                    print(f"{file.relative_to(ROOT)} -> {target.relative_to(ROOT)}: {', '.join(sorted(names))}")
        found += [(circle, edges) for circle in circles(edges)]
    known, new = set(), 0
    for circle, edges in found:
        names = {str(file.relative_to(ROOT)) for file in circle}
        if names & KNOWN:
            known |= names & KNOWN
            continue
        new += 1
        print(f"circle of {len(circle)} files:")
        for file in circle:
            for target in circle:
                if items := edges[file].get(target):
                    names = ", ".join(sorted(items)[:8])
                    print(f"  {file.relative_to(ROOT)} -> {target.relative_to(ROOT)}: {names}")
    for file in sorted(KNOWN - known):
        print(f"{file} is in no circle any more: take it out of KNOWN")
    print(f"circles: {new} new, {len(found) - new} known")
    return 1 if new or KNOWN - known else 0


if __name__ == "__main__":
    sys.exit(main())
