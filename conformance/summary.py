# Summary of the Autobahn suite's reports, as a page: `summary.py FOLDER [--quick]`. The folder has what autobahn.sh
# leaves: server/index.json and client/index.json, with fuzzingclient.log and fuzzingserver.log of the suite itself.
#
# It fails if a case did not run, if a case is not OK, unless it is one of those in which the suite has no right and
# wrong, or if the suite itself broke down. The test is summary_test.py. For Python 2.7, which the suite needs, and 3.
from __future__ import print_function

import io
import json
import os
import sys

ORDER = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"]
# Of the suite 0.8.2, without sections 12 and 13, and for --quick without section 9.
CASES, CASES_OF_SECTION_9 = 301, 54
# In these the suite only tells what it saw.
NO_RIGHT_AND_WRONG = ["7.1.6", "7.13.1", "7.13.2"]
# What Twisted writes of an exception that no code has caught; the suite goes on behind it.
BROKEN_DOWN = ["Traceback (most recent call last)", "Unhandled Error", "Unhandled error in Deferred"]
# Which program of the suite examines which end.
LOGS = [("server", "fuzzingclient.log"), ("client", "fuzzingserver.log")]


def read(path):
    # Twisted's logs have bytes of the cases in them.
    with io.open(path, encoding="utf-8", errors="replace") as text:
        return text.read()


def cases(path):
    agents = json.loads(read(path))
    (_, found), = agents.items()
    return found


def verdict(case):
    """The worse of what a case says of the messages and of the closing."""
    return max(case["behavior"], case["behaviorClose"], key=lambda name: ORDER.index(name) if name in ORDER else 99)


def by_number(name):
    return [int(part) for part in name.split(".")]


def breakdowns(folder):
    """What is wrong with the run itself, whatever the cases say."""
    for end, name in LOGS:
        try:
            log = read(os.path.join(folder, name))
        except (IOError, OSError) as error:
            yield "the suite has left no log of the {}: {}".format(end, error)
            continue
        for trace in BROKEN_DOWN:
            if trace in log:
                yield 'the suite broke down while it examined the {}: {} says "{}"'.format(end, name, trace)


def summarize(folder, quick):
    """Prints the page. Returns what is wrong, a sentence each."""
    faults = list(breakdowns(folder))
    ends = []
    expected = CASES - CASES_OF_SECTION_9 if quick else CASES
    for end, _ in LOGS:
        path = os.path.join(folder, end, "index.json")
        try:
            found = cases(path)
        except (IOError, OSError, ValueError, AttributeError) as error:
            faults.append("there is no report of the {} in {}: {}".format(end, path, error))
            found = {}
        if len(found) != expected:
            faults.append("the {} has run {} cases of {}".format(end, len(found), expected))
        ends.append((end, found))
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
    for name in sorted({name for _, found in ends for name in found}, key=by_number):
        verdicts = [verdict(found[name]) if name in found else "missing" for _, found in ends]
        if verdicts == ["OK", "OK"]:
            continue
        fine = ["OK", "INFORMATIONAL"] if name in NO_RIGHT_AND_WRONG else ["OK"]
        is_fine = all(said in fine for said in verdicts)
        why = "the suite has no right and wrong here" if is_fine else ""
        print("| {} | {} | {} | {} |".format(name, verdicts[0].lower(), verdicts[1].lower(), why))
        for (end, _), said in zip(ends, verdicts):
            if said not in fine:
                faults.append("case {} of the {} is {}".format(name, end, said.lower()))
    return faults


if __name__ == "__main__":
    wrong = summarize(sys.argv[1], "--quick" in sys.argv[2:])
    for fault in wrong:
        print("autobahn: " + fault, file=sys.stderr)
    sys.exit(1 if wrong else 0)
