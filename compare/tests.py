"""Tests of what is pure in the comparison: `python3 -m unittest compare.tests` at the repository's root."""

import unittest
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path

from . import figures, main, plots, probes, servers, tables
from .workloads import CPU, GROWTH, LOST, RATE, WORKLOADS, Row, load


def run(cpu, **verified):
    return {"server": {"cpu_us_per_message": cpu, "cpu_share": 0.9}, "verified": verified}


class Figures(unittest.TestCase):
    def test_ratios_are_taken_within_each_round(self):
        rounds = [{"switchboard": run(1.0), "C": run(2.0)}, {"switchboard": run(3.0), "C": run(3.0)}, {"switchboard": run(2.0), "C": run(1.0)}]
        ours, floor = figures.compared(rounds, CPU)
        self.assertEqual((ours.title, ours.figure, ours.ratio), ("switchboard", 2.0, 1.0))
        self.assertEqual((floor.figure, floor.ratios, floor.ratio), (2.0, (0.5, 1.0, 2.0), 1.0))

    def test_a_server_that_failed_has_no_figure(self):
        rounds = [{"switchboard": run(1.0), "gone": {}}]
        gone = figures.compared(rounds, CPU)[1]
        self.assertEqual((gone.title, gone.figure, tables.cell(gone, CPU)), ("gone", None, "failed"))

    def test_a_peer_that_costs_nothing_has_no_ratio(self):
        rounds = [{"switchboard": run(1.0), "C": run(0.0)}]
        self.assertEqual(figures.short(figures.compared(rounds, CPU)[1].ratio), "–")

    def test_what_went_wrong_is_summed_over_rounds(self):
        rounds = [{"switchboard": run(1.0, lost=2)}, {"switchboard": run(1.0, lost=3, corrupt=1, reordered=0)}]
        self.assertEqual(figures.compared(rounds, CPU)[0].wrong, {"lost": 5, "corrupt": 1})

    def test_a_busy_machine_is_noticed(self):
        quiet = {"machine_busy_share": 0.95, "server": {"cpu_share": 0.9}, "generator": {"busiest_share": 0.9, "threads": 1}}
        self.assertEqual(figures.disturbed(quiet, 2), 0)
        self.assertAlmostEqual(figures.disturbed({**quiet, "machine_busy_share": 0.75}, 4), 1.2)
        halves = {**quiet, "server": {"cpu_share": 0.5}, "generator": {"busiest_share": 0.5, "threads": 1}}
        self.assertAlmostEqual(figures.disturbed(halves, 2), 0.9)
        self.assertEqual(figures.disturbed({**halves, "behind": {"cpu_share": 0.9}}, 2), 0, "what is behind the server is part of it")
        self.assertEqual(figures.disturbed({}, 2), 0)

    def test_each_round_begins_with_another_server(self):
        self.assertEqual([figures.order(["a", "b", "c"], round) for round in (0, 1, 5)], [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]])

    def test_numbers_have_three_digits(self):
        self.assertEqual([figures.short(value) for value in (0.2345, 2.345, 23.45, 234.5, 23456.7)], ["0.234", "2.35", "23.4", "234", "23,457"])


class Tables(unittest.TestCase):
    def rows(self):
        rounds = [{"switchboard": run(1.3), "C epoll": run(1.0), "Go tutorial": run(2.6, lost=7)}]
        return {"50, 1": figures.compared(rounds, CPU)}

    def test_behind_is_bold_and_absent_is_said(self):
        lines = tables.table(WORKLOADS[0], self.rows()).splitlines()
        self.assertEqual(lines[2], "| 50, 1 | 1.30 µs | **1.30** (1.00 µs; aim ≤ 1.2, missed) | 0.500 (2.60 µs; aim ≤ 0.77) |")
        self.assertEqual(lines[4], "- Go tutorial, 50, 1: 7 lost.")
        rows = {"50, 1": [one for one in self.rows()["50, 1"] if one.title != "C epoll"]}
        self.assertIn("| not run |", tables.table(WORKLOADS[0], rows))

    def test_an_aim_is_missed_by_what_is_shown(self):
        self.assertEqual(tables.aim_of(1.1549, 1.15, rises=False), "aim ≤ 1.15")
        self.assertEqual(tables.aim_of(1.156, 1.15, rises=False), "aim ≤ 1.15, missed")
        self.assertEqual(tables.aim_of(2.9, 3, rises=True), "aim ≥ 3, missed")
        self.assertEqual(tables.aim_of(1499.6, 1500, rises=False), "aim ≤ 1,500")

    def test_where_more_is_better_less_is_behind(self):
        rounds = [{"switchboard": {"received_per_s": 1.0}, "naive": {"received_per_s": 2.0}}]
        self.assertEqual(tables.cell(figures.compared(rounds, RATE)[1], RATE, 3), "**0.500** (2.00 /s; aim ≥ 3, missed)")

    def test_figures_without_ratios(self):
        row = Row("peak", aims={"switchboard": 10}, figure=GROWTH)
        workload = replace(WORKLOADS[0], heading="what", servers=WORKLOADS[0].servers[:2], rows=(row,), ratios=False)
        rounds = [{"switchboard": {"probe": {"growth_bytes": size}}, "C epoll": {"probe": {"growth_bytes": 2}}} for size in (4, 20)]
        table = tables.table(workload, {"peak": figures.compared(rounds, GROWTH)}).splitlines()
        self.assertEqual([table[0], table[2]], ["| what | switchboard | C epoll |", "| peak | 12.0 B (aim ≤ 10, missed) | 2.00 B |"])

    def test_nothing_may_be_what_is_aimed_at(self):
        rounds = [{"switchboard": {"lost": 2}, "C": {"lost": 0}}, {"switchboard": {"lost": 1}, "C": {"lost": 0}}]
        ours, floor = figures.compared(rounds, LOST)
        self.assertEqual((tables.own(ours, LOST, 0), tables.own(floor, LOST, 0)), ("3 lost (aim ≤ 0, missed)", "0 lost (aim ≤ 0)"))

    def test_a_load_costs_a_part_of_what_it_loads(self):
        both = {"generator": {"cpu_us_per_message": 0.4}, "server": {"cpu_us_per_message": 0.5}}
        kept = {"echo": {"rows": {"50, 1": [{"switchboard": both, "gone": {}}]}}, "rooms": {"rows": {"all": [{"redis": both}]}}}
        lines = tables.costs(kept).splitlines()
        self.assertEqual(lines[0], "| load | switchboard | redis |")
        self.assertEqual(lines[2:], ["| echo: 50, 1 | 0.800 (0.400 µs) |  |", "| rooms: all |  | 0.800 (0.400 µs) |"])

    def test_only_what_is_marked_is_replaced(self):
        document = "a\n<!-- compare x -->\nold\n<!-- /compare x -->\nb\n"
        once = tables.replaced(document, "x", r"new \1")
        self.assertEqual(once, "a\n<!-- compare x -->\nnew \\1\n<!-- /compare x -->\nb\n")
        self.assertEqual(tables.replaced(once, "x", r"new \1"), once)
        with self.assertRaises(ValueError):
            tables.replaced(document, "y", "new")

    def test_the_sentence_names_every_peer(self):
        self.assertEqual(tables.sentence(self.rows()["50, 1"]), "A message to the 1,000 members of a room costs 1.30 µs of CPU for each of them, with 16 in flight:\n1.30 times C epoll and 0.500 times Go tutorial.")


class Plots(unittest.TestCase):
    def test_a_plot_is_xml_with_a_mark_for_each_server(self):
        rounds = [{"switchboard": run(1.0), "C & co": run(0.5), "far": run(40.0), "free": run(0.0)}]
        text = plots.plot(replace(WORKLOADS[0], title="a < b"), {"row": figures.compared(rounds, CPU)})
        marks = [one.text for one in xml.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(marks, ["far, row: 40.0 µs", "C & co, row: 0.500 µs", "switchboard, row: 1.00 µs"])

    def test_growth_is_a_curve_for_each_server(self):
        workload = next(one for one in WORKLOADS if one.grows)
        rows = {
            "10": figures.compared([{"switchboard": run(1.0), "C": run(0.5)}], CPU),
            "1,000": figures.compared([{"switchboard": run(2.0), "C": run(0.0)}], CPU),
        }
        drawn = xml.fromstring(plots.growth(workload, rows))
        curves = [one.get("points").count(",") for one in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
        self.assertEqual(curves, [1, 2])
        marks = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(marks, ["C, 10: 0.500 µs", "switchboard, 10: 1.00 µs", "switchboard, 1,000: 2.00 µs"])

    def test_the_axis_spans_all(self):
        self.assertEqual(plots.ticks(0.9, 12), [0.5, 1, 2, 5, 10, 20])
        self.assertEqual(plots.ticks(0.97, 1.03), [0.5, 1, 2])


class Servers(unittest.TestCase):
    def test_a_table_of_sockets_tells_who_listens(self):
        table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F91 0100007F:1F90 01 0\n"
        self.assertTrue(servers.is_bound(table, 0x1F90))
        self.assertFalse(servers.is_bound(table, 0x1F91))

    def test_a_free_port_is_free(self):
        self.assertIn(servers.free_port(), range(1024, 65536))


class Workloads(unittest.TestCase):
    def test_switchboard_is_first_and_names_are_unique(self):
        self.assertEqual({one.servers[0].title for one in WORKLOADS}, {"switchboard"})
        for group in [[one.name for one in WORKLOADS], *([row.title for row in one.rows] for one in WORKLOADS)]:
            self.assertEqual(len(group), len(set(group)))

    def test_an_earlier_build_stands_in_the_place_of_the_peers(self):
        for one in WORKLOADS:
            if "{switchboard}" in one.servers[0].command:
                ours, before = main.against(one, Path("/old/switchboard")).servers
                self.assertEqual((ours.title, before.title), ("switchboard", "before"))
                self.assertEqual(before.command, ("/old/switchboard", *ours.command[1:]))

    def test_rows_that_grow_are_numbers(self):
        for one in WORKLOADS:
            if one.grows:
                self.assertEqual([f"{plots.number(row.title):,}" for row in one.rows], [row.title for row in one.rows])

    def test_a_load_says_what_it_does(self):
        self.assertEqual(load("1,000", "16").bench, ("--connections", "1000", "--in-flight", "16"))

    def test_aims_and_rows_that_are_named_are_there(self):
        for one in WORKLOADS:
            for row in one.rows:
                self.assertLessEqual(set(row.aims), {server.title for server in one.servers})
                self.assertIn(row.of or row.title, [other.title for other in one.rows if not other.of])
            self.assertIn(one.probe, ["", *probes.PROBES])

    def test_what_makes_the_load_is_told_as_it_is_typed(self):
        by_name = {one.name: main.loads(one) for one in WORKLOADS}
        self.assertEqual(by_name["datagram-rooms"], ["datagram_load PORT PID 1000 128 1.5 …"])
        self.assertEqual(by_name["generator"][1], "naive PORT 50 16 1.5")
        self.assertEqual(by_name["proxy-pieces"], ["pieces PORT BEHIND PID 1.5 …"])
        self.assertEqual(by_name["groups"], ["scripts/measure-groups PROGRAM ROUNDS --json"])
        self.assertEqual(by_name["idle"], ["switchboard bench idle URL --duration 3s …"])


if __name__ == "__main__":
    unittest.main()
