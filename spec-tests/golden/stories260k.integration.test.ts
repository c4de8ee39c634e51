/** Tests a trained model, from a folder and from the hub, against greedy text of another implementation. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, expect, test, vi } from "vitest";

import { loadModel, type LoadModelOptions } from "../../engine/index.js";
import { asset, describeWithAssets } from "../fixtures/assets.js";
import { folderRepository, HubServer } from "../hub/hub-server.js";

afterEach(() => {
  vi.unstubAllEnvs();
});

async function expectGolden(options: LoadModelOptions): Promise<void> {
  const golden = JSON.parse(readFileSync(asset("stories260K", "golden_greedy_200.json"), "utf8")) as {
    token_ids: number[];
    text: string;
  };
  const model = await loadModel({ quant: "f32", ...options });
  const tokenIds: number[] = [];
  let text = "";
  for await (const delta of model.generate({ prompt: "", temperature: 0, maxTokens: 200 })) {
    tokenIds.push(...delta.tokenIds);
    text += delta.content;
  }
  await model.close();
  expect(tokenIds).toEqual(golden.token_ids);
  expect(text).toBe(golden.text);
}

describeWithAssets("stories260K", () => {
  test.each(["fast", "exact"] as const)("%s generates the 200 published greedy tokens and their text", (profile) =>
    expectGolden({ model: asset("stories260K"), profile }),
  );

  test.each(["fast", "exact"] as const)("%s generates the same from its GGUF file", (profile) =>
    expectGolden({ model: join(asset("stories260K"), "stories260K.gguf"), profile }),
  );

  test("generates the same from the hub, and offline after the download", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "stories-hub-"));
    const hub = await HubServer.start();
    hub.repositories.set("karpathy/stories260K", folderRepository(asset("stories260K")));
    for (const [name, value] of Object.entries(hub.environment(scratch))) vi.stubEnv(name, value);
    try {
      await expectGolden({ model: "karpathy/stories260K" });
      hub.requests.length = 0;
      await expectGolden({ model: "karpathy/stories260K" });
      vi.stubEnv("HF_HUB_OFFLINE", "1");
      await expectGolden({ model: "karpathy/stories260K" });
      expect(hub.requests).toEqual([]);
    } finally {
      await hub.close();
      rmSync(scratch, { recursive: true });
    }
  });
});
