# Tests that summary.py accepts a good run of the Autobahn suite and refuses each kind of bad one: `summary_test.py`.
# For Python 2.7 and 3, without packages.
from __future__ import print_function

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import summary

SUMMARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "summary.py")
# As many as without section 9; which sections they are in does not matter.
QUICK = summary.CASES - summary.CASES_OF_SECTION_9


def good_cases(count):
    names = list(summary.NO_RIGHT_AND_WRONG)
    found = {name: {"behavior": "INFORMATIONAL", "behaviorClose": "OK"} for name in names}
    for number in range(count - len(names)):
        found["1.1.{}".format(number + 1)] = {"behavior": "OK", "behaviorClose": "OK"}
    return found


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        for end, log in summary.LOGS:
            os.mkdir(os.path.join(self.folder, end))
            self.report(end, good_cases(QUICK))
            self.write(log, "Using Twisted reactor class\nRunning test case ID 1.1.1\n")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as target:
            target.write(text)

    def report(self, end, found):
        self.write(os.path.join(end, "index.json"), json.dumps({end: found}))

    def change(self, end, name, **changes):
        found = good_cases(QUICK)
        found[name].update(changes)
        self.report(end, found)

    def run_summary(self, *options):
        command = [sys.executable, SUMMARY, self.folder] + list(options)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        page, faults = child.communicate()
        return child.returncode, page, faults

    def accepts(self, *options):
        code, page, faults = self.run_summary(*options)
        self.assertEqual((code, faults), (0, ""))
        return page

    def refuses(self, *sentences):
        code, _, faults = self.run_summary("--quick")
        self.assertEqual(code, 1)
        # These faults and no others, and no exception of summary.py's own.
        self.assertEqual(len(faults.splitlines()), len(sentences), faults)
        for sentence in sentences:
            self.assertIn(sentence, faults)

    def test_a_good_quick_run(self):
        self.assertIn("| server | 247 | 244 | 3 |", self.accepts("--quick"))

    def test_a_good_complete_run(self):
        for end, _ in summary.LOGS:
            self.report(end, good_cases(summary.CASES))
        self.assertIn("| client | 301 | 298 | 3 |", self.accepts())

    def test_a_quick_run_is_no_complete_run(self):
        code, _, faults = self.run_summary()
        self.assertEqual(code, 1)
        self.assertIn("the server has run 247 cases of 301", faults)

    def test_a_case_in_which_the_suite_has_no_right_and_wrong_may_be_ok(self):
        self.change("client", "7.13.1", behavior="OK")
        self.accepts("--quick")

    def test_each_verdict_that_is_not_ok(self):
        for said in summary.ORDER[1:] + ["A VERDICT THAT IS NEW"]:
            for end, _ in summary.LOGS:
                self.setUp()
                self.change(end, "1.1.7", behavior=said)
                self.refuses("case 1.1.7 of the {} is {}".format(end, said.lower()))

    def test_a_failed_close_after_a_good_message(self):
        self.change("server", "1.1.7", behaviorClose="FAILED")
        self.refuses("case 1.1.7 of the server is failed")

    def test_a_failed_case_in_which_the_suite_has_no_right_and_wrong(self):
        self.change("server", "7.1.6", behaviorClose="UNCLEAN")
        self.refuses("case 7.1.6 of the server is unclean")

    def test_fewer_cases_at_one_end(self):
        self.report("client", good_cases(QUICK - 1))
        self.refuses("the client has run 246 cases of 247", "case 1.1.244 of the client is missing")

    def test_fewer_cases_at_both_ends(self):
        for end, _ in summary.LOGS:
            self.report(end, good_cases(QUICK - 1))
        self.refuses("the server has run 246 cases of 247", "the client has run 246 cases of 247")

    def test_no_cases_at_all(self):
        self.write("server/index.json", "{}")
        self.report("client", {})
        code, _, faults = self.run_summary("--quick")
        self.assertEqual(code, 1)
        self.assertIn("there is no report of the server", faults)
        self.assertIn("the client has run 0 cases of 247", faults)

    def test_a_mode_without_a_report(self):
        for text in [None, "", '{"server": {"1.1.1"', "[]"]:
            self.setUp()
            path = os.path.join(self.folder, "server", "index.json")
            os.remove(path) if text is None else self.write(path, text)
            code, _, faults = self.run_summary("--quick")
            self.assertEqual(code, 1)
            self.assertIn("there is no report of the server", faults)

    def test_a_suite_that_broke_down(self):
        for end, log in summary.LOGS:
            for trace in summary.BROKEN_DOWN:
                self.setUp()
                self.write(log, "Running test case ID 1.1.1\n{}:\n".format(trace))
                self.refuses("the suite broke down while it examined the {}".format(end))

    def test_a_suite_without_a_log(self):
        os.remove(os.path.join(self.folder, "fuzzingserver.log"))
        self.refuses("the suite has left no log of the client")


if __name__ == "__main__":
    unittest.main()
