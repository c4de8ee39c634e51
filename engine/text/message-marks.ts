/**
 * Keeps text of messages apart from text of the template in a rendered prompt, so that nobody can type a special token.
 *
 * 1. Before rendering, invisible marks go into the messages: where a reserved token begins, and at the places where a
 *    message's text could complete one together with the text around it.
 * 2. The template is rendered twice, with and without marks. What counts is the text without: templates trim and split
 *    messages, and marks would be in their way. The marks of the first are carried over to it.
 * 3. Where the two differ in more than white space, a template has looked at the marks: then the marked text counts.
 * 4. A reserved token that no mark touches was written by the template.
 */

import type { PhraseFinder, PhraseMatch } from "./added-tokens.js";

/** Text with the places of its marks, in UTF-16 code units. */
export interface MarkedText {
  readonly text: string;
  /** Where reserved tokens of a message begin, and which: a template may have cut the token itself out. */
  readonly tokens: ReadonlyMap<number, readonly string[]>;
  /** Where a reserved token may begin or end, but must not run across. */
  readonly borders: ReadonlySet<number>;
}

/** Puts marks into the messages' strings. */
export class MessageMarker {
  readonly #reserved: PhraseFinder;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #beginnings = new Set<string>();
  readonly #endings = new Set<string>();
  readonly #joined: string;
  readonly #lengthMax: number;

  constructor(reserved: PhraseFinder) {
    this.#reserved = reserved;
    this.#numbers = new Map(reserved.phrases.map((phrase, index) => [phrase, index]));
    this.#joined = reserved.phrases.join(ESCAPE);
    this.#lengthMax = reserved.phrases[0]?.length ?? 0;
    for (const phrase of reserved.phrases) {
      for (let length = 1; length < phrase.length; length++) {
        this.#beginnings.add(phrase.slice(0, length));
        this.#endings.add(phrase.slice(length));
      }
    }
  }

  /** @returns the text with its marks; the text itself, if it needs none */
  mark(text: string): string {
    const marks = new Map<number, string>();
    const start = text.length - text.trimStart().length;
    const end = text.trimEnd().length;
    if (start < end) {
      if (this.#mayContinue(text.slice(start, Math.min(end, start + this.#lengthMax)))) marks.set(start, BORDER);
      if (this.#mayBegin(text.slice(Math.max(start, end - this.#lengthMax), end))) marks.set(end, BORDER);
    }
    for (const { start: from, end: to, phrase } of this.#reserved.findAll(text)) {
      // What follows is a border too: templates split messages at tags.
      if (!marks.has(to)) marks.set(to, BORDER);
      marks.set(from, (marks.get(from) ?? "") + TOKEN + this.#sign(phrase));
    }
    if (marks.size === 0 && !text.includes(ESCAPE)) return text;
    let marked = "";
    let position = 0;
    for (const [place, mark] of [...marks].sort(([a], [b]) => a - b)) {
      marked += escape(text.slice(position, place)) + mark;
      position = place;
    }
    return marked + escape(text.slice(position));
  }

  /** Takes the marks out of a text. */
  read(marked: string): MarkedText {
    const tokens = new Map<number, string[]>();
    const borders = new Set<number>();
    const texts: string[] = [];
    let length = 0;
    marked.split(ESCAPE).forEach((part, index) => {
      let text = part;
      if (index > 0) {
        text = part.slice(1);
        const kind = ESCAPE + part[0];
        if (kind === TOKEN) {
          const here = tokens.get(length) ?? [];
          here.push(this.#phrase(text));
          tokens.set(length, here);
          text = text.slice(SIGN_LENGTH);
        } else if (kind === BORDER) {
          borders.add(length);
        } else {
          text = ESCAPE + (kind === LITERAL ? text : part);
        }
      }
      texts.push(text);
      length += text.length;
    });
    return { text: texts.join(""), tokens, borders };
  }

  /** Two private-use characters for the number of a phrase. */
  #sign(phrase: string): string {
    const number = this.#numbers.get(phrase)!;
    return String.fromCharCode(SIGN_BASE + Math.floor(number / SIGN_RANGE), SIGN_BASE + (number % SIGN_RANGE));
  }

  #phrase(signed: string): string {
    const number = (signed.charCodeAt(0) - SIGN_BASE) * SIGN_RANGE + signed.charCodeAt(1) - SIGN_BASE;
    return this.#reserved.phrases[number] ?? "";
  }

  /** Whether a reserved token may have begun before this text. */
  #mayContinue(text: string): boolean {
    for (let length = 1; length <= text.length; length++) if (this.#endings.has(text.slice(0, length))) return true;
    return text.length < this.#lengthMax && this.#joined.includes(text);
  }

  /** Whether this text may end within a reserved token. */
  #mayBegin(text: string): boolean {
    for (let start = 0; start < text.length; start++) if (this.#beginnings.has(text.slice(start))) return true;
    return false;
  }
}

/**
 * Carries marks over to the same text rendered without them.
 *
 * @returns `plain` with the marks, or null if the texts differ in more than white space
 */
export function carryMarks(marked: MarkedText, plain: string): MarkedText | null {
  if (marked.text === plain) return { ...marked, text: plain };
  const tokens = new Map<number, readonly string[]>();
  const borders = new Set<number>();
  let from = 0;
  let to = 0;
  let waiting: readonly string[] = [];
  let hasBorder = false;
  let numRead = -1;
  while (from < marked.text.length || to < plain.length) {
    if (from > numRead) {
      waiting = [...waiting, ...(marked.tokens.get(from) ?? [])];
      hasBorder ||= marked.borders.has(from);
      numRead = from;
    }
    const character = marked.text[from];
    if (character !== plain[to]) {
      if (character === undefined || !isSpace(character)) return null;
      from++; // white space that a template would have stripped, had no mark stood beside it
    } else {
      if (waiting.length > 0) tokens.set(to, waiting);
      if (hasBorder) borders.add(to);
      waiting = [];
      hasBorder = false;
      from++;
      to++;
    }
  }
  return { text: plain, tokens, borders };
}

/** @returns the reserved tokens that the template wrote, from left to right: those no mark touches */
export function templateTokens(marked: MarkedText, reserved: PhraseFinder): PhraseMatch[] {
  const matches: PhraseMatch[] = [];
  let position = 0;
  for (const match of reserved.findAll(marked.text)) {
    if (match.start < position || isTouched(match, marked)) continue;
    matches.push(match);
    position = match.end;
  }
  return matches;
}

function isTouched({ start, end, phrase }: PhraseMatch, { tokens, borders }: MarkedText): boolean {
  if (tokens.get(start)?.some((token) => token.startsWith(phrase) || phrase.startsWith(token))) return true;
  for (let place = start + 1; place < end; place++) if (tokens.has(place) || borders.has(place)) return true;
  return false;
}

/** Noncharacters, which no text interchanges; one that is typed all the same is written as LITERAL. */
const ESCAPE = "\uFDD0";
const LITERAL = "\uFDD0\uFDD1";
const BORDER = "\uFDD0\uFDD2";
const TOKEN = "\uFDD0\uFDD3";
/** After TOKEN, which one it is. */
const SIGN_LENGTH = 2;
const SIGN_BASE = 0xe000;
const SIGN_RANGE = 0x1000;

const escape = (text: string): string => text.replaceAll(ESCAPE, LITERAL);

const isSpace = (character: string): boolean => /\s/u.test(character);
