/** Validation of messages (contract, section 2.1). */

import { describe, expect, it } from "vitest";

import { parse, refusalOf, refused } from "../../spec-tests/fixtures/chat-requests.js";

const T = "invalid_type";
const R = "out_of_range";
const U = "unsupported_value";
const P = "unsupported_parameter";
const M = "missing_required_parameter";
const X = "unknown_parameter";
const ROLES = ["system", "developer", "user", "assistant", "tool"];

describe.each(["ppio", "openai"] as const)("messages (%s)", (dialect) => {
  const messagesOf = (message: object) => parse({ messages: [message] }, dialect).messages;

  it.each(ROLES)("accept the role %s with text, parts and a name", (role) => {
    for (const content of [
      "",
      "Hi",
      "\0\uFEFF",
      [{ type: "text", text: "a" }],
      [
        { type: "text", text: "" },
        { type: "text", text: "b" },
      ],
    ]) {
      expect(messagesOf({ role, content })).toEqual([{ role, content }]);
    }
    for (const name of ["a", "A-Z_09", "x".repeat(64), null])
      expect(messagesOf({ role, content: "Hi", name })).toHaveLength(1);
  });

  it("accept an assistant message whose content is null or absent", () => {
    expect(messagesOf({ role: "assistant", content: null })).toEqual([{ role: "assistant", content: null }]);
    expect(messagesOf({ role: "assistant" })).toEqual([{ role: "assistant", content: null }]);
  });

  it("accept an answer sent back as it was received", () => {
    const answer = {
      role: "assistant",
      content: "4",
      reasoning_content: "2 + 2",
      refusal: null,
      annotations: [],
      audio: null,
      function_call: null,
      tool_calls: [],
    };
    expect(messagesOf(answer)).toEqual([answer]);
    expect(messagesOf({ ...answer, tool_calls: null, annotations: null, reasoning_content: null })).toHaveLength(1);
    expect(messagesOf({ ...answer, annotations: [{ type: "url_citation" }], id: "msg_1" })).toHaveLength(1);
  });

  it("accept the copies of an answer that openai and LiteLLM add", () => {
    const answer = { role: "assistant", content: "4" };
    for (const parsed of [null, 4, "4", [4], { age: 4 }]) expect(messagesOf({ ...answer, parsed })).toHaveLength(1);
    expect(messagesOf({ ...answer, provider_specific_fields: { refusal: null } })).toHaveLength(1);
    expect(messagesOf({ ...answer, provider_specific_fields: null })).toHaveLength(1);
  });

  it("accept the copies of calls that openai and @openai/agents add", () => {
    const of = { name: "f", arguments: "{}", parsed_arguments: {} };
    const calls = [{ id: "a", type: "function", function: of, index: 0 }];
    const message = { role: "assistant", content: [{ type: "text", text: "a", tool_calls: calls }], tool_calls: calls };
    expect(messagesOf(message)).toEqual([message]);
    const parsed = [{ ...calls[0], function: { ...of, parsed_arguments: null } }];
    expect(messagesOf({ ...message, tool_calls: parsed })).toHaveLength(1);
  });

  it("accept the fields of an answer in its parts", () => {
    const part = {
      type: "text",
      text: "4",
      role: "assistant",
      id: "1",
      reasoning_content: "2 + 2",
      refusal: null,
      annotations: [{}],
      parsed: 4,
      provider_specific_fields: {},
      audio: null,
      function_call: null,
      tool_calls: [],
    };
    expect(messagesOf({ role: "assistant", content: [part] })).toEqual([{ role: "assistant", content: [part] }]);
  });

  it.each(ROLES)("accept cache_control and an id of the role %s, and of its parts", (role) => {
    const hint = { id: "a", cache_control: { type: "ephemeral" } };
    expect(messagesOf({ role, content: [{ type: "text", text: "a", ...hint }], ...hint })).toHaveLength(1);
    expect(messagesOf({ role, content: "a", id: null, cache_control: null })).toHaveLength(1);
  });

  it.each(ROLES)("check name and content of the role %s", (role) => {
    const refuses = (fields: object, code: string, field: string) =>
      expect(refusalOf(() => messagesOf({ role, content: "Hi", ...fields }))).toEqual(
        refused(code, `messages[0].${field}`),
      );
    for (const name of ["", "x".repeat(65), "a b", "a.b", "é", "a\n"]) refuses({ name }, R, "name");
    for (const name of [1, true, [], {}]) refuses({ name }, T, "name");
    for (const content of [1, true, {}]) refuses({ content }, T, "content");
    refuses({ content: [] }, R, "content");
    refuses({ content: "\ud800" }, R, "content");
    if (role !== "assistant") refuses({ content: null }, M, "content");
    refuses({ odd: null }, X, "odd");
  });

  const text = { type: "text", text: "a" };
  it.each<[object, string, string]>([
    [{ content: "Hi" }, M, "role"],
    [{ role: null, content: "Hi" }, M, "role"],
    [{ role: 1, content: "Hi" }, T, "role"],
    [{ role: "User", content: "Hi" }, U, "role"],
    [{ role: "function", content: "Hi", name: "f" }, U, "role"],
    [{ role: "user" }, M, "content"],
    [{ role: "user", content: ["a"] }, T, "content[0]"],
    [{ role: "user", content: [null] }, T, "content[0]"],
    [{ role: "user", content: [text, { text: "a" }] }, M, "content[1].type"],
    [{ role: "user", content: [text, { type: 1 }] }, T, "content[1].type"],
    [{ role: "user", content: [text, { type: "image_url", image_url: { url: "x" } }] }, U, "content[1].type"],
    [{ role: "assistant", content: [{ type: "refusal", refusal: "no" }] }, U, "content[0].type"],
    [{ role: "user", content: [{ type: "text" }] }, M, "content[0].text"],
    [{ role: "user", content: [{ type: "text", text: null }] }, M, "content[0].text"],
    [{ role: "user", content: [{ type: "text", text: 1 }] }, T, "content[0].text"],
    [{ role: "user", content: [{ ...text, extra: 1 }] }, X, "content[0].extra"],
    [{ role: "user", content: "a\ude00b" }, R, "content"],
    [{ role: "user", content: [text, { type: "text", text: "\udfff" }] }, R, "content[1].text"],
    [{ role: "assistant", content: "", reasoning_content: "\ud800" }, R, "reasoning_content"],
    [{ role: "assistant", content: "", reasoning_content: 1 }, T, "reasoning_content"],
    [{ role: "user", content: "", reasoning_content: "x" }, X, "reasoning_content"],
    [{ role: "assistant", content: "", refusal: "no" }, P, "refusal"],
    [{ role: "assistant", content: "", refusal: "" }, P, "refusal"],
    [{ role: "assistant", content: "", annotations: {} }, T, "annotations"],
    [{ role: "user", content: "", annotations: [] }, X, "annotations"],
    [{ role: "user", content: "", id: 1 }, T, "id"],
    [{ role: "user", content: "", cache_control: "ephemeral" }, T, "cache_control"],
    [{ role: "user", content: [{ ...text, cache_control: [] }] }, T, "content[0].cache_control"],
    [{ role: "user", content: [{ ...text, refusal: "no" }] }, P, "content[0].refusal"],
    [{ role: "user", content: [{ ...text, annotations: {} }] }, T, "content[0].annotations"],
    [{ role: "user", content: [{ ...text, role: 1 }] }, T, "content[0].role"],
    [{ role: "user", content: [{ ...text, tool_calls: [] }] }, X, "content[0].tool_calls"],
    [{ role: "user", content: [{ ...text, reasoning_content: "x" }] }, X, "content[0].reasoning_content"],
    [{ role: "user", content: [{ ...text, parsed: 1 }] }, X, "content[0].parsed"],
    [{ role: "user", content: "", parsed: 1 }, X, "parsed"],
    [{ role: "user", content: "", provider_specific_fields: {} }, X, "provider_specific_fields"],
    [{ role: "assistant", content: "", provider_specific_fields: [] }, T, "provider_specific_fields"],
    [{ role: "assistant", content: [{ ...text, reasoning_content: 1 }] }, T, "content[0].reasoning_content"],
    [{ role: "assistant", content: [{ ...text, reasoning_content: "\ud800" }] }, R, "content[0].reasoning_content"],
    [{ role: "assistant", content: [{ ...text, tool_calls: [1] }] }, T, "content[0].tool_calls[0]"],
    [{ role: "assistant", content: [{ ...text, name: "a" }] }, X, "content[0].name"],
    [{ role: "assistant", content: "", audio: { id: "x" } }, P, "audio"],
    [{ role: "assistant", content: "", function_call: {} }, P, "function_call"],
    [{ role: "assistant", content: "", tool_calls: [{ id: "x" }] }, M, "tool_calls[0].type"],
    [{ role: "assistant", content: "", tool_calls: {} }, T, "tool_calls"],
    [{ role: "user", content: "", tool_calls: [] }, X, "tool_calls"],
    [{ role: "user", content: [{ type: null, text: "a" }] }, M, "content[0].type"],
    [{ role: "user", content: "", refusal: null }, X, "refusal"],
    [{ role: "tool", content: "", tool_call_id: 1 }, T, "tool_call_id"],
    [{ role: "user", content: "", tool_call_id: "x" }, X, "tool_call_id"],
    [{ role: "user", content: "", weight: null }, X, "weight"],
  ])("%j are refused: %s", (message, code, field) => {
    expect(refusalOf(() => messagesOf(message))).toEqual(refused(code, `messages[0].${field}`));
  });
});
