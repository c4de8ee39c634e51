/** Tests models from the hub: the requests that are sent, the contents of the cache, and failures of the network. */

import { createHash } from "node:crypto";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { inspect } from "node:util";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import {
  folderRepository,
  HubServer,
  randomFile,
  textRepository,
  TOKEN,
  type HubRequest,
} from "../../../spec-tests/hub/hub-server.js";
import { randomModel } from "../../../spec-tests/fixtures/random-model.js";
import { machineName } from "./processes.js";
import {
  hubCacheFolder,
  hubReference,
  locateModel,
  pullModel,
  removeStored,
  storedModels,
  type HubOptions,
} from "./index.js";
import { acquireLock, type Lock } from "./lock.js";

const NAME = "org/model";
const REFERENCE = hubReference(NAME)!;
const TEXTS = { "config.json": '{"model_type":"llama"}', "tokenizer.json": "{}", "README.md": "# Model" };
const MEBIBYTE = 1 << 20;
/** Only tests of silent hosts wait for silence: on a busy machine the test's own hub may be silent for a while. */
const PATIENT = { maxAttempts: 3, pauseMs: 5, stallMs: 30_000 };
const IMPATIENT = { ...PATIENT, stallMs: 1000 };

let hub: HubServer;
let scratch: string;
let cache: string;
let notices: string[];

beforeAll(async () => {
  hub = await HubServer.start();
});
afterAll(() => hub.close());
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "touchstone-hub-"));
  cache = join(scratch, "hub");
  notices = [];
  hub.repositories.clear();
  hub.requests.length = 0;
  hub.faults = {};
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

function options(more: HubOptions & { token?: string } = {}): HubOptions {
  const environment = { ...hub.environment(scratch), HF_TOKEN: more.token ?? "" };
  return {
    environment,
    pace: PATIENT,
    onNotice: (message) => notices.push(message),
    ...more,
  };
}

function insertPrefix(contents: Parameters<typeof textRepository>[0], more: Parameters<typeof textRepository>[1] = {}) {
  const repository = textRepository(contents, more);
  hub.repositories.set(NAME, repository);
  return repository;
}

const paths = (): string[] => hub.requests.map(({ path }) => path);
const filesIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("the files that are needed", () => {
  test("the text files and model.safetensors, as links to blobs that are named by their hashes; and nothing else", async () => {
    const { commit, files } = insertPrefix({
      ...TEXTS,
      "model.safetensors": "weights",
      "pytorch_model.bin": "others",
      "onnx/model.onnx": "graph",
    });
    const { dir } = await pullModel(REFERENCE, options());
    expect(dir).toBe(join(cache, "models--org--model", "snapshots", commit));
    expect(await filesIn(dir)).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    for (const name of await filesIn(dir)) {
      expect(await readlink(join(dir, name))).toBe(join("..", "..", "blobs", files.get(name)!.hash));
    }
    expect(await readFile(join(dir, "model.safetensors"), "utf8")).toBe("weights");
    expect(await readFile(join(cache, "models--org--model", "refs", "main"), "utf8")).toBe(commit);
    expect(
      (await filesIn(join(cache, "models--org--model", "blobs"))).filter((name) => name.includes("incomplete")),
    ).toEqual([]);
    expect(await filesIn(join(cache, ".locks"))).toEqual([]);
  });

  test("the index and the shards that it names", async () => {
    const index = JSON.stringify({
      weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
    });
    insertPrefix({
      ...TEXTS,
      "model.safetensors.index.json": index,
      "model-00001-of-00002.safetensors": "1",
      "model-00002-of-00002.safetensors": "2",
      "other.safetensors": "3",
    });
    const { dir } = await pullModel(REFERENCE, options());
    expect(await filesIn(dir)).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
    ]);
  });

  test.each<[string, HubOptions["dtype"], readonly string[]]>([
    ["without safetensors: the first available variant", undefined, ["onnx/model_fp16.onnx"]],
    ["of a dtype, with its data", "q4", ["onnx/model_q4.onnx", "onnx/model_q4.onnx_data", "onnx/model_q4.onnx_data_1"]],
    ["q8 is called quantized", "q8", ["onnx/model_quantized.onnx"]],
  ])("ONNX files %s", async (_, dtype, expected) => {
    const variants = [
      "model_fp16.onnx",
      "model_q4.onnx",
      "model_q4.onnx_data",
      "model_q4.onnx_data_1",
      "model_q4f16.onnx",
      "model_quantized.onnx",
      "model_q4.onnx_data_old",
    ];
    insertPrefix({ ...TEXTS, ...Object.fromEntries(variants.map((name) => [`onnx/${name}`, name])) });
    const { dir } = await pullModel(REFERENCE, options({ dtype }));
    expect(await filesIn(dir)).toEqual(["config.json", ...expected, "tokenizer.json"]);
    hub.requests.length = 0;
    expect((await locateModel(REFERENCE, options({ dtype }))).dir).toBe(dir);
    expect(paths()).toEqual([]);
  });

  test("a dtype takes precedence over safetensors", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights", "onnx/model.onnx": "graph" });
    const { dir } = await pullModel(REFERENCE, options({ dtype: "fp32" }));
    expect(await filesIn(dir)).toEqual(["config.json", "onnx/model.onnx", "tokenizer.json"]);
    expect(await filesIn((await locateModel(REFERENCE, options())).dir)).toContain("model.safetensors");
  });

  test.each<[string, Record<string, string>, HubOptions["dtype"], RegExp]>([
    [
      "other formats",
      { ...TEXTS, "pytorch_model.bin": "", "model.gguf": "" },
      undefined,
      /^org\/model holds GGUF \(model\.gguf\): download the file/,
    ],
    [
      "an adapter",
      { "adapter_config.json": "{}", "adapter_model.safetensors": "", "tokenizer.json": "{}" },
      undefined,
      /^org\/model holds an adapter \(adapter_config\.json\)/,
    ],
    [
      "no weights",
      TEXTS,
      undefined,
      /^org\/model cannot be run: it has no model\.safetensors, .* or onnx\/model\.onnx, and no weights$/,
    ],
    [
      "no tokenizer",
      { "config.json": "{}", "model.safetensors": "" },
      undefined,
      /it has no tokenizer\.json, but model\.safetensors$/,
    ],
    [
      "sub-folders",
      { "a/config.json": "{}", "a/model.safetensors": "" },
      undefined,
      /keeps its model in sub-folders, which is not supported: it has a\/model\.safetensors$/,
    ],
    [
      "another dtype",
      { ...TEXTS, "onnx/model_q4.onnx": "" },
      "fp16",
      /has no onnx\/model_fp16\.onnx for the dtype fp16: it has only q4$/,
    ],
    [
      "a dtype, but only safetensors",
      { ...TEXTS, "model.safetensors": "" },
      "q4",
      /for the dtype q4: it has no ONNX files$/,
    ],
    [
      "a shard that is missing",
      { ...TEXTS, "model.safetensors.index.json": '{"weight_map":{"a":"gone.safetensors"}}' },
      undefined,
      /has no gone\.safetensors, which its model\.safetensors\.index\.json names$/,
    ],
    [
      "a shard outside the folder",
      { ...TEXTS, "model.safetensors.index.json": '{"weight_map":{"a":"../x.safetensors"}}' },
      undefined,
      /names "\.\.\/x\.safetensors", which is not a safetensors file in the same folder$/,
    ],
  ])("a repository with %s is refused by name", async (_, contents, dtype, message) => {
    insertPrefix(contents);
    await expect(pullModel(REFERENCE, options({ dtype }))).rejects.toThrow(message);
  });

  test.each<[string, Record<string, string>]>([
    ["one file", { "model.safetensors": "weights" }],
    ["shards", { "model.safetensors.index.json": '{"weight_map":{"a":"a.safetensors"}}', "a.safetensors": "weights" }],
  ])("no weights are downloaded if the caller refuses the text files: %s", async (_, weights) => {
    const { commit } = insertPrefix({ ...TEXTS, ...weights });
    const seen: string[][] = [];
    const onTextFiles = async (dir: string): Promise<void> => {
      seen.push(await filesIn(dir));
      throw new Error("refused");
    };
    for (const get of [pullModel, locateModel])
      await expect(get(REFERENCE, options({ onTextFiles }))).rejects.toThrow(/^refused$/);
    expect(seen).toEqual([
      ["config.json", "tokenizer.json"],
      ["config.json", "tokenizer.json"],
    ]);
    expect(
      paths()
        .filter((path) => path.includes("/resolve/"))
        .sort(),
    ).toEqual(["config.json", "tokenizer.json"].map((name) => `/${NAME}/resolve/${commit}/${name}`));
    expect(await storedModels(cache)).toEqual([]);
    expect(await filesIn(join(cache, ".locks"))).toEqual([]);
    await pullModel(REFERENCE, options({ onTextFiles: async () => undefined }));
    expect(await storedModels(cache)).toHaveLength(1);
  });

  test("the text files of ONNX models are not checked", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights", "onnx/model.onnx": "graph" });
    const onTextFiles = (): Promise<never> => Promise.reject(new Error("refused"));
    expect(await filesIn((await pullModel(REFERENCE, options({ dtype: "fp32", onTextFiles }))).dir)).toContain(
      "onnx/model.onnx",
    );
  });

  test.each(["../x", "/etc/passwd", "a/../../x", "runs\\a", "10:00.png", "a//b", "./a"])(
    "a listed file with the path %s is left out, and the others are fetched",
    async (path) => {
      insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
      hub.faults.listed = path;
      const { dir } = await pullModel(REFERENCE, options());
      expect(await filesIn(dir)).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
      expect(paths().some((asked) => asked.endsWith(path))).toBe(false);
      expect(await readdir(scratch)).toEqual(["hub"]);
    },
  );

  test.each([
    "null",
    "[]",
    '{"sha":"SHA"}',
    '{"sha":"SHA","siblings":[null]}',
    '{"sha":"SHA","siblings":[{"rfilename":3}]}',
  ])("a list with the content %s is refused", async (body) => {
    const { environment, ...rest } = options();
    const server = createServer((_, response) => void response.end(body.replace("SHA", "a".repeat(40))));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const HF_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(pullModel(REFERENCE, { ...rest, environment: { ...environment, HF_ENDPOINT } })).rejects.toThrow(
      /^http.* answers with something that is not a list of the files of org\/model$/,
    );
    server.closeAllConnections();
    server.close();
  });

  test("sizes and hashes are read from the files' headers if the list has none", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    hub.faults.bareList = true;
    const { dir } = await pullModel(REFERENCE, options());
    expect(await readFile(join(dir, "model.safetensors"), "utf8")).toBe("weights");
  });
});

describe("the cache", () => {
  test("a cached model is found without a request, even if the hub has a newer version", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "first" });
    const first = await locateModel(REFERENCE, options());
    insertPrefix({ ...TEXTS, "model.safetensors": "second" });
    hub.requests.length = 0;
    expect(await locateModel(REFERENCE, options())).toEqual(first);
    expect(await locateModel(hubReference(`${NAME}@${first.commit}`)!, options())).toEqual(first);
    expect(paths()).toEqual([]);
    const second = await pullModel(REFERENCE, options());
    expect(second.commit).not.toBe(first.commit);
    expect(await readFile(join(second.dir, "model.safetensors"), "utf8")).toBe("second");
    expect(paths().filter((path) => path.includes("/resolve/"))).toEqual([
      `/${NAME}/resolve/${second.commit}/model.safetensors`,
    ]);
    expect(await locateModel(REFERENCE, options())).toEqual(second);
  });

  test("pulling an unchanged model sends one request, for the list", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const { dir } = await pullModel(REFERENCE, options());
    hub.requests.length = 0;
    expect((await pullModel(REFERENCE, options())).dir).toBe(dir);
    expect(paths()).toEqual([`/api/models/${NAME}/revision/main`]);
  });

  test("a branch, a tag and a pull request are separate revisions", async () => {
    const { commit } = insertPrefix({ ...TEXTS, "model.safetensors": "weights" }, { revisions: ["v1.0", "refs/pr/1"] });
    for (const revision of ["v1.0", "refs/pr/1"]) {
      expect((await pullModel(hubReference(`${NAME}@${revision}`)!, options())).commit).toBe(commit);
      expect(await readFile(join(cache, "models--org--model", "refs", ...revision.split("/")), "utf8")).toBe(commit);
    }
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(/^org\/model has no revision main at http/);
  });

  test("a model that another program has fetched in part is completed once, at the same commit", async () => {
    const { commit, files } = insertPrefix({
      ...TEXTS,
      "chat_template.jinja": "template",
      "model.safetensors": "weights",
    });
    const folder = join(cache, "models--org--model");
    for (const sub of ["blobs", "refs", join("snapshots", commit)]) await mkdir(join(folder, sub), { recursive: true });
    await writeFile(join(folder, "refs", "main"), commit);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
      const { hash, size, read } = files.get(name)!;
      await writeFile(join(folder, "blobs", hash), read(0, size));
      await symlink(join("..", "..", "blobs", hash), join(folder, "snapshots", commit, name));
    }
    // Offline, these files are enough to run.
    const offline = options({ offline: true });
    expect((await locateModel(REFERENCE, offline)).commit).toBe(commit);
    expect(paths()).toEqual([]);
    const { dir } = await locateModel(REFERENCE, options());
    expect(paths()).toEqual([
      `/api/models/${NAME}/revision/${commit}`,
      `/${NAME}/resolve/${commit}/chat_template.jinja`,
    ]);
    expect(await readFile(join(dir, "chat_template.jinja"), "utf8")).toBe("template");
    hub.requests.length = 0;
    await locateModel(REFERENCE, options());
    expect(paths()).toEqual([]);
  });

  test("a snapshot with all required files is used, even if the hub refuses the others", async () => {
    const { commit } = insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const { dir } = await pullModel(REFERENCE, options());
    await rm(join(cache, "models--org--model", ".no_exist"), { recursive: true });
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" }, { access: "private" });
    expect(await locateModel(REFERENCE, options())).toEqual({ dir, commit });
    expect(notices).toEqual([
      expect.stringMatching(
        /^there is no model org\/model at .*; using the copy of org\/model that was downloaded before/,
      ),
    ]);
  });

  test("a snapshot without one of its shards is not complete", async () => {
    const index = JSON.stringify({ weight_map: { a: "model-1.safetensors", b: "model-2.safetensors" } });
    const { commit } = insertPrefix({
      ...TEXTS,
      "model.safetensors.index.json": index,
      "model-1.safetensors": "1",
      "model-2.safetensors": "2",
    });
    const { dir } = await pullModel(REFERENCE, options());
    await rm(join(dir, "model-2.safetensors"));
    await expect(locateModel(REFERENCE, options({ offline: true }))).rejects.toThrow(
      /^org\/model is not in .*hub, and the hub is not contacted while offline$/,
    );
    hub.requests.length = 0;
    await locateModel(REFERENCE, options());
    expect(paths().filter((path) => path.includes("/resolve/"))).toEqual([]);
    expect(await readFile(join(cache, "models--org--model", "snapshots", commit, "model-2.safetensors"), "utf8")).toBe(
      "2",
    );
  });

  test("without links, snapshots contain the files themselves", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const environment = { ...hub.environment(scratch), HF_HUB_DISABLE_SYMLINKS: "1" };
    const { dir } = await pullModel(REFERENCE, options({ environment }));
    expect((await lstat(join(dir, "model.safetensors"))).isFile()).toBe(true);
    expect(await filesIn(join(cache, "models--org--model", "blobs"))).toEqual([]);
    hub.requests.length = 0;
    await pullModel(REFERENCE, options({ environment }));
    expect(paths()).toEqual([`/api/models/${NAME}/revision/main`]);
  });

  test("its folder is HF_HUB_CACHE, else in HF_HOME, else the platform's; HF_HUB_OFFLINE sends no requests", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const { HF_HUB_CACHE: _, ...environment } = hub.environment(scratch);
    expect((await pullModel(REFERENCE, options({ environment }))).dir).toContain(
      join(scratch, "home", "hub", "models--org--model"),
    );
    expect(
      (await pullModel(REFERENCE, options({ environment: { HF_ENDPOINT: hub.endpoint, XDG_CACHE_HOME: scratch } })))
        .dir,
    ).toContain(join(scratch, "huggingface", "hub", "models--org--model"));
    hub.requests.length = 0;
    await pullModel(REFERENCE, options({ environment: { ...environment, HF_HUB_OFFLINE: "1" } }));
    expect(paths()).toEqual([]);
  });

  test("without a connection to the hub, a cached model is used with one notice, and a missing model is an error", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const gone = await HubServer.start();
    await gone.close();
    const down = options({ environment: { ...hub.environment(scratch), HF_ENDPOINT: gone.endpoint } });
    await expect(pullModel(REFERENCE, down)).rejects.toMatchObject({
      code: "hub_unreachable",
      message: expect.stringMatching(
        /^the hub cannot be reached: 127\.0\.0\.1:\d+: connection refused \(ECONNREFUSED\)$/,
      ) as string,
    });
    const { dir } = await pullModel(REFERENCE, options());
    expect((await pullModel(REFERENCE, down)).dir).toBe(dir);
    expect(notices).toEqual([
      expect.stringMatching(
        /^the hub cannot be reached: .*; using the copy of org\/model that was downloaded before \([0-9a-f]{8}\)$/,
      ),
    ]);
    hub.faults.refuse = () => ({ status: 503 });
    expect((await pullModel(REFERENCE, options())).dir).toBe(dir);
  });

  test("a disk without enough space is reported before anything is downloaded", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": { ...randomFile(10), size: 2 ** 53 - 1 } });
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(
      /^org\/model needs 9007199\.25 GB more, but .*hub has \d+\.\d\d GB left; set HF_HUB_CACHE to another folder$/,
    );
    expect(paths()).toEqual([`/api/models/${NAME}/revision/main`]);
  });

  test("a cache that cannot be written is an error", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    await writeFile(cache, "a file");
    await expect(pullModel(REFERENCE, options())).rejects.toMatchObject({
      code: "cache_unavailable",
      message: expect.stringMatching(/hub, cannot be written \(\w+\); set HF_HUB_CACHE to another folder$/) as string,
    });
  });
});

describe("access to a repository", () => {
  test.each<["private" | "gated" | "public", string, string, RegExp]>([
    [
      "gated",
      "",
      "access_denied",
      /^org\/model is gated: accept its terms at http.*\/org\/model, then set HF_TOKEN to a token of that account$/,
    ],
    [
      "gated",
      TOKEN,
      "access_denied",
      /^org\/model is gated, and the token's account has no access: ask for it at http/,
    ],
    ["private", "", "model_not_found", /^there is no model org\/model at http.*, or it is private: then set HF_TOKEN$/],
    ["public", "hf_wrong", "access_denied", /does not accept the token/],
  ])("%s, with the token '%s': %s", async (access, token, code, message) => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" }, { access });
    const refused = pullModel(REFERENCE, options({ token }));
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    await expect(refused).rejects.not.toThrow(/hf_/);
  });

  test("private, with a token from the variable or from a file, which is sent only to the hub", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" }, { access: "private" });
    const file = join(scratch, "token");
    await writeFile(file, `${TOKEN}\n`);
    for (const environment of [{ HF_TOKEN: TOKEN }, { HF_TOKEN_PATH: file }]) {
      hub.requests.length = 0;
      await rm(cache, { recursive: true, force: true });
      await pullModel(REFERENCE, options({ environment: { ...hub.environment(scratch), ...environment } }));
      const sentTo = new Set(hub.requests.map(({ server, headers }) => `${server} ${headers.authorization ?? "none"}`));
      expect(sentTo).toEqual(new Set([`hub Bearer ${TOKEN}`, "files none"]));
    }
  });

  test("an unknown repository, revision or file is an error", async () => {
    await expect(pullModel(REFERENCE, options())).rejects.toMatchObject({ code: "model_not_found" });
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    await expect(pullModel(hubReference(`${NAME}@v9`)!, options())).rejects.toThrow(
      /^org\/model has no revision v9 at http/,
    );
    hub.faults.refuse = ({ path }) =>
      path.endsWith("tokenizer.json") ? { status: 404, headers: { "x-error-code": "EntryNotFound" } } : null;
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(
      /^org\/model has no file tokenizer\.json at revision main$/,
    );
  });

  test.each(["not a url", "ftp://x", "https://user:secret@x"])(
    "HF_ENDPOINT %s is refused, and the error does not repeat it",
    async (address) => {
      const refused = pullModel(REFERENCE, options({ environment: { HF_ENDPOINT: address, HF_HUB_CACHE: cache } }));
      await expect(refused).rejects.toMatchObject({ code: "unsupported_value" });
      await expect(refused).rejects.not.toThrow(/secret/);
    },
  );
});

describe("a bad network", () => {
  const SIZE = 40 * MEBIBYTE + 12345;
  const large = randomFile(SIZE);

  const ranges = (): (string | undefined)[] =>
    hub.requests.filter(({ server }) => server === "files").map(({ headers }) => headers.range);
  async function pullLarge(more: HubOptions = {}): Promise<void> {
    insertPrefix({ ...TEXTS, "model.safetensors": large });
    const { dir } = await pullModel(REFERENCE, options(more));
    expect(sha256(await readFile(join(dir, "model.safetensors")))).toBe(large.hash);
  }

  test("a large file is fetched in parallel parts", async () => {
    const seen: number[] = [];
    await pullLarge({ onProgress: (done, total, file) => file === "model.safetensors" && seen.push(done, total) });
    const part = 16 * MEBIBYTE;
    expect(ranges().sort()).toEqual([
      `bytes=0-${part - 1}`,
      `bytes=${part}-${2 * part - 1}`,
      `bytes=${2 * part}-${SIZE - 1}`,
    ]);
    expect(seen.slice(-2)).toEqual([SIZE, SIZE]);
    const dones = seen.filter((_, index) => index % 2 === 0);
    expect(dones).toEqual([...dones].sort((a, b) => a - b));
  });

  test.each(["break", "end", "stall"] as const)(
    "connections that %s: each continues from where it was",
    async (how) => {
      let count = 0;
      hub.faults.cut = ({ server }) => (server === "files" && count++ < 4 ? { after: 5 * MEBIBYTE, how } : null);
      const before = hub.numSent;
      await pullLarge({ pace: how === "stall" ? IMPATIENT : PATIENT });
      expect(ranges().some((range) => /^bytes=(5|10|15)242880-/.test(range!) || /^bytes=(?!0-)/.test(range!))).toBe(
        true,
      );
      expect(hub.numSent - before).toBeLessThan(SIZE * 1.5);
    },
  );

  test("a network that stays down: an error, and a partial file from which the next run continues", async () => {
    hub.faults.cut = ({ server, headers }) =>
      server === "files" ? { after: headers.range?.startsWith("bytes=0-") ? 3 * MEBIBYTE : 0, how: "break" } : null;
    await expect(pullLarge()).rejects.toMatchObject({ code: "hub_unreachable" });
    const part = join(cache, "models--org--model", "blobs", `${large.hash}.incomplete`);
    expect((await stat(part)).size).toBeGreaterThan(0);
    const { size } = await stat(part);
    expect(Buffer.from(large.read(0, size)).equals(await readFile(part))).toBe(true);
    hub.faults = {};
    hub.requests.length = 0;
    const seen: number[] = [];
    await pullLarge({ onProgress: (done, _, file) => file === "model.safetensors" && seen.push(done) });
    expect(seen[0]).toBe(size);
    expect(ranges()).toContain(`bytes=${size}-${size + 16 * MEBIBYTE - 1}`);
  });

  test("an abort leaves a partial file too", async () => {
    const abort = new AbortController();
    const onProgress = (done: number): void => {
      if (done > 8 * MEBIBYTE) abort.abort();
    };
    await expect(pullLarge({ signal: abort.signal, onProgress })).rejects.toMatchObject({ name: "AbortError" });
    expect((await stat(join(cache, "models--org--model", "blobs", `${large.hash}.incomplete`))).size).toBeGreaterThan(
      0,
    );
    expect(await filesIn(join(cache, ".locks"))).toEqual([]);
    await pullLarge();
  });

  test("a host without ranges: the whole file, in one piece", async () => {
    hub.faults.ignoreRange = true;
    let count = 0;
    hub.faults.cut = ({ server }) => (server === "files" && count++ === 2 ? { after: MEBIBYTE, how: "break" } : null);
    await pullLarge();
  });

  test("parts of a new version of the file are not joined with parts of the old one", async () => {
    // Three parts are requested at once; the first breaks, and its rest is of another version.
    let count = 0;
    hub.faults.cut = ({ server }) =>
      server === "files" && count++ === 0 ? { after: 5 * MEBIBYTE, how: "break" } : null;
    hub.faults.etag = () => `"version-${count < 3 ? 1 : 2}"`;
    hub.faults.alter = (bytes, _, { headers }) => headers.range !== undefined && bytes.fill(0);
    await pullLarge();
    expect(hub.requests.some(({ headers }) => headers["if-range"] === '"version-1"')).toBe(true);
    expect(
      hub.requests.filter(({ server, headers }) => server === "files" && headers.range === undefined),
    ).toHaveLength(1);
  });

  test("parts of two versions, requested at the same time, are detected before anything is hashed", async () => {
    let count = 0;
    hub.faults.etag = () => `"version-${count++ === 0 ? 1 : 2}"`;
    await pullLarge();
    expect(
      hub.requests.filter(({ server, headers }) => server === "files" && headers.range === undefined),
    ).toHaveLength(1);
  });

  test("a partial file with other bytes, and one that is too long, are downloaded again", async () => {
    const blobs = join(cache, "models--org--model", "blobs");
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${large.hash}.incomplete`), Buffer.alloc(MEBIBYTE, 7));
    await pullLarge();
    await rm(cache, { recursive: true });
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${large.hash}.incomplete`), Buffer.alloc(SIZE + 1));
    await pullLarge();
  });

  test.each(["model.safetensors", "config.json"])(
    "a flipped byte in %s: downloaded again once, then refused by name",
    async (name) => {
      const isIt = ({ path }: HubRequest): boolean => path.endsWith(name) || path.includes(large.hash);
      let numFlips = 0;
      const flip = (most: number) => (bytes: Uint8Array, start: number, request: HubRequest) => {
        if (isIt(request) && start === 0 && numFlips++ < most) bytes[1]! ^= 1;
      };
      hub.faults.alter = flip(1);
      await pullLarge();
      await rm(cache, { recursive: true });
      numFlips = 0;
      hub.faults.alter = flip(Infinity);
      await expect(pullLarge()).rejects.toMatchObject({
        code: "download_failed",
        message: expect.stringMatching(
          new RegExp(`^${name} of org/model does not have the hash that the hub lists for it`),
        ) as string,
      });
      expect(await filesIn(join(cache, "models--org--model", "blobs"))).not.toContain(`${large.hash}.incomplete`);
    },
  );

  test("a file with another hash or another size than listed is refused", async () => {
    hub.faults.hash = "ab".repeat(32);
    await expect(pullLarge()).rejects.toThrow(
      /of org\/model has changed: the hub lists the hash [0-9a-f]+ and offers abab/,
    );
    hub.faults = {};
    insertPrefix({
      ...TEXTS,
      "model.safetensors": "weights",
      "chat_template.jinja": { ...randomFile(10), size: 11, isLarge: true },
    });
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(/chat_template\.jinja/);
  });

  test.each([429, 500, 502, 503, 504])("status %i is retried", async (status) => {
    const numAsked = new Map<string, number>();
    hub.faults.refuse = ({ server, path }) => {
      if (server === "files") return null;
      numAsked.set(path, (numAsked.get(path) ?? 0) + 1);
      const retryAfter = path.endsWith("config.json") ? "1" : "0";
      return numAsked.get(path)! < 3 ? { status, headers: status === 429 ? { "retry-after": retryAfter } : {} } : null;
    };
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const startMs = performance.now();
    await pullModel(REFERENCE, options());
    if (status === 429) expect(performance.now() - startMs).toBeGreaterThan(1900);
  });

  test("429 with the time until the hub's quota is renewed: the client waits for it, and a second longer", async () => {
    let numRefused = 0;
    hub.faults.refuse = () =>
      numRefused++ === 0
        ? {
            status: 429,
            headers: { ratelimit: '"api";r=0;t=1', "ratelimit-policy": '"fixed window";"api";q=500;w=300' },
          }
        : null;
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const startMs = performance.now();
    await pullModel(REFERENCE, options());
    expect(performance.now() - startMs).toBeGreaterThan(1900);
  });

  test("a file that another program finishes first, from the same partial file, is used", async () => {
    const blob = join(cache, "models--org--model", "blobs", large.hash);
    let isFinished = false;
    const onProgress = (done: number): void => {
      if (isFinished || done < SIZE / 2) return;
      isFinished = true;
      writeFileSync(`${blob}.incomplete`, large.read(0, SIZE));
      renameSync(`${blob}.incomplete`, blob);
    };
    await pullLarge({ onProgress });
    expect(isFinished).toBe(true);
  });

  test("a permanent 503, silence, and endless redirects are errors", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    hub.faults.refuse = () => ({ status: 503 });
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(/^the hub cannot be reached: http.* answers 503$/);
    expect(hub.requests).toHaveLength(3);
    hub.faults = { cut: ({ path }) => (path.includes("resolve") ? { after: 0, how: "stall" } : null) };
    await expect(pullModel(REFERENCE, options({ pace: IMPATIENT }))).rejects.toThrow(/has been silent for 1 s$/);
    hub.faults = { refuse: ({ path }) => ({ status: 302, headers: { location: path } }) };
    await expect(pullModel(REFERENCE, options())).rejects.toThrow(/redirects more than 5 times$/);
  });

  test.each([
    "http://user:sesame@127.0.0.1:1/file",
    "http://sesame@127.0.0.1:1/file?signature=sesame",
    "http://user:sesame@[::1",
    "ftp://user:sesame@host/?signature=sesame",
    "http://127.0.0.1:1/?X-Amz-Signature=sesame#sesame",
    "http://:sesame@127.0.0.1:1",
    "//user:sesame@127.0.0.1:1/",
  ])("the secrets in the address of a redirect are in no message: %s", async (location) => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    hub.faults.refuse = ({ path }) => (path.includes("resolve") ? { status: 302, headers: { location } } : null);
    const error = (await pullModel(REFERENCE, options()).catch((error: unknown) => error)) as Error;
    expect(error).toMatchObject({
      name: "EngineError",
      code: expect.stringMatching(/^(download_failed|hub_unreachable)$/),
    });
    expect(inspect(error, { depth: 9 })).not.toContain("sesame");
    expect(JSON.stringify(notices)).not.toContain("sesame");
  });

  test("a new address is requested if one has expired", async () => {
    let count = 0;
    hub.faults.refuse = ({ server }) => (server === "files" && ++count === 4 ? { status: 403 } : null);
    hub.faults.cut = ({ server }) => (server === "files" && count <= 3 ? { after: MEBIBYTE, how: "break" } : null);
    await pullLarge();
    expect(paths().filter((path) => path.endsWith("/model.safetensors")).length).toBeGreaterThan(3);
  });
});

describe("a proxy", () => {
  const HOST = "http://hub.example";
  let proxy: Server;
  let tunnels: string[];
  let status: number;
  beforeEach(async () => {
    tunnels = [];
    status = 200;
    proxy = createServer().on("connect", ({ url, headers }: IncomingMessage, client: Socket) => {
      tunnels.push(`${url} ${headers["proxy-authorization"] ?? ""}`.trim());
      client.write(`HTTP/1.1 ${status} Whatever\r\n\r\n`);
      if (status !== 200) return void client.end();
      const server = connect(Number(new URL(hub.endpoint).port), "127.0.0.1");
      server.pipe(client).pipe(server);
      for (const socket of [client, server])
        socket.on("error", () => [client, server].forEach((each) => each.destroy()));
    });
    await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
  });
  afterEach(() => void proxy.close());

  const port = (): number => (proxy.address() as AddressInfo).port;
  const through = (variables: Record<string, string>): HubOptions => {
    const given = options();
    return { ...given, environment: { ...given.environment, HF_ENDPOINT: HOST, ...variables } };
  };

  test.each([
    ["with user and password", "http_proxy", "http://user:pass%20word@127.0.0.1:", "Basic dXNlcjpwYXNzIHdvcmQ="],
    ["without a scheme", "HTTP_PROXY", "127.0.0.1:", ""],
    ["for everything", "ALL_PROXY", "http://127.0.0.1:", ""],
  ])("%s is used for every host but this machine", async (_, variable, address, authorization) => {
    const { dir } = await pullModel(REFERENCE, through({ [variable]: `${address}${port()}` }));
    expect(await readFile(join(dir, "model.safetensors"), "utf8")).toBe("weights");
    expect(new Set(tunnels)).toEqual(new Set([`hub.example:80 ${authorization}`.trim()]));
    // Large files come from a separate host, here this machine.
    expect(hub.requests.some(({ server }) => server === "files")).toBe(true);
  });

  test("for https is not used for http, and vice versa", async () => {
    await expect(
      pullModel(REFERENCE, { ...through({ https_proxy: `127.0.0.1:${port()}`, HF_ENDPOINT: "https://hub.example" }) }),
    ).rejects.toThrow();
    expect(tunnels).toEqual(Array(3).fill("hub.example:443"));
    const { dir } = await pullModel(
      REFERENCE,
      through({ https_proxy: `127.0.0.1:${port()}`, HF_ENDPOINT: hub.endpoint }),
    );
    expect(await readFile(join(dir, "config.json"), "utf8")).toBe(TEXTS["config.json"]);
    expect(tunnels).toHaveLength(3);
  });

  test.each(["hub.example", ".example", "*"])("is bypassed for NO_PROXY=%s", async (bypass) => {
    await expect(
      pullModel(REFERENCE, through({ http_proxy: `127.0.0.1:${port()}`, NO_PROXY: bypass })),
    ).rejects.toThrow(/hub\.example: /);
    expect(tunnels).toEqual([]);
  });

  test("that refuses or cannot be reached is named in the error", async () => {
    status = 407;
    await expect(pullModel(REFERENCE, through({ http_proxy: `127.0.0.1:${port()}` }))).rejects.toThrow(
      "the hub cannot be reached: hub.example: the proxy answers 407",
    );
    await expect(pullModel(REFERENCE, through({ http_proxy: "127.0.0.1:9" }))).rejects.toThrow(
      "hub.example: connection refused (ECONNREFUSED 127.0.0.1:9)",
    );
  });

  test.each(["socks5://me:secret@127.0.0.1:1080", "http://me:secret%zz@127.0.0.1:1080", "http://", "ftp://127.0.0.1"])(
    "%s is refused, and the error does not repeat it",
    async (address) => {
      await expect(pullModel(REFERENCE, through({ ALL_PROXY: address }))).rejects.toThrow(
        /^ALL_PROXY must look like http:\/\/proxy:3128; only http and https proxies are supported\.$/,
      );
      // No request is sent offline.
      await expect(pullModel(REFERENCE, { ...through({ ALL_PROXY: address }), offline: true })).rejects.toThrow(
        /is not in/,
      );
    },
  );
});

describe("a stored model", () => {
  test("is listed with its revisions and its size", async () => {
    const { commit } = insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    await pullModel(REFERENCE, options());
    await mkdir(join(cache, "models--other--thing", "snapshots", commit), { recursive: true });
    expect(await storedModels(cache)).toMatchObject([
      { repository: NAME, revisions: ["main"], commit, isFinished: true, byteLength: 22 + 2 + 7 },
    ]);
  });

  test("is listed as unfinished if its download is incomplete, with the size of the existing files", async () => {
    const { commit } = insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const { dir } = await pullModel(REFERENCE, options());
    await unlink(join(dir, "model.safetensors"));
    await writeFile(join(cache, "models--org--model", "blobs", "aa.incomplete"), "weig");
    await mkdir(join(cache, "models--other--begun", "blobs"), { recursive: true });
    await writeFile(join(cache, "models--other--begun", "blobs", "bb.incomplete"), "part!");
    expect(await storedModels(cache)).toMatchObject([
      { repository: NAME, revisions: ["main"], commit, isFinished: false, byteLength: 22 + 2 + 4 },
      { repository: "other/begun", revisions: [], commit: null, isFinished: false, byteLength: 5 },
    ]);
  });

  test("is removed revision by revision; shared blobs stay for the other revision", async () => {
    const first = insertPrefix({ ...TEXTS, "model.safetensors": "first" });
    await pullModel(REFERENCE, options());
    insertPrefix({ ...TEXTS, "model.safetensors": "second", "pytorch_model.bin": "" });
    const second = await pullModel(REFERENCE, options());
    expect(await removeStored({ repository: NAME, revision: first.commit }, cache)).toEqual({
      commits: [first.commit],
      byteLength: 5,
      usedBy: [],
    });
    expect((await storedModels(cache)).map(({ commit }) => commit)).toEqual([second.commit]);
    expect((await locateModel(REFERENCE, options({ offline: true }))).commit).toBe(second.commit);
    expect(await removeStored({ repository: NAME, revision: "v9" }, cache)).toBeNull();
    expect(await removeStored({ repository: NAME, revision: null }, cache)).toMatchObject({ commits: [second.commit] });
    expect((await filesIn(cache)).filter((name) => name.startsWith("models--"))).toEqual([]);
    expect(await removeStored({ repository: NAME, revision: null }, cache)).toBeNull();
  });

  test("is kept while another revision names the same commit; the last name removes it", async () => {
    const { commit } = insertPrefix(
      { ...TEXTS, "model.safetensors": "weights" },
      { revisions: ["main", "v1", "branches/x"] },
    );
    for (const revision of ["main", "v1", "branches/x"]) await pullModel({ repository: NAME, revision }, options());
    const { dir } = await locateModel(REFERENCE, options({ offline: true }));
    const keep = { commits: [], byteLength: 0 };
    expect(await removeStored({ repository: NAME, revision: commit }, cache)).toEqual({
      ...keep,
      usedBy: ["branches/x", "main", "v1"],
    });
    expect(await removeStored({ repository: NAME, revision: "v1" }, cache)).toEqual({
      ...keep,
      usedBy: ["branches/x", "main"],
    });
    expect(await removeStored({ repository: NAME, revision: "v1" }, cache)).toBeNull();
    expect(await removeStored({ repository: NAME, revision: "main" }, cache)).toEqual({
      ...keep,
      usedBy: ["branches/x"],
    });
    expect(await readFile(join(dir, "model.safetensors"), "utf8")).toBe("weights");
    expect(await removeStored({ repository: NAME, revision: "branches/x" }, cache)).toMatchObject({
      commits: [commit],
    });
    expect(existsSync(dir)).toBe(false);
  });

  test("is removed from a cache with a relative path", async () => {
    const HF_HUB_CACHE = relative(process.cwd(), cache);
    const environment = { ...hub.environment(scratch), HF_HUB_CACHE };
    const first = insertPrefix({ ...TEXTS, "model.safetensors": "first" });
    await pullModel(REFERENCE, options({ environment }));
    insertPrefix({ ...TEXTS, "model.safetensors": "second" });
    await pullModel(REFERENCE, options({ environment }));
    expect(await removeStored({ repository: NAME, revision: first.commit }, HF_HUB_CACHE)).toEqual({
      commits: [first.commit],
      byteLength: 5,
      usedBy: [],
    });
    expect(await readdir(join(cache, "models--org--model", "blobs"))).toHaveLength(3);
  });

  test("is removed while a download waits for the lock, which then continues; other programs' locks stay", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "first" });
    await pullModel(REFERENCE, options());
    insertPrefix({ ...TEXTS, "model.safetensors": "second" });
    const locks = join(cache, ".locks", "models--org--model");
    const lock = await locked(join(locks, "touchstone.lock"));
    await writeFile(join(locks, "0123.lock"), "");
    const removal = removeStored({ repository: NAME, revision: null }, cache);
    await pause(70);
    const pull = pullModel(REFERENCE, options());
    await expect.poll(() => notices).toEqual(["another process is downloading org/model; waiting for it"]);
    await lock.release();
    expect(await removal).not.toBeNull();
    expect(await readFile(join((await pull).dir, "model.safetensors"), "utf8")).toBe("second");
    expect(await readdir(locks)).toEqual(["0123.lock"]);
  });

  test("is not removed from a cache that cannot be written", async () => {
    insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    await pullModel(REFERENCE, options());
    await rm(join(cache, ".locks"), { recursive: true });
    await writeFile(join(cache, ".locks"), "");
    await expect(removeStored({ repository: NAME, revision: null }, cache)).rejects.toMatchObject({
      code: "cache_unavailable",
    });
  });

  test("is removed without following links out of the cache", async () => {
    const { commit } = insertPrefix({ ...TEXTS, "model.safetensors": "weights" });
    const { dir } = await pullModel(REFERENCE, options());
    const own = join(scratch, "own");
    await mkdir(own);
    await writeFile(join(own, "precious"), "mine");
    await symlink(join(own, "precious"), join(dir, "link"));
    insertPrefix({ ...TEXTS, "model.safetensors": "second" });
    await pullModel(REFERENCE, options());
    await removeStored({ repository: NAME, revision: commit }, cache);
    expect(await readFile(join(own, "precious"), "utf8")).toBe("mine");
    await mkdir(join(own, "snapshots", commit), { recursive: true });
    await symlink(own, join(cache, "models--a--b"));
    await expect(removeStored({ repository: "a/b", revision: null }, cache)).rejects.toThrow(
      /models--a--b is a link to .*own, outside the cache: nothing has been removed$/,
    );
    expect(existsSync(join(own, "precious"))).toBe(true);
  });
});

describe("the lock", () => {
  test("of a process that no longer exists is taken over by exactly one of the waiting callers, in every round", async () => {
    for (let round = 0; round < 40; round++) {
      const path = join(scratch, `${round}`, "touchstone.lock");
      await mkdir(join(path, ".."));
      await writeFile(path, `${machineName()} 4194999 gone`);
      const abort = new AbortController();
      const holders: Lock[] = [];
      const waiting = Array.from({ length: 8 }, () =>
        acquireLock(path, abort.signal, () => {}).then((lock) => holders.push(lock)),
      );
      // In the first round, long enough that callers waiting for their turn to take over find the lock taken.
      await pause(round === 0 ? 700 : 40);
      abort.abort();
      await Promise.allSettled(waiting);
      expect(holders).toHaveLength(1);
      expect(await holders[0]!.isHeld()).toBe(true);
      await holders[0]!.release();
      expect(await readdir(join(path, ".."))).toEqual([]);
    }
  });

  test("is acquired even if its folder is removed during the wait", async () => {
    const path = join(scratch, "locks", "touchstone.lock");
    await locked(path);
    const waiting = locked(path);
    await pause(50);
    await rm(join(scratch, "locks"), { recursive: true });
    await (await waiting).release();
  });
});

function locked(path: string): Promise<Lock> {
  return acquireLock(path, new AbortController().signal, () => {});
}

test.each<[string, boolean]>([
  ["a/b", true],
  ["HuggingFaceTB/SmolLM2-135M-Instruct", true],
  ["a/b@v1.0", true],
  ["a/b@refs/pr/1", true],
  ["a", false],
  ["a/b/c", false],
  ["./a/b", false],
  ["/a/b", false],
  ["../b", false],
  ["a/..", false],
  ["a/b.git", false],
  ["a/b--c", false],
  ["a b/c", false],
  ["a/b@", false],
  ["a/b@../x", false],
  ["a/b@x/../y", false],
  [`${"a".repeat(95)}/b`, false],
])("%s is a valid name on the hub: %s", (text, is) => {
  expect(hubReference(text) !== null).toBe(is);
});

test("a model made from a folder is downloaded byte for byte", async () => {
  const folder = await randomModel(join(scratch, "model"), { numShards: 3 });
  hub.repositories.set(NAME, folderRepository(folder));
  const { dir } = await locateModel(REFERENCE, options());
  for (const name of await readdir(folder))
    expect((await readFile(join(dir, name))).equals(await readFile(join(folder, name)))).toBe(true);
});

test("the cache is in the same folder as that of Python's huggingface_hub", () => {
  expect(hubCacheFolder({ HF_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
  expect(hubCacheFolder({ HF_HOME: "/b" })).toBe("/b/hub");
  expect(hubCacheFolder({ XDG_CACHE_HOME: "/c" })).toBe("/c/huggingface/hub");
  expect(hubCacheFolder({})).toMatch(/\/\.cache\/huggingface\/hub$/);
});
