/** Models on this machine and on the hub: list, pull, remove, convert, inspect. */

export type { Markup } from "./message/index.js";
export { inspectModel, type MemoryEstimate, type ModelDescription, type ModelSizes } from "./model/index.js";
export {
  convert as convertModel,
  EMBEDDED_MODEL,
  listModels,
  pullModel,
  removeModel,
  type ConvertOptions,
  type HubModel,
  type ModelSummary,
  type PullOptions,
  type Removal,
} from "./store/index.js";
