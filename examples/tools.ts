/** Gives a model a function that it can call, and prints the answer for which the model called it. */

import { loadModel } from "touchstone";

const model = await loadModel("Qwen/Qwen3-0.6B");
const { answer, messages } = await model.runTools({
  messages: [{ role: "user", content: "What is the weather in Oslo?" }],
  tools: {
    get_weather: {
      description: "The weather in a city.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      execute: ({ city }) => ({ city, sky: "rain", celsius: 4 }),
    },
  },
  separateReasoning: true,
});
console.log(answer.choices[0]?.content, `(${messages.length} messages)`);
await model.close();
