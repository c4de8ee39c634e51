/** A trained model whose greedy text another implementation published. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { loadModel, type Profile } from "../../engine/index.js";
import { asset, describeWithAssets } from "../assets.js";

describeWithAssets("stories260K", () => {
  test.each<Profile>(["fast", "exact"])("%s: the 200 greedy tokens and their text", async (profile) => {
    const folder = asset("stories260K");
    const golden = JSON.parse(readFileSync(join(folder, "golden_greedy_200.json"), "utf8")) as { token_ids: number[]; text: string };
    const model = await loadModel({ model: folder, quant: "f32", profile });
    const tokenIds: number[] = [];
    let text = "";
    for await (const delta of model.generate({ prompt: "", temperature: 0, maxTokens: 200 })) {
      tokenIds.push(...delta.tokenIds);
      text += delta.content;
    }
    await model.close();
    expect(tokenIds).toEqual(golden.token_ids);
    expect(text).toBe(golden.text);
  });
});
