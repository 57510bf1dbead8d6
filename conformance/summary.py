# Summary of the Autobahn suite's reports, as a page: `summary.py SERVER/index.json CLIENT/index.json`. It fails if a
# case is not OK, unless the suite has no right and wrong there. For Python 2.7, which the suite needs.
from __future__ import print_function

import json
import sys

ORDER = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"]


def cases(path):
    with open(path) as report:
        agents = json.load(report)
    (_, found), = agents.items()
    return found


def verdict(case):
    """The worse of what a case says of the messages and of the closing."""
    return max(case["behavior"], case["behaviorClose"], key=lambda name: ORDER.index(name) if name in ORDER else 99)


def by_number(name):
    return [int(part) for part in name.split(".")]


ends = [("server", cases(sys.argv[1])), ("client", cases(sys.argv[2]))]
columns = [name for name in ORDER if any(verdict(case) == name for _, found in ends for case in found.values())]

print("# Conformance of raw WebSockets")
print()
print("""\
What the [Autobahn suite](https://github.com/crossbario/autobahn-testsuite) 0.8.2 says of `examples/echo-raw`, as a
server and as a client: all cases but those of compression, which is never agreed. `conformance/autobahn.sh` runs the
suite and writes this page.""")
print()
print("| | cases | " + " | ".join(name.lower() for name in columns) + " |")
print("|---|---|" + "---|" * len(columns))
for end, found in ends:
    counts = [sum(1 for case in found.values() if verdict(case) == name) for name in columns]
    print("| {} | {} | {} |".format(end, len(found), " | ".join(map(str, counts))))
print()
print("Each case that is not plainly OK:")
print()
print("| case | server | client | why |")
print("|---|---|---|---|")
bad = False
names = sorted({name for _, found in ends for name in found}, key=by_number)
for name in names:
    verdicts = [verdict(found[name]) if name in found else "missing" for _, found in ends]
    if verdicts == ["OK", "OK"]:
        continue
    is_fine = all(said in ("OK", "INFORMATIONAL") for said in verdicts)
    bad = bad or not is_fine
    why = "the suite has no right and wrong here" if is_fine else ""
    print("| {} | {} | {} | {} |".format(name, verdicts[0].lower(), verdicts[1].lower(), why))
sys.exit(1 if bad else 0)
