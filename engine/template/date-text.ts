/** Dates for `strftime_now`, written like Python's `strftime` in the C locale. The time of day is always 00:00:00. */

import type { RenderBudget } from "./render-budget.js";
import { type Text, concat, cut, plain } from "./sourced-text.js";

/** Returns true for a date such as 2026-11-30 that exists, from the year 1000 on. */
export function isDate(text: string): boolean {
  if (!/^[1-9]\d{3}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** Returns the date of a time in UTC, such as 2026-11-30. */
export const dateOf = (time: Date): string => time.toISOString().slice(0, 10);

/**
 * Formats a date.
 *
 * @param date as `isDate` accepts it
 * @throws SyntaxError for an unknown directive
 */
export function dateText(date: string, format: Text, budget: RenderBudget): Text {
  const time = new Date(`${date}T00:00:00Z`);
  const source = plain(format);
  const parts: Text[] = [];
  let at = 0;
  for (let found = source.indexOf("%"); found >= 0; found = source.indexOf("%", at)) {
    budget.allocateTexts(2);
    parts.push(cut(format, at, found));
    DIRECTIVE.lastIndex = found;
    const [whole, flag, letter] = DIRECTIVE.exec(source) ?? ["%", "", ""];
    parts.push(directive(time, flag!, letter!));
    at = found + whole.length;
  }
  parts.push(cut(format, at, source.length));
  return concat(parts, budget);
}

const DIRECTIVE = /%([-_0^]?)([A-Za-z%])/y;

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

function directive(time: Date, flag: string, letter: string): string {
  const composite = COMPOSITES.get(letter);
  if (composite !== undefined && flag === "")
    return composite.replace(DIRECTIVES, (_, inner: string) => directive(time, "", inner));
  const number = numberFor(time, letter);
  if (number !== null && flag !== "^") {
    const { value, width, fill } = number;
    const filled = flag === "-" ? 0 : width;
    return String(value).padStart(filled, flag === "_" ? " " : flag === "0" ? "0" : fill);
  }
  const word = wordFor(time, letter);
  if (word === null || (flag !== "" && flag !== "^"))
    throw new SyntaxError(`the directive %${flag}${letter} of a date is not supported`);
  return flag === "^" ? word.toUpperCase() : word;
}

const DIRECTIVES = /%([A-Za-z])/g;
/** Directives that stand for several others. */
const COMPOSITES: ReadonlyMap<string, string> = new Map([
  ["c", "%a %b %e %H:%M:%S %Y"],
  ["D", "%m/%d/%y"],
  ["F", "%Y-%m-%d"],
  ["r", "%I:%M:%S %p"],
  ["R", "%H:%M"],
  ["T", "%H:%M:%S"],
  ["x", "%m/%d/%y"],
  ["X", "%H:%M:%S"],
]);

function numberFor(time: Date, letter: string): { value: number; width: number; fill: string } | null {
  const year = time.getUTCFullYear();
  const weekday = time.getUTCDay();
  const zeros = (value: number, width = 2): { value: number; width: number; fill: string } => ({
    value,
    width,
    fill: "0",
  });
  switch (letter) {
    case "C":
      return zeros(Math.floor(year / 100));
    case "d":
      return zeros(time.getUTCDate());
    case "e":
      return { value: time.getUTCDate(), width: 2, fill: " " };
    case "g":
      return zeros(isoWeek(time).year % 100);
    case "G":
      return zeros(isoWeek(time).year, 4);
    case "H":
    case "M":
    case "S":
      return zeros(0);
    case "I":
      return zeros(12);
    case "f":
      return zeros(0, 6);
    case "j":
      return zeros(dayOfYear(time), 3);
    case "m":
      return zeros(time.getUTCMonth() + 1);
    case "u":
      return zeros(weekday === 0 ? 7 : weekday, 1);
    case "U":
      return zeros(Math.floor((dayOfYear(time) + 6 - weekday) / 7));
    case "V":
      return zeros(isoWeek(time).week);
    case "w":
      return zeros(weekday, 1);
    case "W":
      return zeros(Math.floor((dayOfYear(time) + 6 - ((weekday + 6) % 7)) / 7));
    case "y":
      return zeros(year % 100);
    case "Y":
      return zeros(year, 4);
    default:
      return null;
  }
}

function wordFor(time: Date, letter: string): string | null {
  const day = DAYS[time.getUTCDay()]!;
  const month = MONTHS[time.getUTCMonth()]!;
  switch (letter) {
    case "a":
      return day.slice(0, 3);
    case "A":
      return day;
    case "b":
    case "h":
      return month.slice(0, 3);
    case "B":
      return month;
    case "n":
      return "\n";
    case "p":
      return "AM";
    case "P":
      return "am";
    case "t":
      return "\t";
    case "z":
    case "Z":
      return "";
    case "%":
      return "%";
    default:
      return null;
  }
}

const MS_PER_DAY = 86_400_000;

/** Returns the number of the day in its year, from 1. */
function dayOfYear(time: Date): number {
  return (time.getTime() - Date.UTC(time.getUTCFullYear(), 0, 1)) / MS_PER_DAY + 1;
}

/** Returns the week, from Monday, of ISO 8601. It belongs to the year of its Thursday. */
function isoWeek(time: Date): { year: number; week: number } {
  const thursday = new Date(time.getTime() + (4 - (time.getUTCDay() || 7)) * MS_PER_DAY);
  return { year: thursday.getUTCFullYear(), week: Math.floor((dayOfYear(thursday) - 1) / 7) + 1 };
}
