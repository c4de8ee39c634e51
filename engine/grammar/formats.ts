/** String formats of JSON Schema: the enforced ones are patterns that the whole string must match. */

import type { Language, Languages } from "./language.js";
import { patternLanguage } from "./pattern.js";

const MAX_POSITIONS = 10_000;

/** Formats of JSON Schema that are enforced or refused. Every other name is an annotation. */
export const FORMATS: readonly {
  readonly format: string;
  readonly status: "enforced" | "refused";
  readonly note?: string;
}[] = [
  { format: "date", status: "enforced", note: "RFC 3339" },
  { format: "time", status: "enforced", note: "RFC 3339, leap seconds at 23:59:60 UTC" },
  { format: "date-time", status: "enforced", note: "RFC 3339, leap seconds at 23:59:60 UTC" },
  { format: "duration", status: "enforced", note: "RFC 3339, appendix A" },
  { format: "uuid", status: "enforced" },
  { format: "ipv4", status: "enforced" },
  { format: "ipv6", status: "enforced" },
  { format: "email", status: "enforced", note: "RFC 5321, ASCII; no domain label begins with xn--" },
  { format: "hostname", status: "enforced", note: "RFC 1123; no label begins with xn--" },
  { format: "uri", status: "enforced", note: "RFC 3986" },
  ...[
    "idn-email",
    "idn-hostname",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "uri-reference",
    "uri-template",
  ].map((format) => ({ format, status: "refused" as const })),
];

/** @returns the strings of an enforced format; null for every other format */
export function formatLanguage(languages: Languages, format: string): Language | null {
  const whole = (pattern: string): Language => patternLanguage(languages, pattern, true, MAX_POSITIONS);
  switch (format) {
    case "date":
      return whole(DATE);
    case "time":
      return timeLanguage(languages, ANY_TIME);
    case "date-time":
      return languages.concat(whole(`${DATE}[Tt]`), timeLanguage(languages, ANY_TIME));
    case "duration":
      return whole(
        `P(?:(?:${DURATION_DAY}|${DURATION_MONTH}|${DURATION_YEAR})(?:${DURATION_TIME})?|${DURATION_TIME}|\\d+W)`,
      );
    case "uuid":
      return whole("[\\da-fA-F]{8}(?:-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}");
    case "ipv4":
      return whole(IPV4);
    case "ipv6":
      return whole(IPV6);
    case "email":
      return whole(EMAIL);
    case "hostname":
      return languages.intersection([whole(HOST_NAME), languages.repeat(languages.any, 0, MAX_HOST_NAME_LENGTH)]);
    case "uri":
      return whole(URI);
    default:
      return null;
  }
}

/**
 * @returns the strings of a time as most programs write them: with upper-case letters and at most nine digits after the
 * point; null for all other formats
 */
export function usualFormatLanguage(languages: Languages, format: string): Language | null {
  switch (format) {
    case "time":
      return timeLanguage(languages, USUAL_TIME);
    case "date-time":
      return languages.concat(
        patternLanguage(languages, `${DATE}T`, true, MAX_POSITIONS),
        timeLanguage(languages, USUAL_TIME),
      );
    default:
      return null;
  }
}

const either = (...patterns: readonly string[]): string => `(?:${patterns.join("|")})`;

const LEAP_YEAR = either("\\d\\d(?:0[48]|[2468][048]|[13579][26])", "(?:[02468][048]|[13579][26])00");
const DAY = "(?:0[1-9]|1\\d|2[0-8])";
const DATE = either(
  `\\d{4}-${either(`(?:0[1-9]|1[0-2])-${DAY}`, "(?:0[13-9]|1[0-2])-(?:29|30)", "(?:0[13578]|1[02])-31")}`,
  `${LEAP_YEAR}-02-29`,
);

/** Spellings of the fraction of a second and of UTC. */
interface TimeSpelling {
  readonly fraction: string;
  readonly utc: readonly string[];
}

const ANY_TIME: TimeSpelling = { fraction: "(?:\\.\\d+)?", utc: ["Z", "z"] };
const USUAL_TIME: TimeSpelling = { fraction: "(?:\\.\\d{1,9})?", utc: ["Z"] };
const CLOCK = "(?:[01]\\d|2[0-3]):[0-5]\\d";

/**
 * Returns the times of RFC 3339. The second can be 60 only at 23:59 UTC, so the offset must fit the local hour and
 * minute.
 */
function timeLanguage(languages: Languages, { fraction, utc }: TimeSpelling): Language {
  const whole = (pattern: string): Language => patternLanguage(languages, pattern, true, MAX_POSITIONS);
  const fractions = whole(fraction);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = (minutes: number): string => `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  const hours = Array.from({ length: 24 }, (_, hour) => {
    const minutes = Array.from({ length: 60 }, (_, minute) => {
      const local = hour * 60 + minute;
      const ahead = (local + 1) % 1440;
      const offsets = [`+${clock(ahead)}`, `-${clock((1440 - ahead) % 1440)}`, ...(ahead === 0 ? utc : [])];
      return languages.concat(
        languages.words([`${two(minute)}:60`]),
        languages.concat(fractions, languages.words(offsets)),
      );
    });
    return languages.concat(languages.words([`${two(hour)}:`]), languages.union(minutes));
  });
  return languages.union([whole(`${CLOCK}:[0-5]\\d${fraction}(?:${utc.join("|")}|[+\\-]${CLOCK})`), ...hours]);
}

const DURATION_DAY = "\\d+D";
const DURATION_MONTH = `\\d+M(?:${DURATION_DAY})?`;
const DURATION_YEAR = `\\d+Y(?:${DURATION_MONTH})?`;
const DURATION_MINUTE = "\\d+M(?:\\d+S)?";
const DURATION_TIME = `T${either("\\d+S", DURATION_MINUTE, `\\d+H(?:${DURATION_MINUTE})?`)}`;

const OCTET = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;

const GROUP = "[\\da-fA-F]{1,4}";
const LAST_32_BITS = either(`${GROUP}:${GROUP}`, IPV4);
const IPV6 = either(
  `(?:${GROUP}:){6}${LAST_32_BITS}`,
  `::(?:${GROUP}:){5}${LAST_32_BITS}`,
  ...[4, 3, 2, 1, 0].map(
    (after, before) => `(?:(?:${GROUP}:){0,${before}}${GROUP})?::(?:${GROUP}:){${after}}${LAST_32_BITS}`,
  ),
  `(?:(?:${GROUP}:){0,5}${GROUP})?::${GROUP}`,
  `(?:(?:${GROUP}:){0,6}${GROUP})?::`,
);

/**
 * A label of 1 to 63 letters, digits and hyphens, with no hyphen at either end (RFC 1123, section 2.1), that does not
 * begin with `xn--` in any letter case: the validity of such labels depends on Unicode tables (IDNA2008), so none is
 * allowed.
 */
const INNER = "[\\da-zA-Z\\-]";
const EDGE = "[\\da-zA-Z]";
const LABEL = either(
  EDGE,
  `${EDGE}${EDGE}`,
  `${EDGE}${INNER}${EDGE}`,
  `[\\da-wyzA-WYZ]${INNER}{2,61}${EDGE}`,
  `[xX][\\da-mo-zA-MO-Z\\-]${INNER}{1,60}${EDGE}`,
  `[xX][nN][\\da-zA-Z]${INNER}{0,59}${EDGE}`,
  `[xX][nN]-${EDGE}(?:${INNER}{0,58}${EDGE})?`,
);
const HOST_NAME = `${LABEL}(?:\\.${LABEL})*`;
const MAX_HOST_NAME_LENGTH = 253;

const ATOM = "[\\w!#$%&'*+\\-\\/=?^`\\{\\|\\}~]+";
const QUOTED = '"(?:[ !#-\\[\\]-~]|\\\\[ -~])*"';
const MAILBOX = either(`${ATOM}(?:\\.${ATOM})*`, QUOTED);
const DOMAIN = either(HOST_NAME, `\\[${either(IPV4, `IPv6:${IPV6}`)}\\]`);
const EMAIL = `${MAILBOX}@${DOMAIN}`;

const UNRESERVED = "\\w.~\\-";
const SUB_DELIMS = "!$&'\\(\\)*+,;=";
const PERCENT = "%[\\da-fA-F]{2}";
const PCHAR = `(?:[${UNRESERVED}${SUB_DELIMS}:@]|${PERCENT})`;
const SEGMENTS = `(?:\\/${PCHAR}*)*`;
const HOST = either(
  `\\[${either(IPV6, `[vV][\\da-fA-F]+\\.[${UNRESERVED}${SUB_DELIMS}:]+`)}\\]`,
  `(?:[${UNRESERVED}${SUB_DELIMS}]|${PERCENT})*`,
);
const AUTHORITY = `(?:(?:[${UNRESERVED}${SUB_DELIMS}:]|${PERCENT})*@)?${HOST}(?::\\d*)?`;
const QUERY = `(?:${PCHAR}|[\\/?])*`;
const URI =
  `[a-zA-Z][\\da-zA-Z+.\\-]*:` +
  either(`\\/\\/${AUTHORITY}${SEGMENTS}`, `\\/(?:${PCHAR}+${SEGMENTS})?`, `${PCHAR}+${SEGMENTS}`, "") +
  `(?:\\?${QUERY})?(?:#${QUERY})?`;
