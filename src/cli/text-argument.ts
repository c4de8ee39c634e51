/** The text that `chat` and `generate` work on: an argument, an option, or stdin. */

import { buffer } from "node:stream/consumers";

import { EngineError } from "../../engine/errors.js";

/** Argument that stands for stdin. */
const STDIN = "-";

/**
 * Returns the text; undefined if none is given.
 *
 * @param flag option that gives the same text, such as `--once`
 * @throws EngineError if both are given, or if stdin is not UTF-8
 */
export async function textArgument(
  argument: string | undefined,
  flag: string,
  option: string | undefined,
): Promise<string | undefined> {
  if (argument !== undefined && option !== undefined)
    throw new EngineError("unsupported_value", `A text and ${flag} are both given; only one of them is allowed.`);
  return argument === STDIN ? textOfStdin() : (argument ?? option);
}

/**
 * Yields the lines of stdin; a line feed ends a line, with a carriage return before it if there is one.
 * @throws EngineError if they are not UTF-8
 */
export async function* linesOfStdin(): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", UTF8);
  let line = "";
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    const [first = "", ...others] = decoded(decoder, chunk, true).split("\n");
    line += first;
    for (const next of others) {
      yield line.replace(/\r$/, "");
      line = next;
    }
  }
  line += decoded(decoder, undefined, false);
  if (line !== "") yield line;
}

/** Reads stdin to its end. One line break at the end, as `echo` and editors write it, is not part of the text. */
export async function textOfStdin(): Promise<string> {
  const text = decoded(new TextDecoder("utf-8", UTF8), await buffer(process.stdin), false);
  return text.replace(/\r?\n$/, "");
}

const UTF8 = { fatal: true, ignoreBOM: true } as const;

function decoded(decoder: InstanceType<typeof TextDecoder>, bytes: Uint8Array | undefined, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream });
  } catch (cause) {
    throw new EngineError("input_unavailable", "The text on stdin is not UTF-8.", null, { cause });
  }
}
