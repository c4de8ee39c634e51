/** Renders docs/CLIENTS.md from the recorded requests and the request schema. */

import type { Dialect } from "../../src/openai/dialects.js";
import { parameterRows } from "../../src/openai/parameter-table.js";
import { combined, outcomesOf, type Outcome } from "./outcomes.js";
import type { Client } from "./recordings.js";

export function clientsPage(clients: readonly Client[]): string {
  return `# Clients

The requests of these clients, first turns and later ones, are replayed by the tests under \`/v1\` and under \`/v3/openai\`. The first four and promptfoo also run in \`npm run test:peers\`, with conversations of several turns, and the first four with loops of tools. Give each client the base URL \`http://127.0.0.1:8000/v1\` and any API key, unless the server has keys.

${markdownTable(
  ["client", "version", "where the base URL goes", "its requests are"],
  clients.map(({ name, version, connect, origin }) => [name, version, connect, origin]),
)}

## Fields

Each field is honored, or is accepted without effect because it cannot have any on this server, or the request is refused. An empty cell means that none of the recorded requests has the field. [SPEC.md](SPEC.md) defines each field.

${fieldTable(clients)}

## Refused requests

These requests are refused, whatever the model. A model whose chat template has no tools also refuses those with \`tools\`, with the error code \`template_error\`.

${markdownTable(
  ["client", "request", "error code", "`param`"],
  clients.flatMap(({ name, requests }) =>
    requests.flatMap(({ title, refused }) =>
      refused === undefined ? [] : [[name, title, `\`${refused.code}\``, `\`${refused.param}\``]],
    ),
  ),
)}

\`UPDATE_GOLDEN=1 npx vitest run spec-tests/clients\` writes this page from \`spec-tests/clients/requests.json\`.
`;
}

/** One row for each field that a client sends, in the order of the parameters; unknown fields are last. */
function fieldTable(clients: readonly Client[]): string {
  const columns = clients.map((client) => outcomesIn(client));
  const paths = new Set(columns.flatMap((outcomes) => [...outcomes.keys()]));
  return markdownTable(
    ["field", ...clients.map(({ name }) => name)],
    inOrder([...paths]).map((path) => [`\`${path}\``, ...columns.map((outcomes) => outcomes.get(path) ?? "")]),
  );
}

/** Sorts paths; those inside a field follow it. */
function inOrder(paths: readonly string[]): string[] {
  const names = parameterRows("openai").map(({ name }) => name);
  const rankOf = (name: string): number => (names.includes(name) ? names.indexOf(name) : names.length);
  const inside = (parent: string): string[] =>
    paths.flatMap((path) => (parentOf(path) === parent ? [path, ...inside(path)] : []));
  return paths
    .filter((path) => parentOf(path) === null)
    .sort((one, other) => rankOf(one) - rankOf(other))
    .flatMap((path) => [path, ...inside(path)]);
}

/** Returns the path of the field that contains another one, such as `messages` for `messages[].role`. */
function parentOf(path: string): string | null {
  const end = path.lastIndexOf(".");
  return end < 0 ? null : path.slice(0, end).replace(/\[\]$/, "");
}

/** Returns the cells of a client's column, by path. A cell has both dialects if they differ. */
function outcomesIn({ requests }: Client): Map<string, string> {
  const inDialect = (dialect: Dialect): Map<string, Outcome> =>
    combined(requests.flatMap(({ body }) => (body === undefined ? [] : [...outcomesOf(body, dialect)])));
  const ppio = inDialect("ppio");
  return new Map(
    [...inDialect("openai")].map(([path, outcome]) => {
      const other = ppio.get(path)!;
      return [path, outcome === other ? outcome : `/v1: ${outcome}; /v3/openai: ${other}`];
    }),
  );
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
