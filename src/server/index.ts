/** The server: hosts that run models in worker threads, a registry of their names, and HTTP in front. */

export { EngineHost, type HostOptions } from "./host.js";
export { isLoopback } from "./keys.js";
export { ModelRegistry, servedNames, type ServedModel } from "./models.js";
export { startServer, type ApiServer, type ServerOptions } from "./server.js";
