/** Formats an exchange as a command for POSIX shells that repeats its request, whatever the body contains. */

import { KEY_VARIABLE } from "./client.js";
import type { Exchange } from "./law.js";
import { visible } from "./terminal.js";

/** Below Linux' limit of 128 KiB for one argument. */
const MAX_ARGUMENT_LENGTH = 100_000;

/** Returns the command. It takes the key from the shell variable `API_KEY`. */
export function curl({ method, path, headers, body }: Exchange, baseUrl: string): string {
  const isStream = body !== null && /"stream"\s*:\s*true/.test(body);
  const words = [
    [
      "curl",
      isStream ? "-sSN" : "-sS",
      ...(method === (body === null ? "GET" : "POST") ? [] : ["-X", quoted(method)]),
      quoted(baseUrl + path),
    ].join(" "),
    ...Object.entries(headers)
      .filter(([name]) => name !== "content-length")
      .map(([name, value]) => `-H ${header(name, value)}`),
    // Prevents curl from adding the content type of forms.
    ...(body !== null && headers["content-type"] === undefined ? ["-H 'content-type:'"] : []),
  ];
  if (body === null) return words.join(" \\\n  ");
  if (Buffer.byteLength(body) <= MAX_ARGUMENT_LENGTH && visible(body) === body)
    return [...words, `--data-raw ${quoted(body)}`].join(" \\\n  ");
  // printf is a shell builtin, so its arguments have no length limit. It also writes characters that would act on the
  // terminal into which the command is pasted.
  const format = visible(body.replaceAll("\\", "\\\\").replaceAll("%", "%%"), octalBytes);
  return `printf ${quoted(format)} | ${[...words, "--data-binary @-"].join(" \\\n  ")}`;
}

function octalBytes(character: string): string {
  return [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

function header(name: string, value: string): string {
  const text = `${name}: ${value}`;
  if (!value.includes(KEY_VARIABLE)) return quoted(text);
  return `"${text
    .split(KEY_VARIABLE)
    .map((part) => part.replace(/[\\"$`]/g, "\\$&"))
    .join(KEY_VARIABLE)}"`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
