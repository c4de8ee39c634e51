/** Conversations of up to 4,000 tokens: many tools, or many turns after something was told. */

import type { Example } from "./example.js";
import { randomJob } from "./jobs.js";
import { remember } from "./memory.js";
import type { Random } from "./random.js";
import { toolCall } from "./tools.js";

export function longExample(random: Random): Example {
  if (random.chance(0.5)) return { ...remember(random, random.integer(10, 90)), skill: "told before" };
  const example = toolCall.generate(random);
  const taken = new Set((example.tools ?? []).map((tool) => tool.function.name));
  const asked = JSON.stringify(example.messages).toLowerCase();
  const more = Array.from({ length: random.integer(15, 70) }, () => randomJob(random)).flatMap(({ tool, topic }) => {
    const isApart = !taken.has(tool.function.name) && !topic.split(" ").some((word) => asked.includes(word));
    taken.add(tool.function.name);
    return isApart ? [tool] : [];
  });
  const tools = [...(example.tools ?? []), ...more];
  return { ...example, tools: random.sample(tools, tools.length) };
}
