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
  /** Where a reserved token of a message begins. */
  readonly tokens: ReadonlySet<number>;
  /** Where a reserved token may begin or end, but must not run across. */
  readonly borders: ReadonlySet<number>;
}

/** Puts marks into the messages' strings. */
export class MessageMarker {
  readonly #reserved: PhraseFinder;
  readonly #beginnings = new Set<string>();
  readonly #endings = new Set<string>();
  readonly #joined: string;
  readonly #lengthMax: number;

  constructor(reserved: PhraseFinder) {
    this.#reserved = reserved;
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
    for (const { start: from, end: to } of this.#reserved.findAll(text)) {
      // What follows is a border too: templates split messages at tags.
      if (marks.get(to) !== TOKEN) marks.set(to, BORDER);
      marks.set(from, TOKEN);
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

/** Takes the marks out of a text. */
export function readMarks(marked: string): MarkedText {
  const tokens = new Set<number>();
  const borders = new Set<number>();
  const texts: string[] = [];
  let length = 0;
  marked.split(ESCAPE).forEach((part, index) => {
    let text = part;
    if (index > 0) {
      const kind = part[0];
      text = part.slice(1);
      if (kind === TOKEN[1]) tokens.add(length);
      else if (kind === BORDER[1]) borders.add(length);
      else text = ESCAPE + (kind === LITERAL[1] ? text : part);
    }
    texts.push(text);
    length += text.length;
  });
  return { text: texts.join(""), tokens, borders };
}

/**
 * Carries marks over to the same text rendered without them.
 *
 * @returns `plain` with the marks, or null if the texts differ in more than white space
 */
export function carryMarks(marked: MarkedText, plain: string): MarkedText | null {
  if (marked.text === plain) return { ...marked, text: plain };
  const tokens = new Set<number>();
  const borders = new Set<number>();
  let from = 0;
  let to = 0;
  let hasToken = false;
  let hasBorder = false;
  while (from < marked.text.length || to < plain.length) {
    hasToken ||= marked.tokens.has(from);
    hasBorder ||= marked.borders.has(from);
    const isSame = marked.text[from] === plain[to];
    if (!isSame && to < plain.length && isSpace(plain[to]!)) {
      to++;
    } else if (!isSame && from < marked.text.length && isSpace(marked.text[from]!)) {
      from++;
    } else if (!isSame) {
      return null;
    } else {
      if (hasToken) tokens.add(to);
      if (hasBorder) borders.add(to);
      hasToken = hasBorder = false;
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

function isTouched({ start, end }: PhraseMatch, { tokens, borders }: MarkedText): boolean {
  for (let place = start; place < end; place++) {
    if (tokens.has(place) || (place > start && borders.has(place))) return true;
  }
  return false;
}

/** Noncharacters, which no text interchanges; one that is typed all the same is written as LITERAL. */
const ESCAPE = "\uFDD0";
const LITERAL = "\uFDD0\uFDD1";
const BORDER = "\uFDD0\uFDD2";
const TOKEN = "\uFDD0\uFDD3";

const escape = (text: string): string => text.replaceAll(ESCAPE, LITERAL);

const isSpace = (character: string): boolean => /\s/u.test(character);
