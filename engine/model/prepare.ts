/**
 * From what the user named to an open pack: a pack as it is, a model folder through the cache (converted on its
 * first use), nothing for the embedded model. A cached pack is found by the sha256 of all the model's files.
 * Hashing gigabytes at every start would be slow, so the cache also remembers which files had which hash, and
 * believes that while size, inode and both time stamps stay the same to the nanosecond, as git's index does.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { homedir, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { writePack } from "./convert.js";
import { fileExists, readModelFile } from "./model-files.js";
import { FORMAT_VERSION, MANIFEST_FILE, openPack, type ModelPack } from "./pack.js";
import { INDEX_FILE, SINGLE_FILE } from "./safetensors.js";
import { openSourceModel, TEXT_FILES } from "./source-model.js";
import { removeFolder, writeFolder } from "./staging.js";

export interface PrepareOptions {
  /** A model folder or a pack; null for the embedded model. */
  readonly model: string | null;
  /** How a model folder is converted; by default q8. A pack of another format is refused. */
  readonly format?: MatrixFormat | undefined;
  /** Called while a model is being converted, with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @throws EngineError naming what is missing, damaged, not supported or not writable */
export async function preparePack(options: PrepareOptions): Promise<ModelPack> {
  if (options.model === null) return ofFormat(await openPack(await embeddedPack()), options.format);
  const dir = options.model;
  switch (await kindOfFolder(dir)) {
    case "pack":
      return ofFormat(await openPack(dir), options.format);
    case "model":
      return cachedPack(dir, options.format ?? "q8", options.onProgress);
  }
}

/** The folder for everything this program keeps: `TOUCHSTONE_CACHE`, else the platform's place for caches. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment["TOUCHSTONE_CACHE"];
  if (chosen !== undefined && chosen !== "") return chosen;
  switch (platform()) {
    case "win32":
      return join(environment["LOCALAPPDATA"] || join(homedir(), "AppData", "Local"), "touchstone", "cache");
    case "darwin":
      return join(homedir(), "Library", "Caches", "touchstone");
    default:
      return join(environment["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "touchstone");
  }
}

async function cachedPack(
  modelDir: string,
  format: MatrixFormat,
  onProgress: PrepareOptions["onProgress"],
): Promise<ModelPack> {
  const cache = cacheFolder();
  const before = await fileStates(modelDir);
  const remembered = await rememberedHash(cache, modelDir, before);
  const hash = remembered ?? (await hashFiles(modelDir, before));
  const target = join(cache, "packs", `${hash.slice(0, 32)}-${format}-v${FORMAT_VERSION}`);
  let pack = await openCached(target);
  if (pack === null) {
    await convertInto(target, modelDir, format, onProgress, async () => {
      if (!sameStates(before, await fileStates(modelDir))) {
        throw new EngineError("invalid_model", `${modelDir} changed while it was being converted`);
      }
    });
    pack = await openPack(target);
  }
  if (remembered === null) await rememberHash(cache, modelDir, before, hash);
  return pack;
}

/** The pack at `target`, or null where there is none or a damaged one, which is then removed. */
async function openCached(target: string): Promise<ModelPack | null> {
  if ((await stat(target).catch(() => null)) === null) return null;
  try {
    return await openPack(target);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    await removeFolder(target).catch(cacheError);
    return null;
  }
}

async function convertInto(
  target: string,
  modelDir: string,
  format: MatrixFormat,
  onProgress: PrepareOptions["onProgress"],
  checkUnchanged: () => Promise<void>,
): Promise<void> {
  const source = await openSourceModel(modelDir);
  try {
    await writeFolder(target, async (dir) => {
      await writePack(source, dir, { format, onProgress });
      await checkUnchanged();
    });
  } catch (error) {
    throw cacheError(error);
  } finally {
    await source.reader.close();
  }
}

/** What the file system refuses while the cache is written is about the cache, not about the model. */
function cacheError(cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  if (cause instanceof EngineError || code === undefined || (cause as NodeJS.ErrnoException).syscall === undefined) return cause;
  return new EngineError(
    "cache_unavailable",
    `cannot write to the cache folder ${cacheFolder()} (${code}); set TOUCHSTONE_CACHE to a folder with room that can be written`,
    null,
    { cause },
  );
}

async function kindOfFolder(dir: string): Promise<"pack" | "model"> {
  const entry = await stat(dir).catch(() => null);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (!entry.isDirectory()) {
    throw new EngineError("model_not_found", `${dir} is a file; a model is a folder with config.json, tokenizer.json and ${SINGLE_FILE}`);
  }
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  const hasWeights = (await has(SINGLE_FILE)) || (await has(INDEX_FILE));
  if (!hasWeights && (await has(MANIFEST_FILE))) return "pack";
  if (await has("config.json")) return "model";
  throw new EngineError("model_not_found", `${dir} is no model: it has neither config.json (a model folder) nor ${MANIFEST_FILE} (a pack)`);
}

function ofFormat(pack: ModelPack, format: MatrixFormat | undefined): ModelPack {
  if (format === undefined || format === pack.manifest.format) return pack;
  throw new EngineError("unsupported_value", `${pack.dir} is a pack of ${pack.manifest.format} weights, not ${format}: convert the model again`, "format");
}

/** The pack that comes with the package: beside the compiled program, or in a source tree that has been built. */
async function embeddedPack(): Promise<string> {
  for (const place of ["../../models/tiny", "../../dist/models/tiny"]) {
    const dir = fileURLToPath(new URL(place, import.meta.url));
    if (await fileExists(join(dir, MANIFEST_FILE))) return dir;
  }
  throw new EngineError("model_not_found", "this installation has no embedded model: name a model folder");
}

/** What tells two states of a file apart without reading it. */
interface FileState {
  readonly name: string;
  readonly size: string;
  readonly inode: string;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

async function fileStates(dir: string): Promise<FileState[]> {
  const states: FileState[] = [];
  for (const name of [...TEXT_FILES, ...(await weightFiles(dir))]) {
    const entry = await stat(join(dir, name), { bigint: true }).catch(() => null);
    if (entry === null) continue;
    const { size, ino, mtimeNs, ctimeNs } = entry;
    states.push({ name, size: `${size}`, inode: `${ino}`, modifiedNs: `${mtimeNs}`, changedNs: `${ctimeNs}` });
  }
  return states;
}

/** The single file, or the index and whatever it lists; the names are checked when the weights are opened. */
async function weightFiles(dir: string): Promise<string[]> {
  if (await fileExists(join(dir, SINGLE_FILE))) return [SINGLE_FILE];
  const index = await readModelFile(dir, INDEX_FILE);
  if (index === null) return [];
  const shards = new Set(Buffer.from(index).toString().match(/[^"/\\]+\.safetensors(?=")/g) ?? []);
  return [INDEX_FILE, ...[...shards].sort()];
}

function sameStates(a: readonly FileState[], b: readonly FileState[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

async function hashFiles(dir: string, states: readonly FileState[]): Promise<string> {
  const all = createHash("sha256");
  for (const { name } of states) {
    const hash = createHash("sha256");
    try {
      for await (const chunk of createReadStream(join(dir, name), { highWaterMark: HASH_CHUNK_BYTES })) hash.update(chunk as Buffer);
    } catch (cause) {
      throw new EngineError("invalid_model", `${join(dir, name)} cannot be read (${(cause as NodeJS.ErrnoException).code})`, null, { cause });
    }
    all.update(`${name} ${hash.digest("hex")}\n`);
  }
  return all.digest("hex");
}

const HASH_CHUNK_BYTES = 1 << 20;
/** A file changed this recently may change again within its time stamps' granularity. */
const SETTLED_MS = 2000;

async function memoryFile(cache: string, modelDir: string): Promise<string> {
  const path = createHash("sha256").update(await realpath(modelDir)).digest("hex");
  return join(cache, "sources", `${path.slice(0, 32)}.json`);
}

async function rememberedHash(cache: string, modelDir: string, states: readonly FileState[]): Promise<string | null> {
  try {
    const memory = JSON.parse(await readFile(await memoryFile(cache, modelDir), "utf8")) as { states: FileState[]; hash: string };
    return sameStates(memory.states, states) && /^[0-9a-f]{64}$/.test(memory.hash) ? memory.hash : null;
  } catch {
    // No memory, or an unreadable one: hashing gives the same answer, later.
    return null;
  }
}

async function rememberHash(cache: string, modelDir: string, states: readonly FileState[], hash: string): Promise<void> {
  const settledNs = BigInt(Date.now() - SETTLED_MS) * 1_000_000n;
  if (states.some(({ changedNs }) => BigInt(changedNs) > settledNs)) return;
  try {
    const file = await memoryFile(cache, modelDir);
    await mkdir(join(cache, "sources"), { recursive: true });
    const temporary = `${file}.${process.pid}`;
    await writeFile(temporary, JSON.stringify({ states, hash }));
    await rename(temporary, file);
  } catch {
    // A cache that cannot be written costs time at the next start, nothing else.
  }
}
