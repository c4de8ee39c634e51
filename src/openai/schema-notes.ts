/** The response header with remarks on the schema of an answer. */

/**
 * Returns a JSON array of texts, in ASCII. Notes that do not fit are left out, and counted in the last text.
 * @param notes at least one
 */
export function schemaNotesHeader(notes: readonly string[]): string {
  const fitting: string[] = [];
  let size = 0;
  for (const note of notes) {
    const text = ascii(note);
    size += text.length + 1;
    if (size > MAX_CHARACTERS) break;
    fitting.push(text);
  }
  const numMore = notes.length - fitting.length;
  if (numMore > 0) fitting.push(JSON.stringify(`and ${numMore} more`));
  return `[${fitting.join()}]`;
}

/** Far below what clients and proxies allow for all headers of a response together. */
const MAX_CHARACTERS = 2000;

function ascii(text: string): string {
  return JSON.stringify(text).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
