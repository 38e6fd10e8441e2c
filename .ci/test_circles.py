#!/usr/bin/env python3
"""Tests of `circles.py` with small crates."""

import tempfile
import unittest
from pathlib import Path

import circles


def found(files):
    """The circles of a crate with these files, each as the names of its files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        modules = []
        circles.read(Path(folder) / "lib.rs", [], None, modules)
        return [[file.name for file in circle] for circle in circles.circles(circles.dependencies(modules))]


class Circles(unittest.TestCase):
    def test_two_files_that_use_each_other_are_one(self):
        a = "use crate::b::B;\npub struct A(B);"
        for b in ["use super::a::A;\npub struct B;", "pub struct B;\nfn f() -> crate::a::A { loop {} }"]:
            self.assertEqual(found({"lib.rs": "mod a;\nmod b;", "a.rs": a, "b.rs": b}), [["a.rs", "b.rs"]])

    def test_an_item_that_is_passed_on_is_its_own_files(self):
        files = {
            "lib.rs": "mod a;\nmod b;\npub use a::A;",
            "a.rs": "use crate::b::{B, other as name};\npub struct A;",
            "b.rs": "use crate::A;\npub struct B;\npub fn other(_: A) {}",
        }
        self.assertEqual(found(files), [["a.rs", "b.rs"]])

    def test_a_chain_is_none(self):
        files = {
            "lib.rs": "mod a;\npub mod b;\npub use a::A;",
            "a.rs": "use crate::b::c::C;\npub struct A(C);",
            "b/mod.rs": "pub mod c;\npub use c::C;",
            "b/c.rs": "pub struct C;",
        }
        self.assertEqual(found(files), [])

    def test_tests_comments_and_strings_do_not_count(self):
        b = 'pub struct B;\n// crate::a::A\nconst S: &str = "crate::a::A";\n#[cfg(test)]\nmod tests { use crate::a::A; }'
        self.assertEqual(found({"lib.rs": "mod a;\nmod b;", "a.rs": "use crate::b::B;\npub struct A;", "b.rs": b}), [])


if __name__ == "__main__":
    unittest.main()
