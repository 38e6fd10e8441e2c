#!/usr/bin/env python3
"""Tests of language.py: its rules, its reader of comments, and its list of new lines."""

import os
import subprocess
import tempfile
import unittest

import language


def found(path, text):
    """The findings in a text, as (first line, words)."""
    return [(finding.lines[0], finding.words) for finding in language.check(path, text)]


class Rules(unittest.TestCase):
    def test_each_rule_finds_its_bad_sentence_and_no_rule_finds_the_good_one(self):
        for rule in language.RULES:
            with self.subTest(rule.bad):
                advice = [finding.advice for finding in language.check("a.md", rule.bad)]
                self.assertIn(rule.advice, advice)
                self.assertEqual(found("a.md", rule.good), [])

    def test_ordinary_english_is_not_found(self):
        for good in [
            "What does a client get?",
            "The client knows what the server sent.",
            "The lock is held for less than a microsecond.",
            "The user has left the room. They joined and left. The legend is on the left-hand side.",
            "A value that is `None`, or that is None, is skipped.",
            "There is nothing to read. There is a warning.",
            "So many that the table is full.",
        ]:
            with self.subTest(good):
                self.assertEqual(found("a.md", good), [])

    def test_a_sentence_has_at_most_25_words(self):
        words = " ".join(["word"] * 25)
        self.assertEqual(found("a.md", f"{words}. {words}."), [])
        self.assertEqual(found("a.md", f"A {words}.\n"), [(1, "A word word word … (26 words)")])
        # code and the address of a link are one word and none
        self.assertEqual(found("a.md", f"{words[:-5]} `a b c d`."), [])
        self.assertEqual(found("a.md", f"[{words}](a/b-c.md)."), [])
        self.assertEqual(found("a.md", f"- {words}\n- {words}\n\n| {words} | {words} |\n"), [])


class Comments(unittest.TestCase):
    def test_rust(self):
        text = """
            let held = "https://x is kept"; // it is kept
            /// One that
            /// knocks. `kept`, "kept"
            let (a, b) = ('"', r#"" // kept "#); /* kept
            and kept */
            fn f<'a>(kept: &'a str) {} // 'kept'
            //! ```
            //! kept
            //! ```
            //! kept
        """
        lines = [(2, "kept"), (4, "knocks"), (5, "kept"), (6, "kept"), (7, "kept"), (11, "kept")]
        self.assertEqual(found("a.rs", text), lines)

    def test_c(self):
        text = "char *kept = \"// kept\"; // kept\n/* kept\n * kept\n */\nchar c = '\"'; // kept\n"
        self.assertEqual(found("a.h", text), [(1, "kept"), (2, "kept"), (3, "kept"), (5, "kept")])

    def test_python(self):
        text = '"""Kept.\n\n    kept()\n"""\nkept = "# kept"  # kept\ntext = """\n# kept\n"""\n'
        for path, start in [("a.py", ""), ("a", "#!/usr/bin/python3\n")]:
            below = start.count("\n")
            self.assertEqual(found(path, start + text), [(1 + below, "Kept"), (5 + below, "kept")])

    def test_shell_and_toml(self):
        text = 'kept="${#kept}" # kept\n# what it is\n# not\n'
        lines = [(1, "kept"), (2, "what")]
        self.assertEqual(found("a.toml", text), lines)
        self.assertEqual(found("a", "#!/bin/sh\n" + text), [(line + 1, words) for line, words in lines])

    def test_markdown(self):
        text = "# Kept\n\nA client\ngives\nway.\n\n```\nkept\n```\n\n    kept\n\n| kept | a |\n"
        self.assertEqual(found("a.md", text), [(1, "Kept"), (4, "gives way"), (13, "kept")])

    def test_other_files_are_not_checked(self):
        self.assertEqual(found("a.json", "kept // kept # kept"), [])


class NewLines(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        self.git("init", "--quiet")
        self.write("moved.md", "old\n")
        self.write("b.md", "1\n2\n3\n")
        self.commit()

    def git(self, *arguments):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], check=True)

    def write(self, path, text):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def commit(self):
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "test")

    def test_committed_and_uncommitted_lines_are_new_and_moved_lines_are_not(self):
        self.write("a.md", "old\nadded\n")
        self.git("rm", "--quiet", "moved.md")
        self.commit()
        self.write("b.md", "1\n-- 2\n3\n++ 4\n")
        self.write("c.md", "untracked\n")
        lines = {"a.md": {2}, "b.md": {2, 4}, "c.md": None}
        self.assertEqual(language.new_lines("HEAD~1"), lines)

    def test_the_base_is_the_commit_that_added_the_check(self):
        self.assertEqual(language.default_base(), "")
        self.write(".ci/language.py", "")
        self.commit()
        added = language.git("rev-parse", "HEAD").strip()
        self.write(".ci/language.py", "# changed\n")
        self.commit()
        self.assertEqual(language.default_base(), added)

        # a clone of one commit has nothing to compare with
        self.git("clone", "--quiet", "--depth=1", f"file://{os.getcwd()}", "clone")
        os.chdir("clone")
        self.assertEqual(language.default_base(), language.git("rev-parse", "HEAD").strip())
        self.assertEqual(language.new_lines(language.default_base()), {})


if __name__ == "__main__":
    unittest.main()
