/** GET /: a page for people who open the server in a browser. It says what runs here, and where to go on. */

import type { ModelRegistry } from "./models.js";

/**
 * @param models null if only clients with a key may know them
 * @param url URL of the server, as the browser sees it
 */
export function homePage(models: ModelRegistry | null, version: string, url: string): string {
  const rows = models
    ?.all()
    .map(({ id, host }) => `<tr><td><code>${markup(id)}</code></td><td>${host.state}</td></tr>`);
  const model = models?.all()[0]?.id ?? "MODEL";
  const key = models === null ? ' \\\n  -H "authorization: Bearer KEY"' : "";
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "Hi" }] });
  const command = `curl ${url}/v1/chat/completions${key} \\\n  -H "content-type: application/json" \\\n  -d '${body.replaceAll("'", "'\\''")}'`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Touchstone</title>
<style>${STYLE}</style>
<main>
<h1>Touchstone ${markup(version)}</h1>
<p>This server answers chat completions. The base URL for clients of OpenAI's API is <code>${markup(url)}/v1</code>.</p>
${rows === undefined ? "<p>It needs a key.</p>" : `<table><tr><th>model</th><th>state</th></tr>${rows.join("")}</table>`}
<pre>${markup(command)}</pre>
<ul>
<li><a href="/v1/models">Models</a></li>
<li><a href="/v1/capabilities">Parameters and limits</a></li>
<li><a href="/openapi.json">OpenAPI document</a></li>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/readyz">Readiness</a></li>
</ul>
</main>
</html>
`;
}

const markup = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The page loads nothing and runs no script. */
export const HOME_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem 1rem; }
main { max-width: 44rem; margin: auto; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8888; border-radius: 6px; }
td, th { text-align: left; padding-right: 2rem; }
`;
