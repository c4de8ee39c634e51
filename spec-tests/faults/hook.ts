/**
 * Wraps the calls to the platform that can fail, so that injection.ts counts them and lets one fail. `node --import`
 * loads this file before a program, and Node loads it in the program's worker threads as well.
 */

import fsPromises from "node:fs/promises";
import { createRequire, syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { fileURLToPath } from "node:url";
import workerThreads, { MessagePort, Worker } from "node:worker_threads";

import { GrammarMatcher } from "../../engine/grammar/index.js";
import { AnswerMask } from "../../engine/message/index.js";
import { ChatTemplate } from "../../engine/template/index.js";
import { StreamingDetokenizer, Tokenizer, Vocabulary } from "../../engine/text/index.js";
import { fails, type Kind } from "./injection.js";
import { countWorker } from "./live-workers.js";

type Method = (this: unknown, ...args: unknown[]) => unknown;
type Methods = Record<string, Method | undefined>;

// Node's CommonJS exports are the objects that can be changed; their ES modules follow.
const require = createRequire(import.meta.url);

async function install(): Promise<void> {
  wrapClasses();
  wrapKernels();
  wrapWorkers();
  wrapSockets();
  await wrapFiles();
  wrapAllocations();
  syncBuiltinESMExports();
}

/** Puts a function in the place of a method, with its properties. */
function replace(methods: Methods, name: string, wrapped: (original: Method) => Method): void {
  const original = methods[name];
  if (typeof original !== "function") return;
  const replacement = wrapped(original);
  Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original));
  methods[name] = replacement;
}

/** Lets a method throw if its call shall fail. */
function throwing(kind: Kind, error: (name: string) => Error, name: string): (original: Method) => Method {
  return (original) =>
    function (this: unknown, ...args) {
      if (fails(kind)) throw error(name);
      return Reflect.apply(original, this, args);
    };
}

function wrapClasses(): void {
  const injected = (name: string): Error => new Error(`${name} failed (injected)`);
  const wrap = (kind: Kind, prototype: object, names: readonly string[]): void => {
    for (const name of names) replace(prototype as Methods, name, throwing(kind, injected, name));
  };
  wrap("tokenizer", Tokenizer.prototype, ["encode", "encodePrompt"]);
  wrap("tokenizer", Vocabulary.prototype, ["decode", "tokenBytes", "tokenText", "hasToken"]);
  wrap("tokenizer", StreamingDetokenizer.prototype, ["push", "finish"]);
  wrap("tokenizer", ChatTemplate.prototype, ["render"]);
  wrap("grammar", GrammarMatcher.prototype, ["allowed", "acceptToken", "acceptBytes", "allowsBytes"]);
  wrap("grammar", AnswerMask.prototype, ["allowed", "accept"]);
}

/** A failing kernel traps, as it does for an access outside its memory. */
function wrapKernels(): void {
  const wasm = WebAssembly as unknown as Methods;
  replace(wasm, "instantiate", (original) => async (...args) => {
    const imports = (args[1] ?? {}) as { readonly env?: { readonly memory?: unknown } };
    // Other modules, such as the HTTP parser of `fetch`, bring their own memory.
    if (!(imports.env?.memory instanceof WebAssembly.Memory)) return Reflect.apply(original, WebAssembly, args);
    const instance = (await Reflect.apply(original, WebAssembly, args)) as { readonly exports: object };
    const exports = Object.entries(instance.exports).map(([name, value]: [string, unknown]) => {
      // `fail` only marks the kernels as failed.
      if (typeof value !== "function" || name === "fail") return [name, value];
      return [name, throwing("kernel", () => new WebAssembly.RuntimeError("unreachable"), name)(value as Method)];
    });
    return { exports: Object.fromEntries(exports) as object };
  });
}

function wrapWorkers(): void {
  const uncloneable = (): Error => new DOMException("The message could not be cloned (injected).", "DataCloneError");
  // A worker's `postMessage` calls that of its port.
  replace(MessagePort.prototype as unknown as Methods, "postMessage", (original) => {
    const wrapped = throwing("message", uncloneable, "postMessage")(original);
    return function (this: unknown, ...args) {
      const { type } = (args[0] ?? {}) as { readonly type?: unknown };
      return Reflect.apply(NODE_MESSAGES.has(type) ? original : wrapped, this, args);
    };
  });
  const Counted = new Proxy(Worker, {
    construct(target, args, newTarget) {
      if (fails("message"))
        throw withCode(new Error("Worker initialization failure (injected)"), "ERR_WORKER_INIT_FAILED");
      const worker = Reflect.construct(target, args, newTarget === Counted ? target : newTarget) as Worker;
      countWorker(worker);
      return worker;
    },
  });
  Object.assign(require("node:worker_threads") as typeof workerThreads, { Worker: Counted });
}

/** Messages with which Node starts a worker and passes on its output. */
const NODE_MESSAGES = new Set<unknown>([
  "loadScript",
  "stdioPayload",
  "stdioWantsMoreData",
  "upAndRunning",
  "errorMessage",
  "couldNotSerializeError",
]);

/** A socket whose write fails is closed with the error, as after a reset. */
function wrapSockets(): void {
  replace(net.Socket.prototype as unknown as Methods, "_writeGeneric", (original) => {
    return function (this: unknown, ...args) {
      const socket = this as net.Socket;
      // A socket that still connects calls this again when it is connected.
      if (socket.connecting || !fails("socket")) return Reflect.apply(original, this, args);
      const done = args[3] as (error: Error) => void;
      done(systemError("ECONNRESET", "write"));
      return undefined;
    };
  });
}

async function wrapFiles(): Promise<void> {
  const handle = await fsPromises.open(fileURLToPath(import.meta.url));
  const handles = Object.getPrototypeOf(handle) as Methods;
  await handle.close();
  const promised = require("node:fs/promises") as unknown as Methods;
  const files = require("node:fs") as unknown as Methods;
  for (const [name, code] of Object.entries(FILE_CALLS)) {
    replace(promised, name, rejecting(code));
    replace(files, name, callingBack(code));
    replace(
      files,
      `${name}Sync`,
      throwing("file", (called) => systemError(code, called), name),
    );
  }
  for (const [name, code] of Object.entries(HANDLE_CALLS)) replace(handles, name, rejecting(code));
  replace(
    handles,
    "close",
    (original) =>
      async function (this: unknown) {
        await Reflect.apply(original, this, []);
        // The descriptor is closed even if closing reports that earlier writes were lost.
        if (fails("file")) throw systemError("EIO", "close");
      },
  );
}

function rejecting(code: string): (original: Method) => Method {
  return (original) =>
    function (this: unknown, ...args) {
      if (fails("file")) return Promise.reject(systemError(code, original.name));
      return Reflect.apply(original, this, args);
    };
}

function callingBack(code: string): (original: Method) => Method {
  return (original) =>
    function (this: unknown, ...args) {
      const last = args.at(-1);
      if (typeof last !== "function" || !fails("file")) return Reflect.apply(original, this, args);
      return void setImmediate(last as (error: Error) => void, systemError(code, original.name));
    };
}

/** Functions of `node:fs/promises`, and those of the same names in `node:fs`, with the error of a full or broken disk. */
const FILE_CALLS = {
  access: "EIO",
  appendFile: "ENOSPC",
  copyFile: "ENOSPC",
  fstat: "EIO",
  link: "EIO",
  lstat: "EIO",
  mkdir: "ENOSPC",
  mkdtemp: "ENOSPC",
  open: "EMFILE",
  read: "EIO",
  readFile: "EIO",
  readdir: "EIO",
  readlink: "EIO",
  realpath: "EIO",
  rename: "EIO",
  rm: "EIO",
  rmdir: "EIO",
  stat: "EIO",
  statfs: "EIO",
  symlink: "ENOSPC",
  truncate: "EIO",
  unlink: "EIO",
  utimes: "EIO",
  writeFile: "ENOSPC",
} as const;

const HANDLE_CALLS = {
  appendFile: "ENOSPC",
  datasync: "EIO",
  read: "EIO",
  readFile: "EIO",
  readv: "EIO",
  stat: "EIO",
  sync: "EIO",
  truncate: "ENOSPC",
  utimes: "EIO",
  write: "ENOSPC",
  writeFile: "ENOSPC",
  writev: "ENOSPC",
} as const;

/** Wraps what this project's code allocates: buffers, typed arrays with a buffer of their own, and kernels' memory. */
function wrapAllocations(): void {
  const full = (): Error => new RangeError("Array buffer allocation failed");
  for (const name of BUFFER_CLASSES) {
    const original = (globalThis as unknown as Record<string, new (...args: unknown[]) => object>)[name]!;
    const counted: typeof original = new Proxy(original, {
      construct(target, args, newTarget) {
        if (!isView(args[0]) && fails("allocation")) throw full();
        return Reflect.construct(target, args, newTarget === counted ? target : newTarget) as object;
      },
    });
    Object.defineProperty(globalThis, name, { value: counted, configurable: true, writable: true });
  }
  const methods = new Map<string | symbol, Method>();
  for (const name of ["alloc", "allocUnsafe", "concat", "from"] as const) {
    const original = Buffer[name] as unknown as Method;
    methods.set(name, function (...args) {
      if (!isView(args[0]) && fails("allocation")) throw full();
      return Reflect.apply(original, Buffer, args);
    });
  }
  const CountedBuffer = new Proxy(Buffer, {
    get: (target, name) => methods.get(name) ?? (Reflect.get(target, name) as unknown),
  });
  Object.defineProperty(globalThis, "Buffer", { value: CountedBuffer, configurable: true, writable: true });
  const memory = WebAssembly.Memory.prototype as unknown as Methods;
  const tooLarge = (): Error => new RangeError("WebAssembly.Memory.grow(): Unable to grow instance memory");
  replace(memory, "grow", throwing("allocation", tooLarge, "grow"));
}

const BUFFER_CLASSES = [
  "ArrayBuffer",
  "SharedArrayBuffer",
  "Float32Array",
  "Float64Array",
  "Int8Array",
  "Int16Array",
  "Int32Array",
  "Uint8Array",
  "Uint16Array",
  "Uint32Array",
] as const;

/** Returns true for the argument of a constructor that makes a view of existing memory. */
function isView(first: unknown): boolean {
  return first instanceof ArrayBuffer || first instanceof SharedArrayBuffer;
}

function systemError(code: string, syscall: string): Error {
  return Object.assign(withCode(new Error(`${code}: injected, ${syscall}`), code), { syscall, errno: -1 });
}

function withCode(error: Error, code: string): Error {
  return Object.assign(error, { code });
}

await install();
