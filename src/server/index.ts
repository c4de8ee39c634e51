/** Creates the server inside a program: its models run in worker threads. */

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
