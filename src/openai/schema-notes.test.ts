import fc from "fast-check";
import { expect, it } from "vitest";

import { schemaNotesHeader } from "./schema-notes.js";

it("a header of schema notes is ASCII, bounded, and JSON of the notes", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 300 }), { minLength: 1, maxLength: 30 }), (notes) => {
      const header = schemaNotesHeader(notes);
      expect(header).toMatch(/^[ -~]*$/);
      expect(header.length).toBeLessThan(2100);
      const told = JSON.parse(header) as string[];
      if (told.length === notes.length && told.at(-1) === notes.at(-1)) expect(told).toEqual(notes);
      else {
        expect(told.slice(0, -1)).toEqual(notes.slice(0, told.length - 1));
        expect(told.at(-1)).toBe(`and ${notes.length - told.length + 1} more`);
      }
    }),
  );
});
