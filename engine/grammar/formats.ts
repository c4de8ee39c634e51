/** Formats of JSON Schema: patterns that a whole string must match, and ranges of numbers. */

import type { Language, Languages } from "./language.js";
import { ONE } from "./decimal.js";
import type { NumberRange } from "./numbers.js";
import { patternLanguage } from "./pattern.js";
import { regexLanguage } from "./regex-format.js";

const MAX_POSITIONS = 10_000;

const LEAP_SECONDS = "RFC 3339, leap seconds at 23:59:60 UTC and at offsets of whole quarters of an hour";

/** Formats that are enforced. Every other name is an annotation. */
export const FORMATS: readonly { readonly format: string; readonly note?: string }[] = [
  { format: "date", note: "RFC 3339" },
  { format: "time", note: LEAP_SECONDS },
  { format: "date-time", note: LEAP_SECONDS },
  { format: "duration", note: "RFC 3339, appendix A" },
  { format: "uuid" },
  { format: "ipv4" },
  { format: "ipv6" },
  { format: "email", note: "RFC 5321, ASCII; no domain label begins with xn--" },
  { format: "hostname", note: "RFC 1123; no label begins with xn--" },
  { format: "idn-email", note: "RFC 6531; the domain is as for `idn-hostname`" },
  { format: "idn-hostname", note: "host names, and short ones in some scripts" },
  { format: "uri", note: "RFC 3986" },
  { format: "uri-reference", note: "RFC 3986" },
  { format: "iri", note: "RFC 3987" },
  { format: "iri-reference", note: "RFC 3987" },
  { format: "uri-template", note: "RFC 6570, without the operators that it reserves" },
  { format: "json-pointer", note: "RFC 6901" },
  { format: "relative-json-pointer", note: "without a change of the index" },
  { format: "regex", note: "ECMA-262; only what Python reads too, with at most 4 nested groups" },
  { format: "byte", note: "Base64 with padding, RFC 4648" },
  { format: "base64", note: "Base64 with padding, RFC 4648" },
  { format: "int32", note: "numbers" },
  { format: "int64", note: "numbers" },
];

/** Formats of which only a part is enforced: other strings have the format too. */
export const PARTLY_ENFORCED: ReadonlySet<string> = new Set([
  "idn-email",
  "idn-hostname",
  "uri-template",
  "relative-json-pointer",
  "regex",
]);

const INT32: NumberRange = {
  min: { digits: -(2n ** 31n), exponent: 0 },
  max: { digits: 2n ** 31n - 1n, exponent: 0 },
  step: ONE,
};
const INT64: NumberRange = {
  min: { digits: -(2n ** 63n), exponent: 0 },
  max: { digits: 2n ** 63n - 1n, exponent: 0 },
  step: ONE,
};

/** @returns the numbers of a format of numbers; null for every other format */
export function numberFormat(format: string): NumberRange | null {
  return format === "int32" ? INT32 : format === "int64" ? INT64 : null;
}

/** @returns the strings of an enforced format; null for every other format */
export function formatLanguage(languages: Languages, format: string): Language | null {
  const whole = (pattern: string): Language => patternLanguage(languages, pattern, true, MAX_POSITIONS);
  const idnHostName = (): Language =>
    languages.intersection([whole(IDN_HOST_NAME), languages.repeat(languages.any, 0, MAX_IDN_HOST_NAME_LENGTH)]);
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
    case "idn-email":
      return languages.union([
        whole(`${IDN_MAILBOX}@${DOMAIN}`),
        languages.concat(whole(`${IDN_MAILBOX}@`), idnHostName()),
      ]);
    case "idn-hostname":
      return languages.union([formatLanguage(languages, "hostname")!, idnHostName()]);
    case "uri":
      return whole(uri(URI_CHARACTERS));
    case "uri-reference":
      return whole(either(uri(URI_CHARACTERS), relativeReference(URI_CHARACTERS)));
    case "iri":
      return whole(uri(IRI_CHARACTERS));
    case "iri-reference":
      return whole(either(uri(IRI_CHARACTERS), relativeReference(IRI_CHARACTERS)));
    case "uri-template":
      return whole(URI_TEMPLATE);
    case "json-pointer":
      return whole(JSON_POINTER);
    case "relative-json-pointer":
      return whole(`(?:0|[1-9]\\d*)(?:#|${JSON_POINTER})`);
    case "regex":
      return regexLanguage(languages, whole);
    case "byte":
    case "base64":
      return whole(BASE64);
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
 * minute. There it is a multiple of 15 minutes, as all offsets have been since there are leap seconds.
 */
function timeLanguage(languages: Languages, { fraction, utc }: TimeSpelling): Language {
  const whole = (pattern: string): Language => patternLanguage(languages, pattern, true, MAX_POSITIONS);
  const fractions = whole(fraction);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = (minutes: number): string => `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  const leaps = Array.from({ length: 96 }, (_, quarter) => {
    const local = 15 * quarter + 14;
    const ahead = (local + 1) % 1440;
    const offsets = [`+${clock(ahead)}`, `-${clock((1440 - ahead) % 1440)}`, ...(ahead === 0 ? utc : [])];
    return languages.concat(
      languages.words([`${clock(local)}:60`]),
      languages.concat(fractions, languages.words(offsets)),
    );
  });
  return languages.union([whole(`${CLOCK}:[0-5]\\d${fraction}(?:${utc.join("|")}|[+\\-]${CLOCK})`), ...leaps]);
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
const UTF8 = "\\x80-\\u{10ffff}";
const IDN_ATOM = ATOM.replace("[", `[${UTF8}`);
const IDN_MAILBOX = either(`${IDN_ATOM}(?:\\.${IDN_ATOM})*`, `"(?:[ !#-\\[\\]-~${UTF8}]|\\\\[ -~])*"`);

/**
 * Labels with letters beyond ASCII (IDNA2008), as far as all of them are valid whatever they are made of: lower-case
 * letters of one script with digits, without two hyphens in a row, and so short that their A-label has at most 63
 * characters. A character takes at most 4 characters of it in the first three scripts, and 6 in the others.
 */
const IDN_LABEL = either(
  ...["a-zßà-öø-ÿāăąćčďēęěğīįłńňōőœřśşšťūůűųźżž", "ά-ώα-ρσ-ώ", "а-џ"].map((letters) => idnLabel(letters, 14)),
  ...["一-龥ぁ-ゖァ-ヺ", "가-힣"].map((letters) => idnLabel(letters, 9)),
);
const IDN_HOST_NAME = `${either(LABEL, IDN_LABEL)}(?:\\.${either(LABEL, IDN_LABEL)})*`;
/** At most this many characters have at most 253 with each label as its A-label: at worst, one takes six. */
const MAX_IDN_HOST_NAME_LENGTH = 40;

function idnLabel(letters: string, max: number): string {
  return `(?=[\\d\\-${letters}]{1,${max}}(?:\\.|$))[\\d${letters}]+(?:-[\\d${letters}]+)*`;
}

const UNRESERVED = "\\w.~\\-";
const SUB_DELIMS = "!$&'\\(\\)*+,;=";
const PERCENT = "%[\\da-fA-F]{2}";

/** Characters beyond ASCII of a reference, and those that only its query can have. */
interface UriCharacters {
  readonly all: string;
  readonly query: string;
}

/** Planes 1 to 13 without the last two code points of each, and the rest of `ucschar` of RFC 3987. */
const UCS_CHARACTERS =
  "\\xa0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef" +
  Array.from({ length: 13 }, (_, plane) => (plane + 1).toString(16))
    .map((plane) => `\\u{${plane}0000}-\\u{${plane}fffd}`)
    .join("") +
  "\\u{e1000}-\\u{efffd}";
const PRIVATE_CHARACTERS = "\\ue000-\\uf8ff\\u{f0000}-\\u{ffffd}\\u{100000}-\\u{10fffd}";
const URI_CHARACTERS: UriCharacters = { all: "", query: "" };
const IRI_CHARACTERS: UriCharacters = { all: UCS_CHARACTERS, query: PRIVATE_CHARACTERS };

const character = ({ all }: UriCharacters, more: string): string =>
  either(`[${UNRESERVED}${SUB_DELIMS}${all}${more}]`, PERCENT);

function authority(characters: UriCharacters): string {
  const host = either(
    `\\[${either(IPV6, `[vV][\\da-fA-F]+\\.[${UNRESERVED}${SUB_DELIMS}:]+`)}\\]`,
    `${character(characters, "")}*`,
  );
  return `\\/\\/(?:${character(characters, ":")}*@)?${host}(?::\\d*)?`;
}

const segments = (characters: UriCharacters): string => `(?:\\/${character(characters, ":@")}*)*`;

/** The query and the fragment. */
function ending(characters: UriCharacters): string {
  const query = character(characters, `:@\\/?${characters.query}`);
  return `(?:\\?${query}*)?(?:#${character(characters, ":@\\/?")}*)?`;
}

/** The authority with its path, or an absolute path. */
const hierarchy = (characters: UriCharacters): string =>
  either(
    `${authority(characters)}${segments(characters)}`,
    `\\/(?:${character(characters, ":@")}+${segments(characters)})?`,
  );

function uri(characters: UriCharacters): string {
  const path = `(?:${character(characters, ":@")}+${segments(characters)})?`;
  return `[a-zA-Z][\\da-zA-Z+.\\-]*:${either(hierarchy(characters), path)}${ending(characters)}`;
}

/** A reference without a scheme: its first segment has no colon. */
function relativeReference(characters: UriCharacters): string {
  const path = `(?:${character(characters, "@")}+${segments(characters)})?`;
  return either(hierarchy(characters), path) + ending(characters);
}

const VARIABLE = `(?:\\w|${PERCENT})(?:\\.?(?:\\w|${PERCENT}))*(?::[1-9]\\d{0,3}|\\*)?`;
const URI_TEMPLATE = `(?:[!#$&'\\(-;=?-\\[\\]_a-z~${UCS_CHARACTERS}${PRIVATE_CHARACTERS}]|${PERCENT}|\\{[+#.\\/;?&]?${VARIABLE}(?:,${VARIABLE})*\\})*`;

const JSON_POINTER = "(?:\\/(?:[^~\\/]|~[01])*)*";

/** The bits that padding leaves over are 0, because some readers refuse others. */
const BASE64 = "(?:[\\da-zA-Z+\\/]{4})*(?:[\\da-zA-Z+\\/][AQgw]==|[\\da-zA-Z+\\/]{2}[AEIMQUYcgkosw048]=)?";
