import { describe, expect, it } from "vitest";
import { byteTokenizerJson } from "../../spec-tests/fixtures/byte-tokenizer.js";
import type { JsonObject } from "../json.js";
import { PLAIN, writtenCalls } from "../message/index.js";
import { JinjaTemplate } from "../template/jinja-template.js";
import { plain } from "../template/sourced-text.js";
import { hashWithToolFormat, withToolFormat } from "./tool-format.js";

const TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}";
const TEXTS = {
  tokenizerJson: byteTokenizerJson() as JsonObject,
  tokenizerConfig: {},
  chatTemplate: TEMPLATE,
  messageFormat: PLAIN,
};
const TOOL = { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } };
const call = (id: string, args: object): object => ({
  id,
  type: "function",
  function: { name: "add", arguments: args },
});

const { chatTemplate, messageFormat } = withToolFormat(TEXTS, "hermes");
const render = (messages: readonly object[], tools: readonly object[] | null): string =>
  plain(new JinjaTemplate(chatTemplate!).render({ messages, tools } as never));

describe("the tool format hermes", () => {
  it("writes tools, calls and results into texts", () => {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "1 + 2, 3 + 4?" },
      { role: "assistant", content: "So:", tool_calls: [call("a", { x: 1 }), call("b", {})] },
      { role: "tool", content: "3", tool_call_id: "a" },
      { role: "tool", content: "7", tool_call_id: "b" },
      { role: "assistant", content: "3 and 7" },
      { role: "user", content: "Thanks" },
    ];
    expect(render(messages, [TOOL])).toBe(
      `[system]Be brief.

You can call these functions, one JSON schema in each line:
<tools>
{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
</tools>

To call a function, write its name and its arguments like this:
<tool_call>
{"name": <name>, "arguments": <object>}
</tool_call>
[user]1 + 2, 3 + 4?
[assistant]So:
<tool_call>
{"name": "add", "arguments": {"x": 1}}
</tool_call>
<tool_call>
{"name": "add", "arguments": {}}
</tool_call>
[user]<tool_response>
3
</tool_response>
<tool_response>
7
</tool_response>
[assistant]3 and 7
[user]Thanks
`,
    );
  });

  it("has a form of calls", () => {
    expect(messageFormat.calls).toMatchObject({ trigger: "<tool_call>", mayFollowText: true });
    expect(writtenCalls(messageFormat.calls!, [{ name: "add", json: "{}" }])).toBe(
      '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>',
    );
  });

  it("changes nothing without tools, without a format or without a template", () => {
    const messages = [{ role: "user", content: "Hi" }];
    expect(render(messages, null)).toBe("[user]Hi\n");
    expect(withToolFormat(TEXTS, undefined)).toBe(TEXTS);
    expect(withToolFormat({ ...TEXTS, chatTemplate: null }, "hermes").messageFormat).toBe(PLAIN);
  });

  it("is another model for its hash", () => {
    expect(hashWithToolFormat("abc", undefined)).toBe("abc");
    expect(hashWithToolFormat("abc", "hermes")).not.toBe("abc");
  });
});
