/** The bits of a decoder's results do not depend on the build, the threads, or the other rows of a pass. */

import { afterAll, describe, it } from "vitest";

import { loadBuilds } from "../spec-tests/fixtures/kernels.js";
import {
  expectSameBits,
  PlacedDecoder,
  randomModel,
  randomTokens,
  type Shape,
} from "../spec-tests/fixtures/random-decoder.js";
import { Kernels } from "./index.js";

const builds = await loadBuilds();
const threaded = [
  await Kernels.load({ numThreads: 2 }),
  await Kernels.load({ numThreads: 3 }),
  await Kernels.load({ variant: "scalar", numThreads: 2 }),
];
const nameOf = (kernels: Kernels) => `${kernels.variant} on ${kernels.numThreads}`;

afterAll(() => Promise.all(threaded.map((kernels) => kernels.close())));

/** Shapes so large that even a pass of one row runs on all threads. */
const LARGE: Shape = {
  name: "several threads",
  hiddenSize: 200,
  intermediateSize: 600,
  numHeads: 6,
  numKvHeads: 3,
  headDim: 36,
  pageSize: 8,
  hasBiases: true,
  hasHeadNorms: true,
};

/** Units of a single row have several groups from each quarter, and two blocks of gate and up, the last one only one. */
const WIDE: Shape = { ...LARGE, name: "wide units", hiddenSize: 520, intermediateSize: 608, numHeads: 3 };

describe.each([
  ["q8", "f32", LARGE],
  ["q4", "q8", LARGE],
  ["f32", "f32", LARGE],
  ["q8", "bf16", LARGE],
  ["q4", "f32", WIDE],
  ["q8", "q8", WIDE],
  ["q4", "bf16", WIDE],
] as const)("a row's bits, %s weights and %s pages", (format, kvFormat, shape) => {
  const model = randomModel(shape, format, kvFormat);
  const everyone = [...builds, ...threaded];
  const placed = everyone.map((kernels) => new PlacedDecoder(kernels, model, 40, 96));
  const sequences = Array.from({ length: 8 }, (_, i) => randomTokens(10 + i, 3 + 5 * i));
  const alone = sequences.map((tokenIds) => placed[0]!.sequence(tokenIds, [1]));

  it("do not depend on the build, the number of threads or the division of the prompt into passes", () => {
    placed.forEach((decoder, i) => {
      for (const passSizes of [[1], [40], [2], [3, 1, 8, 5], [7]]) {
        expectSameBits(
          decoder.sequence(sequences[7]!, passSizes),
          alone[7]!,
          `${nameOf(everyone[i]!)}, passes of ${passSizes.join(", ")}`,
        );
      }
    });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("do not depend on the other rows of a batch of %i", (size) => {
    for (const decoder of placed) {
      const batch = sequences.slice(8 - size);
      const pages = batch.map((tokenIds) => decoder.pages(tokenIds.length));
      const last = Math.max(...batch.map(({ length }) => length));
      for (let position = 0; position < last; position++) {
        const running = [...batch.keys()].filter((i) => position < batch[i]!.length);
        const hidden = decoder.pass(
          running.map((i) => ({ tokenId: batch[i]![position]!, position, pages: pages[i]! })),
        );
        expectSameBits(
          hidden,
          running.map((i) => alone[8 - size + i]![position]!),
          `position ${position}`,
        );
      }
    }
  });

  it("do not depend on prompts that run in the same pass, or on shared pages", () => {
    for (const decoder of placed) {
      const [a, b] = [sequences[7]!, sequences[3]!];
      const pages = decoder.pages(a.length);
      const others = decoder.pages(b.length);
      decoder.pass(a.slice(0, 16).map((tokenId, position) => ({ tokenId, position, pages })));
      // The rest of one prompt between the tokens of another, and a second sequence that shares the first two pages.
      const second = [...pages.slice(0, 2), ...decoder.pages(8)];
      const rows = [
        ...b.slice(0, 9).map((tokenId, position) => ({ tokenId, position, pages: others })),
        ...a.slice(16, 24).map((tokenId, i) => ({ tokenId, position: 16 + i, pages })),
        ...b.slice(9).map((tokenId, i) => ({ tokenId, position: 9 + i, pages: others })),
        { tokenId: a[16]!, position: 16, pages: second },
      ];
      const hidden = decoder.pass(rows);
      expectSameBits(
        hidden,
        [...alone[3]!.slice(0, 9), ...alone[7]!.slice(16, 24), ...alone[3]!.slice(9), alone[7]![16]!],
        "rows of two prompts",
      );
    }
  });
});
