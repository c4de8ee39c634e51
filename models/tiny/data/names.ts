/** Names, cities, things and colors that questions are about. */

import type { Random } from "./random.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

/** A third of the names are made up, so that copying is learnt and not a list. */
export function name(random: Random): string {
  if (random.chance(0.65)) return random.pick(NAMES);
  const made = madeUpWord(random);
  return made.slice(0, 1).toUpperCase() + made.slice(1, 8);
}

export function item(random: Random): string {
  return random.pick(random.chance(0.6) ? ITEMS : COMMON_WORDS);
}

export function city(random: Random): string {
  return random.chance(0.8) ? random.pick(CITIES) : name(random);
}

const NAMES =
  `Alice Bob Carol David Emma Frank Grace Henry Ivy Jack Kate Liam Mary Noah Olivia Peter Quinn Rosa Sam Tina Uma Victor Wendy Xander
Yara Zoe Anna Ben Clara Daniel Ella Felix Gina Hugo Iris Jonas Karen Leo Mia Nina Oscar Paul Rita Simon Tom Vera Walter Lucy Max Nora
Adam Julia Martin Sofia Eric Laura George Helen Ian Lena`.split(/\s+/);
const CITIES =
  `Paris Rome Berlin London Madrid Vienna Oslo Dublin Tokyo Cairo Lima Boston Chicago Denver Sydney Milan Lyon Porto Zurich Geneva Munich Prague
Athens Delhi Seoul Havana Toronto Bristol Leeds Oxford`.split(/\s+/);
const ITEMS =
  `apple banana bread butter cheese coffee tea milk sugar salt pepper pen pencil book lamp chair table shirt hat shoe sock bag box cup plate spoon fork
knife bottle clock phone camera guitar piano drum ball kite robot rocket flower candle mirror pillow blanket carpet towel brush soap rope
hammer ladder bucket basket ticket map ring`.split(/\s+/);
export const COLORS = "red blue green yellow black white brown pink purple orange gray".split(" ");
