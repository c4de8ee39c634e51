import { expect, test } from "vitest";

import type { EngineHost } from "./host.js";
import { ModelRegistry, type ServedModel } from "./models.js";

const VENDOR = "deepseek/deepseek-r1-turbo";
const model = (id: string): ServedModel => ({ id, host: {} as EngineHost });

test("the vendor's name is the default model's", () => {
  const registry = new ModelRegistry([model("a"), model("b")], new Map([["x", "b"]]));
  expect([registry.find(VENDOR).id, registry.find("x").id, registry.find("b").id]).toEqual(["a", "b", "b"]);
  expect(registry.aliasesOf(registry.find("a"))).toEqual([VENDOR]);
  expect(registry.aliasesOf(registry.find("b"))).toEqual(["x"]);
});

test("unless a model or an alias has it", () => {
  const named = new ModelRegistry([model("a"), model(VENDOR)]);
  expect(named.find(VENDOR).id).toBe(VENDOR);
  const given = new ModelRegistry([model("a"), model("b")], new Map([[VENDOR, "b"]]));
  expect(given.find(VENDOR).id).toBe("b");
  expect(given.names()).toEqual(["a", "b", VENDOR]);
});

test("what is not served is told with what is", () => {
  const registry = new ModelRegistry([model("a")]);
  expect(() => registry.find("c")).toThrow(
    expect.objectContaining({
      code: "model_not_found",
      param: "model",
      message: `The model "c" is not served here. Served: a, ${VENDOR}`,
    }),
  );
});

test("a name given twice, and an alias of no model, are refused", () => {
  expect(() => new ModelRegistry([model("a"), model("a")])).toThrow(/Two models are called a;/);
  expect(() => new ModelRegistry([model("a"), model("b")], new Map([["b", "a"]]))).toThrow(/Two models are called b;/);
  expect(() => new ModelRegistry([model("a")], new Map([["x", "c"]]))).toThrow(
    "The alias x names c, which is not served. Served: a",
  );
});
