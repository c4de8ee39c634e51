/** Dates as texts. Expected results were recorded from Python's strftime in the C locale. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dateOf, dateText, isDate } from "./date-text.js";
import { RenderBudget } from "./render-budget.js";
import { SourcedText, plain } from "./sourced-text.js";

const written = (date: string, format: string): string => plain(dateText(date, format, RenderBudget.forMessages(0)));

describe("dates", () => {
  it.each([
    [
      "2026-11-30",
      "%d %b %Y|%B %A %a|%m/%d/%y|%j|%H:%M:%S %p %I",
      "30 Nov 2026|November Monday Mon|11/30/26|334|00:00:00 AM 12",
    ],
    ["2024-02-05", "%-d %-m %-j %-I %-H %e %_d %02|", null],
    ["2024-02-05", "%-d|%-m|%-j|%-I|%-H|%e|%_m|%0e|%^a", "5|2|36|12|0| 5| 2|05|MON"],
    ["2024-12-30", "%U %W %V %G %g %u %w", "52 53 01 2025 25 1 1"],
    ["2021-01-03", "%U %W %V %G %g %u %w", "01 00 53 2020 20 7 0"],
    [
      "2024-12-30",
      "%c|%x|%X|%D|%F|%T|%R|%r",
      "Mon Dec 30 00:00:00 2024|12/30/24|00:00:00|12/30/24|2024-12-30|00:00:00|00:00|12:00:00 AM",
    ],
    ["2024-12-30", "%C %h %f %% %n%t|%z|%Z|%P", "20 Dec 000000 % \n\t|||am"],
    ["2026-11-30", "no directive", "no directive"],
    ["2026-11-30", "", ""],
  ])("%s as %j", (date, format, expected) => {
    if (expected === null) expect(() => written(date, format)).toThrow("is not supported");
    else expect(written(date, format)).toBe(expected);
  });

  it.each(["%Q", "%", "a%", "%-", "%é", "%s", "%Ey", "%-c", "%-a", "%_p"])("refuse %j", (format) => {
    expect(() => written("2026-11-30", format)).toThrow("is not supported");
  });

  it("read back as the same day", () => {
    const day = fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9999, 11, 31) }).map((ms) => new Date(ms));
    fc.assert(
      fc.property(day, (time) => {
        const date = dateOf(time);
        expect(isDate(date)).toBe(true);
        expect(written(date, "%Y-%m-%d")).toBe(date);
        const january = new Date(`${written(date, "%Y")}-01-01T00:00:00Z`).getTime();
        expect(dateOf(new Date(january + (Number(written(date, "%j")) - 1) * 86_400_000))).toBe(date);
      }),
    );
  });

  it.each([
    "2026-02-29",
    "2026-13-01",
    "2026-00-10",
    "0999-01-01",
    "2026-1-1",
    "26-01-01",
    "2026-01-01T00:00:00Z",
    " 2026-01-01",
    "",
  ])("%j is none", (text) => {
    expect(isDate(text)).toBe(false);
  });

  it("keep the origin of the format's characters, and are text of the template themselves", () => {
    const format = new SourcedText("a%db", Uint8Array.of(1, 1, 1, 1));
    const text = dateText("2026-11-30", format, RenderBudget.forMessages(0)) as SourcedText;
    expect([text.text, [...text.isMessage]]).toEqual(["a30b", [1, 0, 0, 1]]);
  });
});
