"""Where the test suite's time goes, by file and by kind of test, before and after a change.

    make test PYTEST="--junitxml=after.xml"
    python experiments/suite/measure.py before.xml after.xml     # writes durations.csv

``durations.csv`` has a row a file and a row a kind (the mark that each test has: see pyproject.toml): how many tests,
and how many seconds, before and after. Seconds are those of the tests themselves, their fixtures included, added up:
with two at a time a run takes some half of them. Files that moved are found again by the names of their tests, and a
test of before is of the kind that it has after.
"""

from __future__ import annotations

import argparse
import csv
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ["what", "name", "tests_before", "seconds_before", "tests_after", "seconds_after"]


@dataclass(frozen=True)
class Test:
    """A test that was run: its ``file``, its ``name`` without parameters, its ``kind`` and the ``seconds`` it took."""

    file: str
    name: str
    kind: str
    seconds: float


def tests_of(report: Path) -> list[Test]:
    """Read the tests of a JUnit XML file that pytest wrote."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        parts = [part for part in case.get("classname", "").split(".") if part[:1].islower()]
        kinds = [p.get("value", "") for p in case.iter("property") if p.get("name") == "kind"]
        name = case.get("name", "").partition("[")[0]
        found.append(Test("/".join(parts) + ".py", name, (kinds or [""])[0], float(case.get("time", 0))))
    return found


def moved(before: list[Test], after: list[Test]) -> dict[str, str]:
    """Return where each file of ``before`` is: in the file that has most of its tests, or else its name."""
    places: dict[str, set[str]] = defaultdict(set)
    named: dict[str, str] = {}
    for test in after:
        places[test.name].add(test.file)
        named[Path(test.file).name] = test.file
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for test in before:
        votes[test.file].update(places[test.name])
        votes[test.file].update([place for place in places[test.name] if Path(place).name == Path(test.file).name])
    found = {}
    for file, count in votes.items():
        found[file] = count.most_common(1)[0][0] if count else named.get(Path(file).name, file)
    return found


def rows(before: list[Test], after: list[Test]) -> list[dict[str, object]]:
    """Add up tests and seconds by file and by kind; what takes longest before comes first."""
    at = moved(before, after)
    by_name: dict[str, Counter[str]] = defaultdict(Counter)
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for test in after:
        by_name[test.name][test.kind] += 1
        by_file[test.file][test.kind] += 1

    def kind(test: Test) -> str:
        known = by_name.get(test.name) or by_file.get(at[test.file])
        return known.most_common(1)[0][0] if known else "gone"

    found: list[dict[str, object]] = []
    for what, old, new in (
        ("all", [("all", t) for t in before], [("all", t) for t in after]),
        ("kind", [(kind(t), t) for t in before], [(t.kind, t) for t in after]),
        ("file", [(at[t.file], t) for t in before], [(t.file, t) for t in after]),
    ):
        table: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0, 0.0])
        for place, tests in ((0, old), (2, new)):
            for name, test in tests:
                table[name][place] += 1
                table[name][place + 1] += test.seconds
        for name, numbers in sorted(table.items(), key=lambda item: (-max(item[1][1], item[1][3]), item[0])):
            values = [what, name, int(numbers[0]), round(numbers[1], 1), int(numbers[2]), round(numbers[3], 1)]
            found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def main() -> None:
    """Write the table that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="JUnit XML file of a run before the change")
    parser.add_argument("after", type=Path, help="and of one after it")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).with_name("durations.csv"))
    asked = parser.parse_args()
    table = rows(tests_of(asked.before), tests_of(asked.after))
    with open(asked.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    for row in table[:12]:
        print(*row.values(), sep="\t")


if __name__ == "__main__":
    main()
