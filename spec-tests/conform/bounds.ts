/**
 * Bounds on what the suite reads from the server under test, which may send anything for any time. All answers that
 * laws ask for are far smaller.
 */

/** Body of a response, up to a bound. Its bytes are in one buffer, so many small pieces take no more memory. */
export class ResponseBody {
  /** The bound that the body exceeds, as the end of a sentence about it; null if it is within all bounds. */
  excess: string | null = null;
  private bytes = Buffer.alloc(INITIAL_BYTES);
  private length = 0;
  private readonly events = new EventCounter();

  /** Number of complete server-sent events so far. */
  get numEvents(): number {
    return this.events.count;
  }

  append(piece: Uint8Array): void {
    if (this.excess !== null) return;
    this.events.append(piece);
    if (this.length + piece.length > MAX_BODY_BYTES) this.excess = `it has more than ${MAX_BODY_BYTES} bytes`;
    else if (this.numEvents > MAX_EVENTS) this.excess = `it has more than ${MAX_EVENTS} events`;
    else this.keep(piece);
  }

  /** Decodes the body, or the beginning of one that exceeds a bound. */
  text(): string {
    const end = this.excess === null ? this.length : Math.min(this.length, EXCERPT_BYTES);
    return this.bytes.toString("utf8", 0, end);
  }

  private keep(piece: Uint8Array): void {
    if (this.length + piece.length > this.bytes.length) {
      const larger = Buffer.alloc(Math.max(2 * this.bytes.length, this.length + piece.length));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    this.bytes.set(piece, this.length);
    this.length += piece.length;
  }
}

/**
 * Parses JSON of the server.
 *
 * @throws SyntaxError also for nesting so deep that recursive code could not visit the value
 */
export function parseJson(text: string): unknown {
  let depth = 0;
  let isString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (isString) {
      if (unit === BACKSLASH) i++;
      else if (unit === QUOTE) isString = false;
    } else if (unit === QUOTE) isString = true;
    else if (unit === OPEN_ARRAY || unit === OPEN_OBJECT) {
      if (++depth > MAX_JSON_DEPTH) throw new SyntaxError(`more than ${MAX_JSON_DEPTH} levels`);
    } else if (unit === CLOSE_ARRAY || unit === CLOSE_OBJECT) depth--;
  }
  return JSON.parse(text);
}

const MAX_BODY_BYTES = 8 << 20;
const MAX_EVENTS = 65_536;
const MAX_JSON_DEPTH = 256;
const INITIAL_BYTES = 16 << 10;
/** Bytes that are kept as evidence of a body that exceeds a bound. */
const EXCERPT_BYTES = 64 << 10;

const [LINE_FEED, CARRIAGE_RETURN, COLON, QUOTE, BACKSLASH] = [0x0a, 0x0d, 0x3a, 0x22, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
const DATA = Buffer.from("data");
const BYTE_ORDER_MARK = Buffer.from("\uFEFF");

/** Counts server-sent events as they arrive, as `sseEvents` does for the whole text. It keeps no text. */
class EventCounter {
  count = 0;
  /** Position in the line, and whether the line is a `data` field as far as it is known. */
  private column = 0;
  private isData = true;
  private hasData = false;
  private isAfterReturn = false;
  private numMarkBytes: number | null = 0;

  append(piece: Uint8Array): void {
    for (const byte of piece) if (!this.isMark(byte)) this.take(byte);
  }

  /** Returns true for the bytes of a byte order mark at the beginning. */
  private isMark(byte: number): boolean {
    if (this.numMarkBytes === null) return false;
    if (byte !== BYTE_ORDER_MARK[this.numMarkBytes]) {
      // Bytes of another character that begins like the mark are not "data" either.
      if (this.numMarkBytes > 0) this.isData = false;
      this.column = this.numMarkBytes;
      this.numMarkBytes = null;
      return false;
    }
    this.numMarkBytes = this.numMarkBytes + 1 === BYTE_ORDER_MARK.length ? null : this.numMarkBytes + 1;
    return true;
  }

  private take(byte: number): void {
    const isSecondOfLineEnd = this.isAfterReturn && byte === LINE_FEED;
    this.isAfterReturn = byte === CARRIAGE_RETURN;
    if (isSecondOfLineEnd) return;
    if (byte === LINE_FEED || byte === CARRIAGE_RETURN) this.endLine();
    else {
      if (this.column < DATA.length) this.isData &&= byte === DATA[this.column];
      else if (this.column === DATA.length) this.isData &&= byte === COLON;
      this.column++;
    }
  }

  private endLine(): void {
    if (this.column === 0) {
      if (this.hasData) this.count++;
      this.hasData = false;
    } else if (this.isData && this.column >= DATA.length) this.hasData = true;
    this.column = 0;
    this.isData = true;
  }
}
