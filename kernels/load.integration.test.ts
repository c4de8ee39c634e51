import { expect, it, vi } from "vitest";

vi.mock("./layout.js", async (original) => ({ ...(await original<typeof import("./layout.js")>()), LAYOUT: 1 }));

const { Kernels } = await import("./index.js");

it.each(["scalar", "simd"] as const)("refuses a %s build that was compiled with another layout", async (variant) => {
  await expect(Kernels.load({ variant })).rejects.toThrow(
    `The ${variant} build of the kernels was compiled with another layout.ts: run "npm run build"`,
  );
});
