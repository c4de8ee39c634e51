/** Asks the embedded model a question and prints the answer while it is generated. */

import { loadModel } from "touchstone";

const model = await loadModel();
for await (const delta of model.chat({ messages: [{ role: "user", content: "What is 27 + 38?" }], seed: 7 })) {
  process.stdout.write(delta.content);
}
process.stdout.write("\n");
await model.close();
