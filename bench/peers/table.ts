/** Tables in Markdown. */

/** Returns the lines of a table. */
export function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}
