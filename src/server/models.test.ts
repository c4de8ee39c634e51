import { expect, test } from "vitest";

import type { EngineHost } from "./host.js";
import { ModelRegistry, type ServedModel } from "./models.js";

const VENDOR = "deepseek/deepseek-r1-turbo";
const model = (id: string): ServedModel => ({ id, host: {} as EngineHost });

test("the vendor's model name is an alias of the default model", () => {
  const registry = new ModelRegistry([model("a"), model("b")], new Map([["x", "b"]]));
  expect([registry.find(VENDOR).id, registry.find("x").id, registry.find("b").id]).toEqual(["a", "b", "b"]);
  expect(registry.aliasesOf(registry.find("a"))).toEqual([VENDOR]);
  expect(registry.aliasesOf(registry.find("b"))).toEqual(["x"]);
});

test("a model or an alias with the vendor's name takes precedence", () => {
  const named = new ModelRegistry([model("a"), model(VENDOR)]);
  expect(named.find(VENDOR).id).toBe(VENDOR);
  const given = new ModelRegistry([model("a"), model("b")], new Map([[VENDOR, "b"]]));
  expect(given.find(VENDOR).id).toBe("b");
  expect(given.names()).toEqual(["a", "b", VENDOR]);
});

test("the error for an unknown model lists the served names", () => {
  const registry = new ModelRegistry([model("a")]);
  expect(() => registry.find("c")).toThrow(
    expect.objectContaining({
      code: "model_not_found",
      param: "model",
      message: `The model "c" is not served here. Served: a, ${VENDOR}`,
    }),
  );
});

test("refuses a duplicate name and an alias of an unknown model", () => {
  expect(() => new ModelRegistry([model("a"), model("a")])).toThrow(/Two models are named a\./);
  expect(() => new ModelRegistry([model("a"), model("b")], new Map([["b", "a"]]))).toThrow(/Two models are named b\./);
  expect(() => new ModelRegistry([model("a")], new Map([["x", "c"]]))).toThrow(
    "The alias x refers to c, which is not served. Served: a",
  );
});
