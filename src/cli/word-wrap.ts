/**
 * Wraps streamed text at spaces, for a terminal. A word is held back until it ends, because it may have to move to the
 * next line. The text must have no control characters but line breaks and tabs (`visible` in terminal.ts).
 */

export class WordWrap {
  readonly #width: number;
  /** Columns of the current line that are in use. */
  #column = 0;
  /** Spaces and tabs before `#word`; neither has been returned. */
  #space = "";
  #word = "";
  #wordColumns = 0;
  /** The last character of `#word` that is not a mark. */
  #last = "";
  /** True if the beginning of the word has been returned, because it is longer than a line. */
  #isContinued = false;

  /** @param width columns of the terminal; Infinity to wrap nothing */
  constructor(width: number) {
    this.#width = width;
  }

  /** Adds a piece of text. Returns what can be printed now. */
  push(text: string): string {
    let ready = "";
    for (const character of text) {
      if (character === "\n" || character === " " || character === "\t") {
        ready += this.#placedWord();
        this.#isContinued = false;
        if (character !== "\n") this.#space += character;
        else {
          ready += "\n";
          this.#space = "";
          this.#column = 0;
        }
      } else {
        const columns = columnsOf(character);
        if (this.#canBreakBefore(columns)) {
          ready += this.#placedWord();
          this.#isContinued = false;
        } else if (this.#wordColumns + columns > this.#width) {
          ready += this.#placedWord();
          this.#isContinued = true;
        }
        this.#word += character;
        this.#wordColumns += columns;
        if (columns > 0 || character === JOINER) this.#last = character;
      }
    }
    return ready;
  }

  /** Returns what is held back. */
  flush(): string {
    const rest = this.#placedWord() + this.#space;
    this.#space = "";
    return rest;
  }

  /** Returns the word behind its spaces, or on a new line without them. */
  #placedWord(): string {
    const [space, word, columns] = [this.#space, this.#word, this.#wordColumns];
    if (word === "") return "";
    this.#space = "";
    this.#word = "";
    this.#wordColumns = 0;
    this.#last = "";
    const start = [...space].reduce((column, each) => (each === "\t" ? nextTabStop(column) : column + 1), this.#column);
    // A new line would give no more room to an indented word, and would cut a word that is longer than a line.
    if (start + columns <= this.#width || this.#column === 0 || this.#isContinued) {
      this.#column = this.#within(start + columns);
      return space + word;
    }
    this.#column = columns;
    return `\n${word}`;
  }

  /** Column after the terminal has broken the line by itself. */
  #within(column: number): number {
    return column <= this.#width ? column : column % this.#width;
  }

  /**
   * Text in wide characters has no spaces; it may break beside each of them. Marks and joined emoji stay together.
   * @param columns those of the next character
   */
  #canBreakBefore(columns: number): boolean {
    if (this.#last === "" || this.#last === JOINER || columns === 0) return false;
    return columns === 2 || columnsOf(this.#last) === 2;
  }
}

/** Wraps a whole text. */
export function wrapped(text: string, width: number): string {
  const wrap = new WordWrap(width);
  return wrap.push(text) + wrap.flush();
}

/** Returns the columns that a terminal uses for a text without control characters. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += WITHOUT_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

const nextTabStop = (column: number): number => (Math.floor(column / TAB_COLUMNS) + 1) * TAB_COLUMNS;

const TAB_COLUMNS = 8;
const JOINER = "\u200D";
const WITHOUT_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/** Wide and fullwidth characters of Unicode's East Asian Width, by blocks, and emoji. */
const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uA960-\uA97C\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF01-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]$/u;
