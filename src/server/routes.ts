/** The route table, and the endpoints that need only a few lines. */

import { ApiError, apiPrefixes, capabilities, openApiDocument, RETRY_SOON, type Dialect } from "../openai/index.js";
import { chatCompletions } from "./completions.js";
import type { Exchange } from "./exchange.js";
import { HOME_PAGE_POLICY, homePage } from "./home-page.js";
import type { ServedModel } from "./models.js";
import type { Services } from "./services.js";

export interface Route {
  readonly name: string;
  readonly method: "GET" | "POST";
  /** Set for health routes and the home page: they need no key and are answered during shutdown. */
  readonly isHealth: boolean;
  readonly answer: (exchange: Exchange, services: Services) => void | Promise<void>;
}

/**
 * Finds the route of a path.
 *
 * @param path path as sent, without the query
 * @param forced dialect of all paths; null if the path determines the dialect
 * @throws ApiError not_found
 */
export function findRoute(path: string, forced: Dialect | null): Route {
  const root = routeIn(ROOT_ROUTES, path);
  if (root !== null) return root;
  for (const { prefix, dialect } of apiPrefixes(forced)) {
    if (!path.startsWith(`${prefix}/`)) continue;
    const rest = path.slice(prefix.length);
    const route = routeIn(API_ROUTES[dialect], rest);
    if (route !== null) return route;
    const modelId = rest.startsWith("/models/") ? decoded(rest.slice("/models/".length)) : null;
    if (modelId !== null && modelId !== "") return modelRoute(modelId);
  }
  const given = JSON.stringify(path.slice(0, 200));
  throw new ApiError("not_found", `No route matches the path ${given}. ${hintFor(path, forced)}`);
}

/** Names the route of a client whose base URL lacks the prefix, or has another one. */
function hintFor(path: string, forced: Dialect | null): string {
  const { prefix } = apiPrefixes(forced)[0]!;
  const route = [...Object.keys(API_ROUTES.openai), "/models/"].find((name) =>
    name.endsWith("/") ? path.startsWith(name) : path.endsWith(name),
  );
  return route === undefined
    ? "GET /openapi.json lists all routes."
    : `A base URL ends with ${prefix}: the route is ${prefix}${route.replace(/\/$/, "/{id}")}.`;
}

const apiRoutes = (dialect: Dialect): Readonly<Record<string, Route>> => ({
  "/chat/completions": {
    name: "chat/completions",
    method: "POST",
    isHealth: false,
    answer: (exchange, services) => chatCompletions(exchange, dialect, services),
  },
  "/models": { name: "models", method: "GET", isHealth: false, answer: listModels },
  "/tokenize": {
    name: "tokenize",
    method: "POST",
    isHealth: false,
    answer: (exchange, services) => tokenize(exchange, dialect, services),
  },
  "/detokenize": {
    name: "detokenize",
    method: "POST",
    isHealth: false,
    answer: (exchange, services) => detokenize(exchange, dialect, services),
  },
  "/capabilities": {
    name: "capabilities",
    method: "GET",
    isHealth: false,
    answer: (exchange, services) => exchange.sendJson(capabilities({ dialect, ...description(services) })),
  },
});

const API_ROUTES = { ppio: apiRoutes("ppio"), openai: apiRoutes("openai") } as const;

const ROOT_ROUTES: Readonly<Record<string, Route>> = {
  "/": { name: "home", method: "GET", isHealth: true, answer: home },
  "/healthz": {
    name: "healthz",
    method: "GET",
    isHealth: true,
    answer: (exchange) => exchange.sendJson({ status: "ok" }),
  },
  "/readyz": { name: "readyz", method: "GET", isHealth: true, answer: ready },
  "/metrics": { name: "metrics", method: "GET", isHealth: false, answer: metrics },
  "/openapi.json": {
    name: "openapi.json",
    method: "GET",
    isHealth: false,
    answer: (exchange, { dialect, version }) => exchange.sendJson(openApiDocument({ dialect, version })),
  },
};

function home(exchange: Exchange, { models, version, needsKey }: Services): void {
  exchange.setHeader("content-security-policy", HOME_PAGE_POLICY);
  const url = `http://${exchange.header("host") ?? "localhost"}`;
  exchange.sendText(homePage(needsKey ? null : models, version, url), "text/html; charset=utf-8");
}

/** Returns the route of an exact path; inherited keys such as `__proto__` are not routes. */
function routeIn(routes: Readonly<Record<string, Route>>, path: string): Route | null {
  return Object.hasOwn(routes, path) ? routes[path]! : null;
}

function modelRoute(id: string): Route {
  const answer = (exchange: Exchange, services: Services): void => {
    services.models.find(id);
    exchange.sendJson(modelObject(id, services));
  };
  return { name: "models/{id}", method: "GET", isHealth: false, answer };
}

function listModels(exchange: Exchange, services: Services): void {
  exchange.sendJson({ object: "list", data: services.models.names().map((name) => modelObject(name, services)) });
}

function modelObject(id: string, { startedAt }: Services): object {
  return { id, object: "model", created: startedAt, owned_by: "touchstone" };
}

async function tokenize(exchange: Exchange, dialect: Dialect, services: Services): Promise<void> {
  const { model, work } = await services.requests.parse(
    "tokenize",
    dialect,
    await exchange.readJsonBody(services.bodyLimits),
    exchange.signal,
  );
  const { body, date } = await services.models.find(model).host.tokenize(work, services.date(), exchange.signal);
  if (date !== null) exchange.setHeader("x-touchstone-date", date);
  exchange.sendJsonBytes(body);
}

async function detokenize(exchange: Exchange, dialect: Dialect, services: Services): Promise<void> {
  const { model, work } = await services.requests.parse(
    "detokenize",
    dialect,
    await exchange.readJsonBody(services.bodyLimits),
    exchange.signal,
  );
  exchange.sendJsonBytes(await services.models.find(model).host.detokenize(work, exchange.signal));
}

function ready(exchange: Exchange, { models, isDraining }: Services): void {
  if (isDraining()) throw new ApiError("shutting_down", "The server is shutting down.", null, RETRY_SOON);
  const missing = models.all().filter(({ host }) => host.state !== "ready");
  if (missing.length > 0)
    throw new ApiError(
      "model_loading",
      `Not ready: ${missing.map(({ id, host }) => `${id} (${host.state})`).join(", ")}`,
      null,
      RETRY_SOON,
    );
  exchange.sendJson({ status: "ready", models: models.all().map(({ id }) => id) });
}

async function metrics(exchange: Exchange, { metrics }: Services): Promise<void> {
  exchange.sendText(await metrics.read(), metrics.contentType);
}

function description({ version, models, bodyLimits }: Services) {
  const describe = (model: ServedModel) => ({
    id: model.id,
    aliases: models.aliasesOf(model),
    contextLength: model.host.info?.contextLength ?? null,
    profile: model.host.info?.profile,
    maxConcurrency: model.host.info?.maxConcurrency,
    logprobsMode: model.host.info?.logprobsMode,
    callsTools: model.host.info?.callsTools,
  });
  return { version, models: models.all().map(describe), maxBodyBytes: bodyLimits.maxBytes };
}

/** Decodes percent-encoding; returns null if it is malformed. */
function decoded(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}
