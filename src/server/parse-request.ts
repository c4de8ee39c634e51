/**
 * Parses the bytes of a body into a request, for each route with a body. A request has two parts: small fields that the
 * server reads, and `work`, the input of the engine, which may be as large as the body.
 */

import {
  parseChatRequest,
  parseDetokenizeRequest,
  parseJson,
  parseTokenizeRequest,
  type ChatRequest,
  type Dialect,
} from "../openai/index.js";
import type { ChatWork, Sealed, TokenizeInput } from "./worker-protocol.js";

export type RequestKind = keyof Requests;

export interface Requests {
  readonly chat: Omit<ChatRequest, "messages" | "options"> & { readonly work: Sealed<ChatWork> };
  readonly tokenize: { readonly model: string; readonly work: Sealed<TokenizeInput> };
  readonly detokenize: { readonly model: string; readonly work: Sealed<readonly number[]> };
}

/** @throws ApiError for the first failure in the contract's order */
export function parseRequest<K extends RequestKind>(kind: K, body: Uint8Array, dialect: Dialect): Requests[K] {
  return PARSERS[kind](parseJson(body), dialect);
}

const PARSERS: { readonly [K in RequestKind]: (body: unknown, dialect: Dialect) => Requests[K] } = {
  chat: (body, dialect) => {
    const { messages, options, ...seen } = parseChatRequest(body, dialect);
    return { ...seen, work: { messages, ...options, sentNames: seen.sentNames } };
  },
  tokenize: (body) => {
    const { model, input } = parseTokenizeRequest(body);
    return { model, work: input };
  },
  detokenize: (body) => {
    const { model, tokenIds } = parseDetokenizeRequest(body);
    return { model, work: tokenIds };
  },
};
