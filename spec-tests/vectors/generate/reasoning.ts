/**
 * TS-6.1 to TS-6.8, and stop sequences after reasoning (TS-5.8). Each prefix of the output is parsed from its
 * beginning.
 */

import { CaseList, type Json, type VectorFile } from "./case-list.js";
import { Numbers } from "./philox.js";
import { numBeginning, type Piece, stopIn, textOf } from "./text.js";

const OPEN = "<think>";
const CLOSE = "</think>";
const BLANK = " \t\r\n";

interface ReasoningCase {
  readonly pieces: readonly Piece[];
  /** True if the chat template has added the opening tag to the prompt. */
  readonly opened?: boolean;
  readonly separate?: boolean;
  readonly stop?: readonly string[];
  readonly include?: boolean;
  readonly end?: "limit" | "end_token";
}

interface Read {
  /** null if no reasoning is known so far. */
  readonly reasoning: string | null;
  readonly content: string;
  readonly stopped: string | null;
  /** True if the output contains the closing tag. */
  readonly isClosed: boolean;
}

/** Returns the certain part of an output so far, or the complete result if no more can follow. */
function read(
  text: string,
  { opened = false, separate = true, stop = [], include = false }: ReasoningCase,
  isOver: boolean,
): Read {
  const answered = (frame: string, reasoning: string | null, answer: string, isClosed: boolean): Read => {
    const { visible, stopped } = stopIn(answer, stop, include, isOver);
    return { reasoning, content: frame + visible, stopped, isClosed };
  };
  let inside = text;
  let frame = opened ? OPEN : "";
  if (!opened) {
    const begun = withoutBlankStart(text);
    if (!begun.startsWith(OPEN)) {
      if (!isOver && OPEN.startsWith(begun)) return { reasoning: null, content: "", stopped: null, isClosed: false };
      return answered("", null, text, false);
    }
    frame = text.slice(0, text.length - begun.length) + OPEN;
    inside = begun.slice(OPEN.length);
  }
  const end = inside.indexOf(CLOSE);
  if (end < 0) {
    const held = numBeginning(inside, [CLOSE]);
    const reasoning = withoutBlankEnd(withoutBlankStart(inside.slice(0, inside.length - held)));
    return { reasoning, content: separate ? "" : frame + inside, stopped: null, isClosed: false };
  }
  const behind = inside.slice(end + CLOSE.length);
  const answer = withoutBlankStart(behind);
  const gap = behind.slice(0, behind.length - answer.length);
  const reasoning = withoutBlankEnd(withoutBlankStart(inside.slice(0, end)));
  return answered(separate ? "" : frame + inside.slice(0, end) + CLOSE + gap, reasoning, answer, true);
}

function withoutBlankStart(text: string): string {
  let start = 0;
  while (start < text.length && BLANK.includes(text[start]!)) start++;
  return text.slice(start);
}

function withoutBlankEnd(text: string): string {
  let end = text.length;
  while (end > 0 && BLANK.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

function fieldsOf(one: ReasoningCase): { expected: Json } {
  const { pieces, opened = false, separate = true, stop = [], include = false, end = "limit" } = one;
  const deltas: { reasoning: string; content: string }[] = [];
  let sent: Read = { reasoning: null, content: "", stopped: null, isClosed: false };
  let numReasoning: number | null = null;
  const gained = (now: Read) => ({
    reasoning: (now.reasoning ?? "").slice((sent.reasoning ?? "").length),
    content: now.content.slice(sent.content.length),
  });
  let count = 0;
  while (count < pieces.length && sent.stopped === null) {
    count++;
    const now = read(textOf(pieces.slice(0, count), false), one, false);
    deltas.push(gained(now));
    sent = now;
    if (now.isClosed) numReasoning ??= count;
  }
  const whole = sent.stopped === null ? read(textOf(pieces, true), one, true) : sent;
  const final = gained(whole);
  const numAll = count + (sent.stopped === null && end === "end_token" ? 1 : 0);
  const expected = {
    ...(separate ? { deltas, final, reasoning_content: whole.reasoning } : {}),
    content: whole.content,
    reasoning_tokens: whole.reasoning === null ? 0 : (numReasoning ?? numAll),
    completion_tokens: numAll,
    stopped: whole.stopped,
    finish_reason: whole.stopped !== null || end === "end_token" ? "stop" : "length",
  };
  return { opened, separate, stop, include, pieces, end, expected } as unknown as { expected: Json };
}

export function reasoningVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("reasoning");
  const add = (group: string, clause: string, what: string, one: ReasoningCase): void =>
    list.add(group, clause, what, fieldsOf(one));
  /** Adds a case with separate reasoning and a case with reasoning in the content. */
  const both = (group: string, clause: string, what: string, one: ReasoningCase): void => {
    add(group, clause, `${what}; apart`, { ...one, separate: true });
    add(group, "TS-6.5", `${what}; in one text`, { ...one, separate: false });
  };

  both("opened", "TS-6.4", "opened by the template", {
    opened: true,
    pieces: ["I think", " so.", CLOSE, "\n\n", "Yes."],
  });
  both("opened", "TS-6.4", "opened by the template, which the model does not know: its opening tag is reasoning", {
    opened: true,
    pieces: [OPEN, "a", CLOSE, "b"],
  });
  both("opened", "TS-6.4", "opened by the template and closed at once: the reasoning is empty", {
    opened: true,
    pieces: [CLOSE, "Yes."],
  });
  both("opened", "TS-6.6", "opened by the template and never closed", {
    opened: true,
    pieces: ["I", " think", " and \n"],
  });
  both("own", "TS-6.2", "opened by the model", { pieces: [OPEN, "I think", CLOSE, "Yes."] });
  both("own", "TS-6.2", "white space before the opening tag", { pieces: [" \n", "\t", OPEN, "a", CLOSE, "b"] });
  both("own", "TS-6.2", "an opening tag behind text is text", { pieces: ["So: ", OPEN, "a", CLOSE, "b"] });
  both("own", "TS-6.2", "no tags at all", { pieces: ["Yes", ", of course."] });
  both("own", "TS-6.3", "without reasoning, leading white space is the answer's", { pieces: ["\n ", "Yes."] });
  both("own", "TS-6.2", "a closing tag alone is text", { pieces: ["a", CLOSE, "b"] });
  both("own", "TS-6.2", "the closing tag closes once; a second one is text", {
    pieces: [OPEN, "a", CLOSE, "b", CLOSE, "c"],
  });
  both("own", "TS-6.2", "tags in the answer are text", { pieces: [OPEN, "a", CLOSE, "b ", OPEN, "c", CLOSE] });
  both("own", "TS-6.2", "a form feed is no white space: what follows it is no reasoning", {
    pieces: ["\f", OPEN, "a", CLOSE, "b"],
  });
  both("own", "TS-6.2", "a no-break space is no white space", { pieces: ["\u00a0", OPEN, "a", CLOSE, "b"] });
  both("own", "TS-6.2", "another case is no tag", { pieces: ["<Think>", "a", "</Think>", "b"] });

  add("blank", "TS-6.4", "white space at both ends of the reasoning goes", {
    opened: true,
    pieces: ["\n ", "a b", " \n", CLOSE, "c"],
  });
  add("blank", "TS-6.4", "white space inside the reasoning stays and waits for what follows", {
    opened: true,
    pieces: ["a", " ", "\n", "b", CLOSE, "c"],
  });
  add("blank", "TS-6.4", "reasoning of white space alone is empty", {
    opened: true,
    pieces: [" ", "\n\n", CLOSE, "c"],
  });
  add("blank", "TS-6.3", "white space between closing tag and answer belongs to neither", {
    opened: true,
    pieces: ["a", CLOSE, " \n", "\t\r", "b  ", "\n"],
  });
  add("blank", "TS-6.3", "a no-break space behind the closing tag begins the answer", {
    opened: true,
    pieces: ["a", CLOSE, "\u00a0b"],
  });
  add("blank", "TS-6.3", "nothing but white space behind the closing tag", {
    opened: true,
    pieces: ["a", CLOSE, "\n\n"],
    end: "end_token",
  });
  add("blank", "TS-6.4", "a no-break space at the end of the reasoning stays", {
    opened: true,
    pieces: ["a\u00a0", CLOSE, "b"],
  });

  both("tag", "TS-6.8", "both tags, character by character", { pieces: [...`${OPEN}ab${CLOSE}cd`] });
  both("tag", "TS-6.8", "everything in one token", { pieces: [`${OPEN}a b${CLOSE}\nc`] });
  both("tag", "TS-6.8", "a closing tag that ends within a token with the answer", {
    opened: true,
    pieces: ["a</th", "ink>b", "c"],
  });
  add("tag", "TS-6.8", "a beginning of the closing tag that fails is reasoning", {
    opened: true,
    pieces: ["a</th", "e> b", CLOSE, "c"],
  });
  add("tag", "TS-6.8", "a beginning that fails into another", {
    opened: true,
    pieces: ["a<", "<", "/", "think>", "c"],
  });
  add("tag", "TS-6.8", "white space and a beginning of the closing tag wait together", {
    opened: true,
    pieces: ["a \n</", "b", CLOSE, "c"],
  });
  add("tag", "TS-6.8", "a beginning of the opening tag that fails is the answer", { pieces: ["<th", "e>", " x"] });
  add("tag", "TS-6.8", "white space and a beginning of the opening tag that fails", { pieces: [" \n<thi", "s>"] });
  add("tag", "TS-6.8", "once the answer has begun nothing waits for tags", { pieces: ["a", "<thi", "nk", "</thin"] });
  add("tag", "TS-6.8", "behind the reasoning nothing waits for tags", {
    opened: true,
    pieces: ["a", CLOSE, "<", "/", "think>"],
  });
  add("tag", "TS-6.8", "a code point across tokens in the reasoning", {
    opened: true,
    pieces: ["a", [0xe2, 0x82], [0xac], CLOSE, "b"],
  });
  add("tag", "TS-6.8", "an incomplete code point before the closing tag", {
    opened: true,
    pieces: ["a", [0xe2, 0x82], CLOSE, "b"],
  });

  both("unfinished", "TS-6.6", "the output ends inside the reasoning", { pieces: [OPEN, " a b"], end: "limit" });
  add("unfinished", "TS-6.6", "an end token inside the reasoning", { pieces: [OPEN, " a b"], end: "end_token" });
  add("unfinished", "TS-6.6", "a beginning of the closing tag at the end goes", {
    opened: true,
    pieces: ["a b\n", "</thi"],
  });
  add("unfinished", "TS-6.6", "white space at the end goes", { opened: true, pieces: ["a b", " \n"] });
  add("unfinished", "TS-6.6", "nothing but the opening tag", { pieces: [OPEN] });
  both("unfinished", "TS-6.6", "the output ends within what could have become the opening tag", { pieces: [" <thi"] });
  add("unfinished", "TS-6.6", "nothing but white space is an answer", { pieces: [" \n"] });
  add("unfinished", "TS-6.6", "no output at all, opened by the template", {
    opened: true,
    pieces: [],
    end: "end_token",
  });
  add("unfinished", "TS-6.6", "no output at all", { pieces: [], end: "end_token" });

  both("stop", "TS-5.8", "a sequence inside the reasoning is text", {
    opened: true,
    pieces: ["a\n\n", "b", CLOSE, "c\n", "\nd"],
    stop: ["\n\n"],
  });
  both("stop", "TS-5.8", "white space behind the closing tag completes no sequence", {
    opened: true,
    pieces: ["a", CLOSE, "\n\n", "c", "\n\n", "d"],
    stop: ["\n\n"],
  });
  both("stop", "TS-5.8", "a match does not reach over from the reasoning", {
    opened: true,
    pieces: ["ST", CLOSE, "OP", "STOP"],
    stop: ["STOP", ">OP"],
    include: true,
  });
  both("stop", "TS-5.8", "a tag is no sequence while it is one", {
    pieces: [OPEN, "a", CLOSE, "b", CLOSE, "c"],
    stop: [CLOSE],
  });
  both("stop", "TS-5.8", "without reasoning the sequence counts from the first character", {
    pieces: ["\n", "\n", "a"],
    stop: ["\n\n"],
  });
  both("stop", "TS-5.8", "the answer's first character completes a sequence", {
    opened: true,
    pieces: ["a.", `b.${CLOSE} .x`],
    stop: ["."],
  });
  both("stop", "TS-5.8", "a sequence that begins like the opening tag", {
    pieces: ["<th", "ing>", "x"],
    stop: ["<thing"],
  });

  add("count", "TS-6.7", "a token that closes the reasoning and goes on counts as reasoning", {
    opened: true,
    pieces: ["a", "b", `${CLOSE} c`, "d"],
  });
  add("count", "TS-6.7", "without reasoning it is 0", { pieces: ["a", "b"] });
  add("count", "TS-6.7", "white space before the opening tag counts", { pieces: ["\n", OPEN, "a", CLOSE, "b"] });
  add("count", "TS-6.7", "the end token counts where the closing tag has not come", {
    opened: true,
    pieces: ["a"],
    end: "end_token",
  });

  const numbers = new Numbers(30);
  for (let count = 0; count < 16; count++) {
    const parts = Array.from({ length: 8 + numbers.below(8) }, () =>
      numbers.pick([OPEN, CLOSE, "<th", "ink>", "</", "a", "b.", " ", "\n", "<"]),
    );
    const one = {
      opened: numbers.below(2) === 0,
      separate: numbers.below(4) > 0,
      stop: numbers.pick([[], ["."], ["\n", "ab"]]),
      include: numbers.below(2) === 0,
    };
    add("any", "TS-6.8", "arbitrary pieces of tags, text and white space", {
      ...one,
      pieces: parts,
      end: numbers.pick(["limit", "end_token"]),
    });
  }
  return { name: "reasoning", kind: "reasoning", cases: list.cases };
}
