/** Sizes in messages. */

import { expect, test } from "vitest";

import { sizeText } from "./errors.js";

test.each([
  [0, "0 bytes"],
  [1, "1 byte"],
  [999, "999 bytes"],
  [999.7, "1.0 kB"],
  [1000, "1.0 kB"],
  [12_345, "12.3 kB"],
  [999_949, "999.9 kB"],
  [999_950, "1.0 MB"],
  [340e6, "340.0 MB"],
  [999_949_999, "999.9 MB"],
  [999_950_000, "1.00 GB"],
  [2 ** 53, "9007199.25 GB"],
])("%d bytes are %s", (byteLength, expected) => {
  expect(sizeText(byteLength)).toBe(expected);
});

test("no size but zero is shown as zero", () => {
  for (let byteLength = 1; byteLength < 1e13; byteLength = Math.ceil(byteLength * 1.37)) {
    expect(Number.parseFloat(sizeText(byteLength))).toBeGreaterThanOrEqual(1);
    expect(Number.parseFloat(sizeText(byteLength))).toBeLessThan(byteLength < 1e12 ? 1000 : Infinity);
  }
});
