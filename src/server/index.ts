/** The server: hosts that run models in worker threads, a registry of model names, and the HTTP server. */

export {
  createServer,
  listen,
  type CreateServerOptions,
  type ListeningServer,
  type LoadingCallbacks,
  type RunningServer,
  type ServedModelOptions,
} from "./create-server.js";
export type { Dialect } from "../openai/index.js";
