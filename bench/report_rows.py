#!/usr/bin/env python3
"""Rows of a Markdown table from the JSON of `mach bench`:  report_rows.py --header | NAME FILE."""
import json
import sys

HEADER = """| model | test | tokens/s | +- | share of the roof | roof |
|---|---|---|---|---|---|"""


def main() -> int:
    if sys.argv[1:] == ["--header"]:
        print(HEADER)
        return 0
    name, path = sys.argv[1:]
    report = json.load(open(path, encoding="utf-8"))
    roof = report["roofline"]
    for row in report["results"]:
        rate = row["tokens_per_second"]
        spread = (max(rate["runs"]) - min(rate["runs"])) / 2 / rate["median"]
        test = f"{row['kind']} {row['tokens']}"
        test += f", depth {row['depth']}" if row["depth"] else ""
        test += f", batch {row['batch']}" if row["batch"] > 1 else ""
        if row["kind"] == "decode":
            share, of = row["bandwidth_share"], f"{roof['read_bytes_per_second'] * 1e-9:.1f} GB/s"
        else:
            share, of = row["int8_share"], f"{roof['int8_macs_per_second'] * 1e-9:.0f} GMAC/s int8"
        print(f"| {name} | {test} | {rate['median']:.2f} | {100 * spread:.1f} % | {100 * share:.1f} % | {of} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
