/** The documents generated from the request schemas, and the schemas compared with a second validator (Ajv). */

import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { capabilities } from "./capabilities.js";
import { CHAT_REQUEST_SCHEMAS } from "./chat-request.js";
import { checkValue } from "./check.js";
import { openApiDocument } from "./openapi.js";
import { parameterRows, parameterTableMarkdown } from "./parameter-table.js";
import { chatBodies } from "../../spec-tests/fixtures/chat-requests.js";

const DIALECTS = ["ppio", "openai"] as const;

describe.each(DIALECTS)("the request schema of %s", (dialect) => {
  const isValid = new Ajv2020({ strict: false }).compile(CHAT_REQUEST_SCHEMAS[dialect]);
  const isTaken = (body: unknown): boolean => {
    try {
      checkValue(CHAT_REQUEST_SCHEMAS[dialect], body);
      return true;
    } catch {
      return false;
    }
  };

  it("gets the same verdict from a JSON Schema validator as from checkValue", () => {
    const damaged = fc.tuple(chatBodies(dialect), fc.jsonValue(), fc.nat()).map(([body, value, pick]) => {
      const names = Object.keys(CHAT_REQUEST_SCHEMAS[dialect].properties ?? {});
      return { ...body, [names[pick % names.length]!]: value };
    });
    let numTaken = 0;
    fc.assert(
      fc.property(fc.oneof(chatBodies(dialect), damaged), (body) => {
        // A required field that is null is "missing" for checkValue and a wrong type for Ajv: both refuse it.
        const taken = isTaken(body);
        numTaken += Number(taken);
        expect(isValid(body), JSON.stringify(isValid.errors)).toBe(taken);
      }),
      { numRuns: numCases(500) },
    );
    expect(numTaken).toBeGreaterThan(numCases(100));
  });
});

describe("openApiDocument", () => {
  interface Operation {
    readonly operationId?: string;
    readonly requestBody: { readonly content: Record<string, { readonly schema: { readonly $ref: string } }> };
  }
  const documentOf = (dialect: (typeof DIALECTS)[number] | null) =>
    JSON.parse(JSON.stringify(openApiDocument({ dialect, version: "1.2.3" }))) as {
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, object> };
    };

  it.each([
    [null, ["", "Ppio", "Ppio"]],
    ["openai" as const, ["", "", ""]],
    ["ppio" as const, ["Ppio", "Ppio", "Ppio"]],
  ])("names the request schema of each path by its dialect, with %s forced", (dialect, suffixes) => {
    const { paths, components } = documentOf(dialect);
    const requests = ["/v1", "/v3/openai", "/openai/v1"].map(
      (prefix) => paths[`${prefix}/chat/completions`]!["post"]!.requestBody.content["application/json"]!.schema.$ref,
    );
    const names = suffixes.map((suffix) => `CreateChatCompletionRequest${suffix}`);
    expect(requests).toEqual(names.map((name) => `#/components/schemas/${name}`));
    expect(Object.keys(components.schemas).filter((name) => name.startsWith("CreateChatCompletionRequest"))).toEqual([
      ...new Set(names),
    ]);
    const ids = Object.values(paths).flatMap((item) => Object.values(item).flatMap((one) => one.operationId ?? []));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain("createChatCompletion");
  });

  it.each([null, ...DIALECTS])("of %s has only valid references and compiles", (dialect) => {
    const document = documentOf(dialect);
    expect(document).toMatchObject({ openapi: "3.1.0", info: { version: "1.2.3" }, servers: [{ url: "/" }] });
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]!);
    expect(refs.length).toBeGreaterThan(20);
    for (const ref of refs)
      expect(
        ref.split("/").reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document),
        ref,
      ).toBeDefined();
    const ajv = new Ajv2020({ strict: false });
    ajv.addSchema(document, "doc");
    for (const name of Object.keys(document.components.schemas))
      expect(() => ajv.compile({ $ref: `doc#/components/schemas/${name}` }), name).not.toThrow();
  });

  it("shows the differences between the dialects", () => {
    const topP = (dialect: (typeof DIALECTS)[number]) =>
      CHAT_REQUEST_SCHEMAS[dialect].properties?.["top_p"]?.anyOf?.[0];
    expect(topP("ppio")).toMatchObject({ exclusiveMinimum: 0, maximum: 1 });
    expect(topP("openai")).toMatchObject({ minimum: 0, maximum: 1 });
  });
});

describe("capabilities", () => {
  it("lists parameters, models and limits of the running server", () => {
    const models = [
      {
        id: "a",
        aliases: ["b"],
        contextLength: 512,
        profile: "exact" as const,
        maxConcurrency: 4,
        logprobsMode: "processed" as const,
        callsTools: true,
      },
      { id: "c", aliases: [], contextLength: null },
    ];
    const printed = capabilities({ dialect: "openai", version: "1", models, maxBodyBytes: 9 });
    expect(printed).toMatchObject({ dialect: "openai", limits: { body_bytes: 9 } });
    expect((JSON.parse(JSON.stringify(printed)) as { models: unknown }).models).toEqual([
      {
        id: "a",
        aliases: ["b"],
        context_length: 512,
        profile: "exact",
        running_choices: 4,
        logprobs: "processed",
        tools: true,
      },
      { id: "c", aliases: [], context_length: null },
    ]);
    const { response_format: format } = printed as {
      response_format: { schema_keywords: object[]; schema_formats: object[] };
    };
    expect(format.schema_keywords).toContainEqual({ keyword: "required", status: "enforced" });
    expect(format.schema_formats).toContainEqual(expect.objectContaining({ format: "date-time" }));
    const { parameters } = printed as { parameters: { name: string }[] };
    expect(parameters.map(({ name }) => name)).toEqual(Object.keys(CHAT_REQUEST_SCHEMAS.openai.properties ?? {}));
  });
});

describe("the table of parameters", () => {
  it("lists the accepted values and the effect", () => {
    const row = (name: string, dialect: (typeof DIALECTS)[number] = "ppio") =>
      parameterRows(dialect).find((one) => one.name === name);
    expect(row("model")).toMatchObject({ required: true, accepted: "a string", effect: "honored" });
    expect(row("n")).toMatchObject({
      required: false,
      accepted: "an integer in 1..128",
      default: 1,
      effect: "honored",
    });
    expect(row("top_k")?.accepted).toBe("an integer in 1..128");
    expect(row("top_k", "openai")?.accepted).toBe("an integer of at least -1");
    expect(row("user")?.effect).toBe("none");
    expect(row("functions")).toMatchObject({ accepted: "null or []", effect: "not_built" });
    expect(row("tools")).toMatchObject({ library: "tools", default: [], effect: "honored" });
    for (const { description, clause } of parameterRows("ppio")) {
      expect(description).not.toBe("");
      expect(clause).toMatch(/^TS-(?:2|11)\.\d+$/);
    }
  });

  it("shows both dialects where they differ", () => {
    const lines = parameterTableMarkdown().trimEnd().split("\n");
    expect(lines).toHaveLength(2 + parameterRows("ppio").filter(({ effect }) => effect === "honored").length);
    expect(lines.find((line) => line.startsWith("| `top_p`"))).toContain(
      "| `topP` | ppio: a number more than 0 and at most 1; openai: a number in 0..1 |",
    );
    expect(lines.find((line) => line.startsWith("| `separate_reasoning`"))).toContain(
      "| ppio: `false`; openai: `true` |",
    );
    expect(lines.every((line) => line.split(/(?<!\\)\|/).length === 7)).toBe(true);
  });
});
