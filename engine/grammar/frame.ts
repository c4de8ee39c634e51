/** Base of all stack frames of the automaton. */

import type { Reader } from "./automaton.js";
import type { Configuration } from "./automaton.js";
import type { Languages } from "./language.js";

export abstract class Frame {
  constructor(readonly id: number) {}

  /** True if the frame may end without another byte. */
  readonly canEnd: boolean = false;
  readonly plainRoom: number = -1;

  /** True if another byte can follow in this frame. A frame that cannot end always continues. */
  goesOn(_languages: Languages): boolean {
    return true;
  }

  abstract read(reader: Reader, below: Configuration): void;
}
