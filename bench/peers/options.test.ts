import { expect, test } from "vitest";

import { commandOf, OptionError } from "./options.js";

test.each([["--quick"], ["--tiny"], ["--engines", "touchstone-fast"], ["--quant", "q8"]])(
  "--out refuses a run that is not complete: %s",
  (...partial) => {
    expect(() => commandOf([...partial, "--out", "results"])).toThrow(OptionError);
    expect(() => commandOf([...partial, "--out", "results"])).toThrow(/^--out takes only full runs/);
  },
);

test("a quick run measures everything that a full run does, with fewer rounds and tokens", () => {
  const [full, quick] = [[], ["--quick"]].map((args) => {
    const command = commandOf(args);
    if (command.kind !== "measure") throw new Error("not a run");
    return command.options;
  });
  expect(quick).toMatchObject({ isQuick: true, engines: full!.engines, size: { contexts: full!.size.contexts } });
  expect(quick!.rounds).toBeLessThan(full!.rounds);
  expect(quick!.size.numTokens).toBeLessThan(full!.size.numTokens);
});

test("a wrong option is one clear error", () => {
  expect(() => commandOf(["--rounds", "0"])).toThrow(new OptionError("--rounds must be a positive integer. Given: 0"));
  expect(() => commandOf(["--slow"])).toThrow(OptionError);
});
