/** An example as token ids and a loss mask, encoded as the engine will encode its prompts. */

import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { type Call, type Example, letterwisePieces } from "./example.js";
import { CHAT_TEMPLATE, END_THINK, SPECIAL, THINK, tokenizerConfig } from "./tokenizer.js";

export interface Encoded {
  ids: number[];
  /** 1 where the id is the model's own to produce. */
  mask: number[];
}

export class ExampleEncoder {
  readonly tokenizer: Tokenizer;
  private readonly template: Template;
  private readonly pieces = new Map<string, number[]>();

  constructor(tokenizerJson: object, template = CHAT_TEMPLATE) {
    this.template = new Template(template);
    this.tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig());
  }

  prompt(example: Example): string {
    const messages = example.messages.map(({ role, content, calls }) => ({
      role,
      content,
      tool_calls: calls?.map(written),
    }));
    const tools = example.tools ?? null;
    return this.template.render({ messages, tools, bos_token: SPECIAL.begin, add_generation_prompt: true });
  }

  encode(example: Example): Encoded {
    const opening = `${THINK}\n`;
    const prompt = this.prompt(example);
    const asked = this.encodeText(prompt.slice(0, -opening.length));
    const produced = [
      ...this.encodeText(opening),
      ...this.encodeTarget(`${example.reasoning}\n`),
      ...this.encodeText(END_THINK),
      ...this.encodeTarget(`\n\n${example.answer}`),
      ...this.encodeText(SPECIAL.end),
    ];
    return { ids: [...asked, ...produced], mask: [...asked.map(() => 0), ...produced.map(() => 1)] };
  }

  private encodeTarget(text: string): number[] {
    return letterwisePieces(text).flatMap((piece, index) =>
      index % 2 === 1 ? [...piece].flatMap((letter) => this.encodePiece(letter)) : this.encodeText(piece),
    );
  }

  private encodeText(text: string): number[] {
    return text === "" ? [] : this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  private encodePiece(text: string): number[] {
    const known = this.pieces.get(text);
    if (known !== undefined) return known;
    const ids = this.encodeText(text);
    this.pieces.set(text, ids);
    return ids;
  }
}

function written({ name, args }: Call): object {
  return { function: { name, arguments: JSON.stringify(args) } };
}
