import { expect, test } from "vitest";

import { createServer, type CreateServerOptions } from "./create-server.js";

test.each([
  [{ apiKey: "secret" }, { code: "unknown_parameter", param: "apiKey" }],
  [{ models: [] }, { code: "out_of_range", param: "models" }],
  [{ models: [{ id: "a" }, { id: "a" }] }, { code: "unsupported_value", param: "models" }],
  [{ host: "0.0.0.0" }, { code: "unsupported_value", param: "host" }],
])("refuses %j before it starts anything", async (options, error) => {
  await expect(createServer(options as CreateServerOptions)).rejects.toMatchObject({ name: "EngineError", ...error });
});
