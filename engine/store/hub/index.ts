/** Provides models of the hub as folders on this machine: names, downloads and the shared cache. */

export { locateModel, pullModel, type HubModel, type HubOptions } from "./pull.js";
export { hubReference, isCommit, referenceText, type HubReference } from "./reference.js";
export { isRunning, machineName, processNamespace } from "./processes.js";
export { hubCacheFolder, hubSettings } from "./settings.js";
export { removeStored, snapshotName, storedModels } from "./stored.js";
