/** Locates models: resolves names to folders and manages the caches of downloads and packs. */

export { cacheFolder } from "./cache.js";
export { convert, type ConvertOptions } from "./convert.js";
export { hubCacheFolder, hubReference, hubSettings, type HubModel } from "./hub/index.js";
export { pullModel, type PullOptions } from "./locate.js";
export { prepareModel } from "./prepare.js";
export { EMBEDDED_MODEL, listModels, removeModel, type ModelSummary, type Removal } from "./stored-models.js";
