/** Locates models: resolves names to folders and manages the caches of downloads and packs. */

export { cacheFolder } from "./cache.js";
export { convert, type ConvertOptions } from "./convert.js";
export {
  hubCacheFolder,
  hubReference,
  hubSettings,
  referenceText,
  type HubModel,
  type HubOptions,
  type HubReference,
} from "./hub/index.js";
export { pullModel, type PullOptions } from "./locate.js";
export { prepareModel, type PrepareOptions } from "./prepare.js";
export { EMBEDDED_MODEL, listModels, removeModel, type ModelSummary, type Removal } from "./stored-models.js";
