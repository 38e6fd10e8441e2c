#!/usr/bin/env python3
"""Checks the language of comments and documents against a table of patterns.

The table, RULES, comes first. Each rule names the words to avoid and says what to write instead.
Below it are the reader of comments and the list of new lines. Spelling and links are not checked
here, but by `typos` and `lychee`.

    .ci/language.py             checks the lines that are new since this check was added
    .ci/language.py --base REV  checks the lines that are new since REV
    .ci/language.py --all       checks every line

Code and quotations are exempt: `in backquotes`, "in quotes", and blocks of code.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from typing import NamedTuple


class Rule(NamedTuple):
    pattern: str  # a regular expression, matched in one sentence, in either case
    advice: str
    bad: str  # a sentence that this rule finds
    good: str  # the same in better words, which no rule finds
    unless: str = "(?!)"  # a regular expression: the rule does not apply to a sentence that has it


THING = (
    r"(?:buffer|connection|decoder|file|frame|hub|line|loop|message|queue|server|socket|table|thread)s?"
)
VERB = r"(?:is|are|was|were|has|have|may|must|can|will|gets?|goes|becomes?)"

RULES = [
    Rule(
        r"^(?:who(?:se|m)?|what(?:ever)?)\b",
        "Name the thing: a heavy sender, a client that reads slowly, an unknown option.",
        "Who is ahead of the rate becomes a heavy sender.",
        "A connection that exceeds its rate limit becomes a heavy sender.",
        unless=r"\?\W*$",
    ),
    Rule(
        r"[:;,] (?:(?:and|but|or) )?(?:who|what) "
        rf"(?:(?!{VERB}\b)[^,;:.])* {VERB}\b",
        "Name the thing: do not begin a clause with who or what.",
        "The hub is poisoned, and what they still read is stale.",
        "The hub is poisoned: later reads return stale data.",
    ),
    Rule(
        r"\b(?:whoever|that which|(?:those|one|ones|he|him|they|them|nobody|all) whom?)\b",
        "Name the party: a client that, a user who, the holder of the name.",
        "Takes the name from whoever has it.",
        "Revokes the name of its current holder.",
    ),
    Rule(
        r"(?:^|[:;] )of (?:the|these|those|all|its|their|several|two)\b",
        "Do not invert the sentence: put the subject first.",
        "Of the others, the oldest is next.",
        "The oldest of the others is next.",
    ),
    Rule(
        rf"\b{THING} (?:wants?|wish(?:es)?|hopes?|likes?|thinks?|believes?|cares?|minds?|dislikes?)\b",
        "Do not personify: say what the component does.",
        "The server wants a name first.",
        "The server requires a name first.",
    ),
    Rule(
        rf"\b{THING} (?:[\w ]+ )?wait(?:s|ing)? for (?:any|no|some)body\b",
        "Do not personify: say which event ends the wait.",
        "A buffer does not wait for anybody.",
        "A buffer is flushed without a delay.",
    ),
    Rule(
        r"\b(?:take|takes|took|taken|taking|give|gives|gave|given|giving|has|have|had)"
        r" (?:\w+ )?(?:the|your|his|her|their|its|my|somebody's) word\b",
        "Use the field's term: mute, unmute, the right to speak, trust.",
        "A moderator took your word.",
        "A moderator muted you.",
    ),
    Rule(
        r"\b(?:has|have|had) (?:one|it|them|him|somebody|nobody) (?:wait|read|write|send|ask|try|go)\b",
        "State cause and effect: each further failure doubles the wait.",
        "This has one wait twice as long.",
        "Each further failure doubles the wait.",
    ),
    Rule(
        r"\b(?:knocks?|knocked|knocking|knockers?|doors?|barred)\b",
        "Use the field's term: a client that connects, the acceptor, banned.",
        "One that knocks is told that the server is full.",
        "A client that connects gets the notice that the server is full.",
    ),
    Rule(
        r"\b(?:gives?|gave|given|giving) way\b",
        "Use the field's term: yields, is evicted, is served later.",
        "A heavy sender gives way to light ones.",
        "A heavy sender is served after light senders.",
    ),
    Rule(
        r"\b(?:sparse|bulk)\b",
        "Use the field's term: light senders, heavy senders.",
        "This connection is one of the bulk.",
        "This connection is a heavy sender.",
    ),
    Rule(
        r"\bkept\b",
        "Use the field's term: stored, retained, cached, saved, unchanged.",
        "The message is kept for an hour.",
        "The message is stored for an hour.",
    ),
    Rule(
        r"\bheld\b",
        "Use the field's term: stored, queued, delayed, reserved, owned.",
        "The answer is held until the login.",
        "The answer is queued until the login.",
        unless=r"\b(?:(?:un)?lock\w*|mutex\w*|guards?|leases?)\b",
    ),
    Rule(
        r"\bleft\b",
        "Use the field's term: remaining, pending, unread, unused.",
        "No time is left.",
        "No time remains.",
        # users leave rooms, and plots have a left side
        unless=r"\b(?:has|have|had|who|user|client|member|joined,?|joined (?:and|or)|the|to) left\b"
        r"|\bleft(?:-| the\b| side\b| (?:and|or|to) right\b)",
    ),
    Rule(
        r"\bso (?:many|much)\b(?! (?:as|that|more|less)\b)|\bwhat there is\b|\bhow many there are\b",
        "State the value, its unit, its default and the behaviour at its edge.",
        "The server reads so many bytes at a time.",
        "The server reads at most 64 KiB at a time.",
    ),
    Rule(
        r"\b(?:that|which|who|it|one) (?:is|are) (?:(?-i:none)|not there|no longer there)\b",
        "Say unknown, invalid, missing or absent.",
        "An option that is not there is refused.",
        "An unknown option is refused.",
    ),
    Rule(
        r"\bof no account\b|\bhas its say\b|\bha(?:s|ve) (?:more |nothing |something )?to say\b",
        "Use the field's term: ignored, discarded, idle, has data to send.",
        "Later reads are of no account.",
        "Later reads are ignored.",
    ),
    Rule(
        r"\bcut short\b",
        "Say what happened: was truncated, did not shut down cleanly.",
        "The server before this one was cut short.",
        "The previous run did not shut down cleanly.",
    ),
    Rule(
        r"\b(?:gives?|gave|given|giving) back\b",
        "Use the field's term: release, free, shrink, return.",
        "Memory is given back after a peak.",
        "Collections shrink after a peak.",
    ),
    Rule(
        r"\b(?:departed|erring)\b",
        "Use the field's term: disconnected, protocol error.",
        "The client departed, too slow or erring.",
        "The client was disconnected: slow reader or protocol errors.",
    ),
    Rule(
        r"\bthere (?:is|are) (?:no )?(?:speaking|talking|reading|writing|sending|waiting|going|asking)\b",
        "Name the party: a client can work within these limits.",
        "There is speaking under these limits.",
        "A client can work within these limits.",
    ),
]

LONGEST = 25  # words of a sentence
LENGTH_ADVICE = f"Write one thought per sentence, in at most {LONGEST} words."

# generated from comments that are checked where they were written
GENERATED = {"chatproto-c/include/chatproto.h"}


class Finding(NamedTuple):
    lines: range  # the lines that the words are on
    words: str
    advice: str


# --- from a file to its comments: (line, text, whether it continues the comment of the line before)

STRING = r'"(?:\\.|[^"\\])*"'
SLASHES = r"(?P<text>//[^\n]*|/\*.*?\*/)"
HASHES = re.compile(r"^(?:.*?[ \t])??(?P<text>#(?:[ \t].*)?)$", re.M)
RUST = re.compile(rf"\b[bc]?r(#*)\".*?\"\1|{STRING}|'(?:\\[^\n]+?|[^'\\\n])'|{SLASHES}", re.S)
C = re.compile(rf"{STRING}|'(?:\\.|[^'\\\n])+'|{SLASHES}", re.S)
PYTHON = re.compile(
    r'(?m:^[ \t]*)r?(?P<doc>""".*?""")|""".*?"""|(?P<text>#[^\n]*)|'
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
    re.S,
)
BY_SUFFIX = {
    ".rs": RUST, ".c": C, ".h": C, ".cpp": C, ".hpp": C, ".py": PYTHON, ".pyi": PYTHON,
    ".sh": HASHES, ".toml": HASHES, ".cmake": HASHES, ".yml": HASHES, ".yaml": HASHES,
    ".md": "markdown",
}  # fmt: skip
MARKER = re.compile(r'^\s*(?:///?!?|//!|/\*+!?|\*/|\*(?= |$)|#+!?|""")\s?|\s*(?:\*/|""")\s*$')


def kind(path, text):
    """The pattern of a file's comments, "markdown", or None for a file that is not checked."""
    if path.suffix in BY_SUFFIX or path.name == "CMakeLists.txt":
        return BY_SUFFIX.get(path.suffix, HASHES)
    if text.startswith("#!"):
        return PYTHON if "python" in text.partition("\n")[0] else HASHES
    return None


def comments(path, text):
    """Every line of prose in a file, as (line, prose, whether it continues the line before)."""
    pattern = kind(pathlib.PurePath(path), text)
    if pattern == "markdown":
        for number, line in enumerate(text.split("\n"), 1):
            yield number, line, True
        return
    beside_code = False
    for match in pattern.finditer(text) if pattern else ():
        group = "doc" if match.groupdict().get("doc") else "text"
        comment = match.group(group)
        if comment is None or comment.startswith("#!"):
            continue
        start = match.start(group)
        first = text.count("\n", 0, start) + 1
        was_beside_code = beside_code
        beside_code = bool(text[text.rfind("\n", 0, start) + 1 : start].strip())
        continues = comment.startswith(("//", "#")) and not (beside_code or was_beside_code)
        head, newline, rest = comment.partition("\n")
        for offset, line in enumerate((head + newline + textwrap.dedent(rest)).split("\n")):
            yield first + offset, MARKER.sub("", line), offset > 0 or continues


# --- from comments to sentences

FENCE = re.compile(r"^\s*(?:```|~~~)")
ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.|>)\s+")
HEADING = re.compile(r"^\s*#{1,6}\s+")
END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\betc)[.!?][)\]*_\"']*\s+")
WORD = re.compile(r"[^\W_][\w'’.,:/+-]*")


def paragraphs(prose):
    """Lists of (line, text) that belong together: a paragraph, an item, a heading, a cell."""
    paragraph, fenced, last = [], False, 0
    for number, text, continues in prose:
        adjacent = continues and number == last + 1
        fenced = fenced and adjacent
        last = number
        is_fence, is_row = FENCE.match(text), text.lstrip().startswith("|")
        begins = ITEM.match(text) or HEADING.match(text)
        if paragraph and (not adjacent or is_fence or is_row or begins or not text.strip()):
            yield paragraph
            paragraph = []
        if is_fence:
            fenced = not fenced
        elif fenced or not text.strip() or (text.startswith("    ") and not paragraph):
            continue
        elif is_row:
            yield from ([(number, cell.strip())] for cell in re.split(r"(?<!\\)\|", text))
        elif HEADING.match(text):
            yield [(number, HEADING.sub("", text))]
        else:
            paragraph.append((number, ITEM.sub("", text)))
    if paragraph:
        yield paragraph


def masked(text):
    """The text without what is exempt, at the same length: code, quotations, addresses."""
    text = re.sub(r"(`+).+?\1|<?https?://[^\s)>]+>?", lambda code: "x" * len(code[0]), text)
    text = re.sub(r"\]\([^)]*\)|\]\[[^\]]*\]", lambda link: "·" * len(link[0]), text)
    return re.sub(r'["“][^"“”]*["”]', lambda quote: re.sub(r"\w", "x", quote[0]), text)


def check(path, text):
    """Yields the findings in a file."""
    for paragraph in paragraphs(comments(path, text)):
        whole = " ".join(line for _, line in paragraph)
        line_at = [number for number, line in paragraph for _ in range(len(line) + 1)]
        checked, begin = masked(whole), 0
        for end in [match.end() for match in END.finditer(checked)] + [len(checked)]:
            sentence = checked[begin:end].rstrip()
            for rule in RULES:
                if re.search(rule.unless, sentence, re.I):
                    continue
                for match in re.finditer(rule.pattern, sentence, re.I):
                    first, last = begin + match.start(), begin + match.end()
                    lines = range(line_at[first], line_at[last - 1] + 1)
                    yield Finding(lines, whole[first:last].strip(" ,:;"), rule.advice)
            words = len(WORD.findall(sentence))
            if words > LONGEST:
                lines = range(line_at[begin], line_at[begin + len(sentence) - 1] + 1)
                start = " ".join(whole[begin:end].split()[:4])
                yield Finding(lines, f"{start} … ({words} words)", LENGTH_ADVICE)
            begin = end


# --- which lines are new

HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def git(*arguments):
    command = ["git", "-c", "core.quotePath=off", *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace")
    if result.returncode:
        sys.exit(f"language: git {arguments[0]} failed")
    return result.stdout


def default_base():
    """The commit that added this check: older lines wait for a review of the whole tree.

    In a shallow clone, this is the oldest commit that the clone has.
    """
    return git("log", "--diff-filter=A", "--format=%H", "-1", "--", ":/.ci/language.py").strip()


def new_lines(base):
    """The numbers of the new lines of each file. A line that moved is not new."""
    options = ["--unified=0", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/"]
    added, removed, path, number, olds, news = [], set(), None, 0, 0, 0
    for line in git("diff", *options, base, "--").split("\n"):
        if olds and line.startswith("-"):
            removed.add(line[1:].strip())
            olds -= 1
        elif news and line.startswith("+"):
            added.append((path, number, line[1:].strip()))
            number, news = number + 1, news - 1
        elif line.startswith("+++ "):
            path = line[4:].split("\t")[0].removeprefix("b/")
        elif hunk := HUNK.match(line):
            olds, number, news = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
    lines = {}
    for path, number, line in added:
        if line not in removed:
            lines.setdefault(path, set()).add(number)
    for path in git("ls-files", "--others", "--exclude-standard").splitlines():
        lines[path] = None
    return lines


def main():
    parser = argparse.ArgumentParser(description="Checks the language of comments and documents.")
    parser.add_argument("--all", action="store_true", help="check every line, not only new ones")
    parser.add_argument("--base", metavar="REV", help="check the lines that are new since REV")
    options = parser.parse_args()
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    base = options.base or default_base()
    lines = {}
    if options.all:
        lines = dict.fromkeys(git("ls-files").splitlines())
    elif base:
        print(f"language: new lines since {git('log', '-1', '--format=%h (%s)', base).strip()}")
        lines = new_lines(base)
    if not lines:
        print("language: nothing is new; --all checks every line")
    count = 0
    for path, numbers in sorted(lines.items()):
        if path in GENERATED:
            continue
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # deleted, a folder, or not a text
        for finding in sorted(check(path, text), key=lambda finding: finding.lines[0]):
            wanted = [line for line in finding.lines if numbers is None or line in numbers]
            if wanted:
                count += 1
                print(f"{path}:{wanted[0]}: {finding.words}: {finding.advice}")
    print(f"language: {count or 'no'} finding{'s' * (count != 1)}")
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())
